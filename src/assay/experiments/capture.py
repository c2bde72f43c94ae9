"""Make captures: `from assay import capture`, then `capture.site("L5.resid_post", pos=-1)`.

Where a list of captures is wanted, a site's name alone is enough.
"""

from __future__ import annotations

from typing import TypedDict, Unpack

from assay.experiments.captures import AnyCapture, Capture, Dtype, GradCapture, SiteCapture
from assay.experiments.edit import IndicesLike, PosLike
from assay.experiments.metrics import Metric

__all__ = ["AnyCapture", "Capture", "grad", "site"]


class Keeping(TypedDict, total=False):
    """What every capture takes."""

    pos: PosLike
    head: IndicesLike
    dtype: Dtype | None
    name: str | None


def site(site_name: str, **keeping: Unpack[Keeping]) -> SiteCapture:
    """Keep the tensor at a site; without a layer, at every layer that has it."""
    return SiteCapture(site=site_name, **keeping)


def grad(at: str, of: Metric, **keeping: Unpack[Keeping]) -> GradCapture:
    """Keep the gradient of the metric `of`, summed over examples and positions, with respect to a site's tensor."""
    return GradCapture(site=at, of=of, **keeping)
