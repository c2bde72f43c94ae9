"""Edits whose value comes from another run, or from an input run as it is: mean, patch, resample, swap, freeze."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from assay.core.attachments import Attachment
from assay.core.errors import ShapeError
from assay.core.sites import SiteName
from assay.experiments.edits import ANY_SITE, Edit, Site, in_layer, without_layer
from assay.experiments.positions import Pos


class Mean(Edit):
    """Replace by the mean over the examples of a run, and over their positions unless asked per position."""

    op: Literal["mean"] = "mean"
    over: str
    """The run or input whose mean is taken."""
    per_position: bool = False
    """Average over examples only, position by position: all prompts must then have the same number of tokens."""

    @property
    def source_run(self) -> str:
        """The run whose mean is taken."""
        return self.over


class Patch(Edit):
    """Replace by the value that another run has at the same place, example by example."""

    op: Literal["patch"] = "patch"
    source: str
    """The run or input that the value comes from."""
    source_site: Site | None = None
    """The site that is read there; None is the same site."""
    source_pos: Pos = None
    """The positions that are read there; None is the same positions."""

    @property
    def source_run(self) -> str:
        """The run that the value comes from."""
        return self.source

    def at(self, coords: Mapping[str, Any]) -> Patch:
        """This edit with its free coordinates filled in; a source site without a layer follows the site's layer."""
        made = super().at(coords)
        if made.source_site is None or made.site == ANY_SITE or not without_layer(made.source_site):
            return made
        layer = SiteName.parse(made.site).layer
        return made if layer is None else made.model_copy(update={"source_site": in_layer(made.source_site, layer)})


class Resample(Edit):
    """Replace by the value of another example of a run, drawn at random; no example is given its own."""

    numbers: ClassVar[tuple[str, ...]] = ("seed",)
    op: Literal["resample"] = "resample"
    source: str
    """The run or input that the value comes from."""
    seed: int = 0
    """Which random choice."""

    @property
    def source_run(self) -> str:
        """The run that the value comes from."""
        return self.source


class Swap(Edit):
    """Replace the component inside a subspace by another run's; the rest stays (as in distributed alignment search)."""

    op: Literal["swap"] = "swap"
    source: str
    """The run or input that the component comes from."""
    basis: Attachment
    """Columns that span the subspace: `[d, k]`, or `[d]` for one. They need be neither unit nor orthogonal."""

    @property
    def source_run(self) -> str:
        """The run that the component comes from."""
        return self.source

    @model_validator(mode="after")
    def _columns(self) -> Swap:
        shape = self.basis.shape
        if len(shape) not in (1, 2) or 0 in shape or (len(shape) == 2 and shape[1] > shape[0]):
            raise ShapeError(
                f"swap at {self.site!r}: the basis has shape {list(shape)}, expected columns that span a subspace, "
                "[d, k] with k at most d, or [d]. Transpose it if directions are its rows."
            )
        return self


class SwapFeatures(Edit):
    """Give features of a dictionary the activations that they have in another run; what it misses stays."""

    op: Literal["swap_features"] = "swap_features"
    source: str
    """The run or input that the activations come from."""
    dictionary: str
    """A folder with the dictionary."""
    features: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    """The features."""

    @property
    def source_run(self) -> str:
        """The run that the activations come from."""
        return self.source


class Freeze(Edit):
    """Hold at the value of a run, whatever other edits do upstream."""

    op: Literal["freeze"] = "freeze"
    source: str
    """The run or input whose value is held."""

    @property
    def source_run(self) -> str:
        """The run whose value is held."""
        return self.source


SourcedEdit = Mean | Patch | Resample | Swap | SwapFeatures | Freeze
