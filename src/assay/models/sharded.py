"""Tensor parallelism: what one process of several has of a model.

transformers spreads weights over the processes of a run (`tp_plan="auto"` under torchrun); each process has some heads and
some neurons, and the residual stream is whole in all of them. A site's name must mean the same tensor everywhere, so
sites that would be a part of theirs are absent, with this reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

PARTED = frozenset({"head", "kv_head", "d_mlp"})
"""Axes along which weights are spread."""


def is_parted(tensor: Tensor) -> bool:
    """Whether this process has a part of a tensor only."""
    placements: Iterable[Any] = getattr(tensor, "placements", ())
    return hasattr(tensor, "full_tensor") and any(placement.is_shard() for placement in placements)


def whole(tensor: Tensor) -> Tensor:
    """The tensor with the parts of all processes, each of which must ask for it, in the same order."""
    gather: Any = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def why_parted(native: nn.Module) -> str | None:
    """Why sites with heads or neurons are absent; None where weights are whole."""
    found = next((p for p in native.parameters() if is_parted(p)), None)
    if found is None:
        return None
    mesh: Any = found.device_mesh  # type: ignore[attr-defined]
    return (
        f"tensor parallelism spreads heads and neurons over {mesh.size()} processes, and this one has a part of them: use "
        "sites of the residual stream, or load the model with a device_map"
    )
