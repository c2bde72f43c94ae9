"""A quantity: which number, of which step's result, a hypothesis is about. Data, so that it can be hashed and shown.

    {step: accuracy, variable: correct}
    {step: residual, variable: logit_diff, coords: {layer: {depth: [0.66, 1]}, pos: end}, over: max}
    {difference: [<quantity>, <quantity>]}        the first minus the second
    {ratio: [<quantity>, <quantity>]}             the first over the second
    {share: {of: <quantity>, zero: <quantity>, one: <quantity>}}      (of - zero) / (one - zero)

The order is fixed: first the mean over examples at every coordinate, then `over` across the coordinates that are left.
A maximum over coordinates is therefore chosen on the same examples, and is a little too high: reports say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from assay.studies.condition import Condition


class Frozen(BaseModel):
    """What all parts of a study file are: closed and unchanging."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Range(Frozen):
    """A range of a coordinate, both ends included."""

    start: float = Field(alias="from")
    """The first value."""
    stop: float = Field(alias="to")
    """The last value."""


class Depth(Frozen):
    """A range of layers, as fractions of the model's depth, so that it means the same in another model."""

    depth: tuple[float, float]
    """From and to: 0 is the first layer, 1 the last. Where no layer lies between, the nearest to the middle is meant."""


class Matches(Frozen):
    """All labels that match."""

    matches: str
    """A regular expression for the whole label."""


Label = str | int | float
Coordinate = Label | list[Label] | Range | Depth | Matches


class Selector(Frozen):
    """Numbers of one step's result, brought down to one."""

    step: str
    """The step whose result is read."""
    variable: str = "score"
    """Which variable of the result."""
    coords: dict[str, Coordinate] = Field(default={})
    """Where, by dimension: a label, a list, `{from, to}`, `{depth: [0, 1]}`, or `{matches: regular expression}`."""
    over: Literal["mean", "max", "min", "sum", "median"] = "mean"
    """What is done across the coordinates that are left, after the mean over examples."""
    counts: Condition | None = None
    """If given, each example counts as 1 or 0: whether its value meets this condition."""

    def __str__(self) -> str:
        where = ", ".join(f"{dim} {_say(value)}" for dim, value in self.coords.items())
        text = f"{self.step}.{self.variable}" + (f" [{where}]" if where else "")
        if self.counts is not None:
            text = f"share of examples with {text} {self.counts}"
        return text if self.over == "mean" else f"{self.over} of {text}"


class Difference(Frozen):
    """One quantity minus another."""

    difference: tuple[Quantity, Quantity]
    """The first minus the second."""

    def __str__(self) -> str:
        return f"({self.difference[0]}) − ({self.difference[1]})"


class Ratio(Frozen):
    """One quantity over another."""

    ratio: tuple[Quantity, Quantity]
    """The first over the second."""

    def __str__(self) -> str:
        return f"({self.ratio[0]}) / ({self.ratio[1]})"


class ShareOf(Frozen):
    """The three numbers of a share."""

    of: Quantity
    """What is measured."""
    zero: Quantity
    """What counts as 0."""
    one: Quantity
    """What counts as 1."""


class Share(Frozen):
    """Where a quantity lies between two others."""

    share: ShareOf
    """(of − zero) / (one − zero)."""

    def __str__(self) -> str:
        return f"where {self.share.of} lies between {self.share.zero} (0) and {self.share.one} (1)"


def _kind(value: Any) -> str | None:
    keys = value.keys() if isinstance(value, dict) else type(value).model_fields.keys()
    return next((key for key in ("step", "difference", "ratio", "share") if key in keys), None)


Quantity = Annotated[
    Annotated[Selector, Tag("step")]
    | Annotated[Difference, Tag("difference")]
    | Annotated[Ratio, Tag("ratio")]
    | Annotated[Share, Tag("share")],
    Discriminator(
        _kind,
        custom_error_type="quantity",
        custom_error_message="a quantity has one of the keys step, difference, ratio, share",
    ),
]
for _model in (Difference, Ratio, ShareOf, Share):
    _model.model_rebuild()


def parts(quantity: Selector | Difference | Ratio | Share) -> tuple[Selector | Difference | Ratio | Share, ...]:
    """The quantities that this one is made of; a selector is made of none."""
    match quantity:
        case Difference():
            return quantity.difference
        case Ratio():
            return quantity.ratio
        case Share():
            return (quantity.share.of, quantity.share.zero, quantity.share.one)
        case _:
            return ()


def selectors(quantity: Selector | Difference | Ratio | Share) -> Iterator[Selector]:
    """Every selector in a quantity, from left to right."""
    if isinstance(quantity, Selector):
        yield quantity
    for part in parts(quantity):
        yield from selectors(part)


def _say(value: Coordinate) -> str:
    match value:
        case Range():
            return f"{value.start:g} to {value.stop:g}"
        case Depth():
            return f"{value.depth[0]:.0%} to {value.depth[1]:.0%} deep"
        case Matches():
            return f"like {value.matches}"
        case list():
            return "in {" + ", ".join(str(each) for each in value) + "}"
        case _:
            return str(value)
