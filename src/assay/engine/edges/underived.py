"""Layers whose native code runs under `torch.no_grad()`, also where gradients are asked for (HRM's early cycles, Reformer).

Gradients then miss all that goes through such a layer, without a word, and an estimate from them is no estimate.
"""

from __future__ import annotations

import torch
from torch import Tensor

from assay.core.errors import SiteError
from assay.engine.hooks import Change
from assay.models.structure import Site


def refuse_underived(site: Site) -> None:
    """Raise SiteError where native code passes a site without derivatives."""
    if not torch.is_grad_enabled():
        raise SiteError(
            f"gradients miss what this model does at {site}: its own code runs there under torch.no_grad(). Use "
            "edge_patching, acdc or run_circuits, which cut edges and need no gradients."
        )


def watched(site: Site) -> tuple[Site, Change]:
    """Refuses, when a pass with derivatives reaches a site, where there are none."""

    def see(value: Tensor) -> Tensor:
        refuse_underived(site)
        return value

    return site, see
