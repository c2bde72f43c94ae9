"""Edits that bring their own value: set, zero, add, scale, clamp, project out, noise, features, call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, Strict, model_validator
from torch import Tensor

from assay.core.attachments import Attachment
from assay.core.errors import ExperimentError, ShapeError
from assay.experiments.edits import Edit

NumberOrTensor = Annotated[Annotated[float, Strict()] | Attachment, Field(union_mode="left_to_right")]
"""A plain number, or a tensor."""

EditFunction = Callable[[Tensor], Tensor]
"""A Python function from the site's tensor to the new one, of the same shape."""


class Set(Edit):
    """Replace by a value: a number everywhere, or a tensor that broadcasts to the selected part of the site."""

    numbers: ClassVar[tuple[str, ...]] = ("value",)
    op: Literal["set"] = "set"
    value: NumberOrTensor | None = None
    """The new value; None only where a sweep gives it."""


class Zero(Edit):
    """Replace by zero."""

    op: Literal["zero"] = "zero"


class Add(Edit):
    """Add `scale` times a vector."""

    numbers: ClassVar[tuple[str, ...]] = ("scale",)
    op: Literal["add"] = "add"
    vector: Attachment
    """What is added; it broadcasts to the selected part of the site."""
    scale: float = 1.0
    """The vector's factor."""


class Scale(Edit):
    """Multiply by a factor."""

    numbers: ClassVar[tuple[str, ...]] = ("factor",)
    op: Literal["scale"] = "scale"
    factor: float | None = None
    """The factor; None only where a sweep gives it."""


class Clamp(Edit):
    """Keep every entry between two bounds."""

    numbers: ClassVar[tuple[str, ...]] = ("min", "max")
    op: Literal["clamp"] = "clamp"
    min: float | None = None
    """Lower bound; None is no bound."""
    max: float | None = None
    """Upper bound; None is no bound."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Clamp:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ExperimentError(f"clamp at {self.site!r}: min {self.min} is above max {self.max}.")
        return self


class ProjectOut(Edit):
    """Remove the component in the span of some directions, which need be neither unit nor orthogonal."""

    op: Literal["project_out"] = "project_out"
    directions: Attachment
    """One direction per row: `[k, d]`, or `[d]` for one."""

    @model_validator(mode="after")
    def _rows(self) -> ProjectOut:
        _check_matrix(self.directions, f"project_out at {self.site!r}: directions", "[k, d] or [d]")
        return self


class Noise(Edit):
    """Add Gaussian noise, drawn from a seed of its own for each site."""

    numbers: ClassVar[tuple[str, ...]] = ("std", "seed")
    op: Literal["noise"] = "noise"
    std: Annotated[float, Field(ge=0)] | None = None
    """Standard deviation; None only where a sweep gives it."""
    seed: int = 0
    """Where the noise comes from."""


class Feature(Edit):
    """Encode with a dictionary, change chosen features, decode; what the dictionary misses is kept."""

    numbers: ClassVar[tuple[str, ...]] = ("scale",)
    op: Literal["feature"] = "feature"
    dictionary: str
    """A folder with the dictionary, or the name under which the engine was given one."""
    values: dict[Annotated[int, Field(ge=0)], float] = Field(min_length=1)
    """The new activation of each chosen feature."""
    scale: float | None = None
    """A common factor on all of `values`; None is 1."""
    relative: bool = False
    """Whether `values` are multiples of each feature's own activation instead of activations."""
    keep_error: bool = True
    """Add back the difference between the site's value and its plain reconstruction."""


class Call(Edit):
    """Apply a Python function: for exploration. It can be neither saved nor sent; make one with `edit.call`."""

    op: Literal["call"] = "call"
    name: str
    """The function's name, for people."""
    _function: EditFunction = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _never_from_data(cls, value: Any) -> Any:
        if isinstance(value, Call):
            return value
        raise ExperimentError("an edit with op 'call' holds a Python function: make it with edit.call(site, function).")

    @classmethod
    def of(cls, site: str, function: EditFunction, **where: Any) -> Call:
        """The edit that applies `function`."""
        takes_one(function, site)
        place = Zero(site=site, **where)
        fields = {name: getattr(place, name) for name in Edit.model_fields if name != "op"}
        made = cls.model_construct(op="call", name=getattr(function, "__qualname__", repr(function)), **fields)
        made._function = function
        return made

    @property
    def function(self) -> EditFunction:
        """The function: it gets the site's whole tensor; of what it returns, the selected part is written."""
        return self._function

    @property
    def local_only(self) -> bool:
        """True: a function is not data."""
        return True


def by_site(functions: Any) -> Mapping[str, EditFunction]:
    """Functions by the name of their site, each of one tensor.

    Raises:
        ExperimentError: something else.
    """
    if not isinstance(functions, Mapping):
        raise ExperimentError(
            f"functions at sites are given as {{'L5.z': function}}, not as a {type(functions).__name__}."
        )
    for site, function in functions.items():
        takes_one(function, site)
    return functions


def takes_one(function: Callable[..., Any], site: str) -> None:
    """Raise ExperimentError for a function that can't be called with a site's tensor alone."""
    try:
        parameters = signature(function)
    except ValueError:  # some of torch's own do not tell
        return
    try:
        parameters.bind(None)
    except TypeError:
        raise ExperimentError(
            f"the function at {site!r} takes ({', '.join(parameters.parameters)}): expected one argument, the site's tensor. A "
            "second one, such as TransformerLens' hook, is not given: which site it is you say where you put it."
        ) from None


GivenEdit = Set | Zero | Add | Scale | Clamp | ProjectOut | Noise | Feature | Call


def _check_matrix(attachment: Attachment, what: str, expected: str) -> None:
    if len(attachment.shape) not in (1, 2) or 0 in attachment.shape:
        raise ShapeError(f"{what} have shape {list(attachment.shape)}: expected {expected}.")
