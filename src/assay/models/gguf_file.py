"""GGUF files, llama.cpp's format: unpacked to a plain dense model of transformers' own class.

Quantised weights are multiplied out to float32 (or to the dtype asked for), once, on loading; the network then computes
with exactly the numbers that the file stands for. Loading is slow (15-50 s for 135 million parameters, most of it spent
on the vocabulary and on tensor names) and needs the memory of the dense model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoModelForCausalLM

from assay.core.errors import LoadError
from assay.models.companions import load_tokenizer
from assay.models.complaints import told_clearly
from assay.models.gguf_header import read_header
from assay.models.pretrained import dtype_name, quiet_loading, reading_weights
from assay.models.source import Loaded, Request, Source


def load_gguf(path: Path, request: Request) -> Loaded:
    """Read one GGUF file: network, tokenizer, chat template."""
    header = read_header(path)
    if request.quantization is not None:
        raise LoadError(f"{path.name} is quantised already: quantization= is for checkpoints that are not.")
    options = {**_unpacking(), **reading_weights(request), "dtype": request.dtype or torch.float32}
    with told_clearly(str(path)), quiet_loading():
        native = AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, **options)
        tokenizer = load_tokenizer(str(path.parent), request, gguf_file=path.name)
    _forget_quantisation(native)
    source = Source(
        asked=str(path),
        kind="gguf",
        name=path.stem,
        dtype=dtype_name(native),
        facts=(f"loaded as {type(native).__name__}", f"unpacked from {header.quantisation} to {dtype_name(native)}"),
    )
    return Loaded(native, tokenizer, None, source)


def _unpacking() -> dict[str, Any]:
    """Ask for dense weights, where this version of transformers could leave them packed."""
    config = getattr(transformers, "GgufConfig", None)
    return {"quantization_config": config(dequantize=True)} if config is not None else {}


def _forget_quantisation(native: nn.Module) -> None:
    """The weights are dense now. The marks of the file's packing would only forbid saving and copying."""
    for holder in (native, native.config):
        for mark in ("hf_quantizer", "quantization_method", "quantization_config"):
            if mark in vars(holder):
                delattr(holder, mark)
