"""Gradients of a metric at sites, through native code.

The gradient at a site is taken with respect to the very tensor that native code computes on from, all sites in one
backward pass. Frozen weights need no gradient, so none is accumulated. Cost: one forward and one backward pass per
prompt length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from assay.engine.run_result import run_once
from assay.experiments import capture
from assay.experiments.edits import Edit
from assay.experiments.metrics import Metric
from assay.models.network import Network


def gradients(
    network: Network,
    inputs: Any,
    *,
    of: Metric,
    sites: str | Sequence[str],
    edits: Edit | Sequence[Edit] = (),
    sources: Mapping[str, Any] | None = None,
    positions: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Tensor]:
    """d(metric, summed over examples and positions)/d(site) for each site, in the site's own shape.

    Raises:
        SiteError: a site that this model lacks.
    """
    names = [sites] if isinstance(sites, str) else list(sites)
    wanted = [str(site) for name in names for site in network.sites_named(name)]
    asked = [capture.grad(name, of=of) for name in wanted]
    found = run_once(network, inputs, capture=asked, edits=edits, sources=sources or {}, positions=positions or {})
    return {name: found.captured[f"grad.{name}"] for name in wanted}
