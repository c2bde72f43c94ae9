"""What was asked for, and what came of it: the values that the loaders pass to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

Kind = Literal["embedded", "hub", "folder", "gguf", "object"]


class More(TypedDict, total=False):
    """Seldom needed options of a load."""

    tokenizer: Any
    """A tokenizer to use instead of the model's own; `False`: none."""
    processor: Any
    """A processor (of images, say) to use instead of the model's own."""
    model_class: str
    """A class of transformers to use instead of the one that the configuration names, such as `"BertModel"`."""
    allow_missing: bool
    """Load although the checkpoint lacks weights, which then are random."""
    attn_implementation: str
    """The attention kernel: `"sdpa"`, `"eager"`, `"flash_attention_2"`."""
    gguf_file: str
    """The GGUF file to read in a hub repository or folder."""
    subfolder: str
    token: str | bool
    cache_dir: str
    local_files_only: bool


@dataclass(frozen=True)
class Request:
    """One load as it was asked for, with the dtype and device already understood."""

    what: str | Path | nn.Module | None
    revision: str | None = None
    dtype: torch.dtype | None = None
    device: torch.device | None = None
    device_map: Any = None
    quantization: Any = None
    trust_remote_code: bool = False
    more: More = field(default_factory=More)

    def again(self, kind: Kind) -> dict[str, Any]:
        """What gives the same network again, elsewhere too: without the device, paths from the root."""
        if kind == "object":
            return {}
        path = Path(self.what).expanduser() if isinstance(self.what, str | Path) else None
        found: dict[str, Any] = {"what": str(path.resolve()) if path is not None and path.exists() else self.what}
        names = ("revision", "dtype", "device_map", "quantization")
        found |= {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        found |= {"trust_remote_code": True} if self.trust_remote_code else {}
        return found | {name: value for name, value in self.more.items() if name not in ("tokenizer", "processor")}

    def reading(self) -> dict[str, Any]:
        """What transformers' `from_pretrained` is told, for configuration, tokenizer and weights alike."""
        names = ("subfolder", "token", "cache_dir", "local_files_only")
        options: Mapping[str, Any] = self.more
        given = {name: options[name] for name in names if name in options}
        return {"revision": self.revision or "main", "trust_remote_code": self.trust_remote_code, **given}


@dataclass(frozen=True)
class Source:
    """Where a model came from, and everything that was done to it on the way."""

    asked: str
    kind: Kind
    name: str
    revision: str | None = None
    dtype: str = ""
    facts: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The arguments with which `load_native` gives the same model again, on this device or another; empty for a module."""

    def adding(self, *facts: str) -> Source:
        """The same source with more facts."""
        return replace(self, facts=(*self.facts, *facts))


@dataclass(frozen=True)
class Loaded:
    """A network with what belongs to it. `native` is transformers' (or the user's) own module, its code untouched."""

    native: nn.Module
    tokenizer: PreTrainedTokenizerBase | None
    processor: object | None
    source: Source
    fingerprint: str | None = None
    """Given when it was computed on the way; otherwise see `assay.models.fingerprint`."""
