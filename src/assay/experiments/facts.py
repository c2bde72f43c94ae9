"""What must be known of a model and its tokenised inputs to fill in a sweep and to check an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

POSITION_AXES = ("pos", "query")
"""Names of the axis along which positions are selected."""

HEAD_AXES = ("head", "kv_head")
"""Names of the axis along which heads are selected."""


class SiteFacts(Protocol):
    """A site of the model, as `assay.models.structure.Site` is."""

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of its tensor's axes, `("batch", "pos", "d_model")`."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Sizes of those axes that do not vary with the input."""

    @property
    def layer(self) -> int | None:
        """Its layer, None outside the layers."""

    @property
    def writable(self) -> bool:
        """Whether it can be changed."""


class Facts(Protocol):
    """The model and the inputs of one experiment."""

    def sites(self, name: str) -> Sequence[SiteFacts]:
        """The site of that name; of every layer that has it when the name has no layer. SiteError if there is none."""

    def tokens(self, input_name: str) -> Sequence[Sequence[str]] | None:
        """The tokens of each example of an input, as text; None if it has none, as pixels do."""

    def lengths(self, input_name: str) -> Sequence[int] | None:
        """The number of tokens of each example of an input; None if it has none."""

    def padded(self, input_name: str) -> Sequence[frozenset[int]] | None:
        """The positions of each example of an input that its mask calls padding; None if it has none."""

    def split(self, text: str) -> Sequence[str]:
        """The tokens of an answer, as text. InputError without a tokenizer."""

    @property
    def vocabulary(self) -> int | None:
        """How many token ids there are, if known."""


def position_axis(site: SiteFacts) -> int | None:
    """Which axis of the site's tensor runs over positions."""
    return next((i for i, axis in enumerate(site.axes) if axis in POSITION_AXES), None)


def head_axis(site: SiteFacts) -> str | None:
    """The name of the site's head axis."""
    return next((axis for axis in site.axes if axis in HEAD_AXES), None)
