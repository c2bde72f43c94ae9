"""What is kept of a run: the tensor at a site, or the gradient of a metric there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from assay.core.errors import ExperimentError
from assay.experiments.edits import Site
from assay.experiments.metric import AnyMetric
from assay.experiments.positions import Indices, Pos
from assay.experiments.record import Record

Dtype = Literal["float32", "float16", "bfloat16"]


class Capture(Record):
    """Something that a run keeps. Each kind is a subclass."""

    kind: str
    """What is kept."""
    site: Site
    """Where. Without a layer it means every layer that has the site."""
    pos: Pos = None
    """Positions of the prompt that are kept; None is all."""
    head: Indices = None
    """Heads that are kept, at a site that has a head axis; None is all."""
    dtype: Dtype | None = None
    """The dtype in which it is kept; None is the model's own."""
    name: str | None = None
    """The result's name for it; None takes the site's name."""

    @property
    def label(self) -> str:
        """The result's name for it."""
        return self.name or self.site


class SiteCapture(Capture):
    """The tensor at a site, after the edits there."""

    kind: Literal["site"] = "site"


class GradCapture(Capture):
    """The gradient, with respect to the tensor at a site, of a metric summed over examples and positions."""

    kind: Literal["grad"] = "grad"
    of: AnyMetric
    """The metric whose gradient is taken, read from the same run."""

    @property
    def label(self) -> str:
        """The result's name for it."""
        return self.name or f"grad.{self.site}"


def _as_capture(value: Any) -> Any:
    if isinstance(value, Capture | Mapping):
        return value
    if isinstance(value, str):
        return SiteCapture(site=value)
    raise ExperimentError(
        f"{value!r} is no capture: expected the name of a site, 'L5.resid_post', or of a site in every layer, 'resid_post', or "
        "capture.site(…)."
    )


AnyCapture = Annotated[Annotated[SiteCapture | GradCapture, Field(discriminator="kind")], BeforeValidator(_as_capture)]
"""Any capture, told apart by `kind`; a plain site name is a capture of the site."""
