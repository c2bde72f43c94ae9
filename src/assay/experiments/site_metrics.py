"""What is measured on the tensor at a site: its dot or cosine with a direction, its norm."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from assay.core.attachments import Attachment
from assay.core.errors import ShapeError
from assay.experiments.edits import Site
from assay.experiments.metrics import Metric


class SiteMetric(Metric):
    """A number read from a site, one per example and position, over the last axis of the site's tensor."""

    site: Site
    """Where: one site, with its layer."""
    head: int | None = None
    """The head, at a site that has a head axis; None keeps all heads as an axis."""


class Norm(SiteMetric):
    """The Euclidean norm."""

    kind: Literal["norm"] = "norm"


class _WithDirection(SiteMetric):
    direction: Attachment
    """The direction: a vector as long as the site's last axis."""

    @model_validator(mode="after")
    def _is_vector(self) -> _WithDirection:
        if len(self.direction.shape) != 1:
            raise ShapeError(
                f"{self.kind} at {self.site!r}: the direction has shape {list(self.direction.shape)}, expected [d], "
                "one vector. Make one metric for each direction."
            )
        return self


class Dot(_WithDirection):
    """The dot product with a direction, as given: not normalised."""

    kind: Literal["dot"] = "dot"


class Cosine(_WithDirection):
    """The cosine with a direction."""

    kind: Literal["cosine"] = "cosine"
