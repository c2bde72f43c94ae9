"""Checkpoints in transformers' own format: a local folder, or a repository on the hub that the user named.

Nothing is converted: weights keep the dtype that they are stored in unless another is asked for, and weights that the
checkpoint lacks are an error, since transformers would fill them with random numbers. Only safetensors are read, or
pickles through torch's reader that accepts nothing but weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig
from transformers.utils import logging

from assay.core.errors import LoadError
from assay.models.companions import hub_commit, load_processor, load_tokenizer
from assay.models.complaints import told_clearly
from assay.models.model_class import choose_class
from assay.models.source import Kind, Loaded, Request, Source


def load_pretrained(place: str, kind: Kind, request: Request) -> Loaded:
    """Read configuration, weights, tokenizer and processor."""
    more = request.more
    with told_clearly(place, "the configuration"):
        config = AutoConfig.from_pretrained(place, **request.reading())
    chosen, why = choose_class(config, asked=more.get("model_class"), trusted=request.trust_remote_code)
    with told_clearly(place), quiet_loading():
        native, info = chosen.from_pretrained(
            place, output_loading_info=True, weights_only=True, **reading_weights(request), **request.reading()
        )
    facts = [why, *_missing(place, info, bool(more.get("allow_missing"))), *_dtype_facts(native, config, request)]
    processor, about = load_processor(place, request)
    commit = hub_commit(place, request) if kind == "hub" else None
    facts += [*about, *([f"hub commit {commit}"] if commit else [])]
    source = Source(
        asked=place,
        kind=kind,
        name=Path(place).name,
        revision=request.revision or ("main" if kind == "hub" else None),
        dtype=dtype_name(native),
        facts=tuple(facts),
    )
    return Loaded(native, load_tokenizer(place, request), processor, source)


def reading_weights(request: Request) -> dict[str, Any]:
    """What `from_pretrained` is told about the weights alone."""
    options: dict[str, Any] = {"dtype": request.dtype or "auto"}
    if request.device_map is not None:
        options["device_map"] = request.device_map
    if request.quantization is not None:
        options["quantization_config"] = request.quantization
    if "attn_implementation" in request.more:
        options["attn_implementation"] = request.more["attn_implementation"]
    return options


def dtype_name(native: nn.Module) -> str:
    """The dtype of the floating-point parameters; several are joined, the most frequent first."""
    sizes: dict[str, int] = {}
    for parameter in native.parameters():
        if parameter.is_floating_point():
            name = str(parameter.dtype).removeprefix("torch.")
            sizes[name] = sizes.get(name, 0) + parameter.numel()
    return "+".join(sorted(sizes, key=lambda name: -sizes[name])) or "none"


@contextmanager
def quiet_loading() -> Iterator[None]:
    """No bar for weights that come from a disk (downloads keep theirs), no warnings about what assay gives as an error
    or a fact, and no request to the hub to convert the weights of the repository."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    before = os.environ.get("DISABLE_SAFETENSORS_CONVERSION")
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
        if before is None:
            os.environ.pop("DISABLE_SAFETENSORS_CONVERSION", None)
        else:
            os.environ["DISABLE_SAFETENSORS_CONVERSION"] = before


def _missing(place: str, info: dict[str, Any], allowed: bool) -> list[str]:
    """Facts on weights that the checkpoint lacks or has too many of; lacking some is an error unless allowed."""
    facts = []
    if absent := sorted(info.get("missing_keys") or ()):
        if not allowed:
            raise LoadError(
                f"{place!r} lacks {len(absent)} weights that its class needs: {_few(absent)}. They would be random. "
                "Give model_class= with a class that does not need them, or accept them with allow_missing=True."
            )
        facts.append(f"{len(absent)} weights are not in the checkpoint and are random: {_few(absent)}")
    if extra := sorted(info.get("unexpected_keys") or ()):
        facts.append(
            f"{len(extra)} weights of the checkpoint are not part of this class and were left out: {_few(extra)}"
        )
    return facts


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _dtype_facts(native: nn.Module, config: Any, request: Request) -> list[str]:
    stored = getattr(config, "dtype", None)
    now = dtype_name(native)
    if request.quantization is not None:
        return [f"quantised while loading ({type(request.quantization).__name__}); other weights are {now}"]
    if isinstance(stored, torch.dtype) and str(stored).removeprefix("torch.") != now:
        return [f"cast from {str(stored).removeprefix('torch.')} to {now}" + (", as asked" if request.dtype else "")]
    return [f"weights are {now}" + (", as stored" if request.dtype is None else "")]
