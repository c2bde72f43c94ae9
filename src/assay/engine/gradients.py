"""Gradients of a metric at sites, through native code.

The gradient at a site is taken with respect to the very tensor that native code computes on from, all sites in one
backward pass, which ends at the first of them. Weights need no gradient meanwhile. A metric at a site needs no more of the
forward pass than up to that site. Cost: one forward and one backward pass per prompt length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from torch import Tensor

from assay.engine.frozen import kinds
from assay.engine.run_result import run_once
from assay.experiments import capture
from assay.experiments.edits import Edit
from assay.experiments.metrics import Metric
from assay.models.network import Network


class Under(TypedDict, total=False):
    """What a derivative is taken under."""

    edits: Edit | Sequence[Edit]
    """Edits of the run; the derivative is that of the edited run."""
    sources: Mapping[str, Any]
    """Further inputs that edits take values from, by name."""
    positions: Mapping[str, Sequence[int]]
    """Named positions of the prompts, one index for each."""
    frozen: str | Sequence[str]
    """What is taken for constant: "norms" (their scales), "patterns", "mlps" (their outputs)."""


def gradients(
    network: Network,
    inputs: Any,
    *,
    of: Metric,
    sites: str | Sequence[str],
    edits: Edit | Sequence[Edit] = (),
    sources: Mapping[str, Any] | None = None,
    positions: Mapping[str, Sequence[int]] | None = None,
    frozen: str | Sequence[str] = (),
) -> dict[str, Tensor]:
    """d(metric, summed over examples and positions)/d(site) for each site, in the site's own shape.

    `frozen` names what is taken for constant: "norms", "patterns", "mlps" (`assay.engine.frozen`).

    Raises:
        SiteError: a site that this model lacks.
        SettingsError: something that can't be frozen.
    """
    names = [sites] if isinstance(sites, str) else list(sites)
    wanted = [str(site) for name in names for site in network.sites_named(name)]
    asked = [capture.grad(name, of=of) for name in wanted]
    found = run_once(
        network,
        inputs,
        capture=asked,
        edits=edits,
        sources=sources or {},
        positions=positions or {},
        frozen=kinds(frozen),
        to_output=False,
    )
    return {name: found.captured[f"grad.{name}"] for name in wanted}
