"""`load`: a model with its sites, from a hub id, a folder, a file or a module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import nn

from assay.models.loading import load_native
from assay.models.network import Network
from assay.models.source import More

if TYPE_CHECKING:
    from assay.engine.model import Model


def load(
    what: str | Path | nn.Module | None = None,
    *,
    revision: str | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    device_map: Any = None,
    quantization: Any = None,
    trust_remote_code: bool = False,
    inputs: Mapping[str, Any] | None = None,
    **more: Unpack[More],
) -> Model:
    """A model with its sites. Without arguments: the embedded SmolLM2-135M-Instruct.

    `what` is a hub id, a local folder, a GGUF file, a `PreTrainedModel` or any `nn.Module`; for a module of your own,
    give `inputs` for one forward pass so that its sites can be found (without, only native sites exist). The other
    options say how weights are loaded: `assay.models.loading.load_native` tells of each. `trust_remote_code` runs the
    repository's own Python code, which can do anything that you can do.
    """
    from assay.engine.model import Model  # which hands this function on

    loaded = load_native(
        what,
        revision=revision,
        dtype=dtype,
        device=device,
        device_map=device_map,
        quantization=quantization,
        trust_remote_code=trust_remote_code,
        **more,
    )
    return Model(Network.of(loaded, inputs))
