"""What a control is: a named way to get the same quantity where the claim should not hold, and the registry of them.

    @control("untrained", "the same architecture before training", reruns=True)
    def untrained_weights(asking: Asking, seed: int) -> Measure: ...

It is given the result with the call that made it, and a seed, and gives a Measure. A control that can't be made from what
there is raises SettingsError with the reason; a comparison then says so beside the others, or fails if it was asked for by
name. Packages add their own with the same decorator, in a module that registers methods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Int

from assay.core.calls import Call
from assay.core.claims import Claim
from assay.core.errors import SettingsError, nearest
from assay.core.registry import methods
from assay.stats.controls.cells import Cells, cells_of


class Asked(TypedDict, total=False):
    """What can be said about a comparison with controls."""

    k: int
    """How many of the best are averaged: 1."""
    absolute: bool
    """Best by size, whatever the sign, and the mean of sizes: True."""
    variable: str
    """Which variable of a Result: the first."""
    seeds: int
    """Runs of each control that makes the method run again: 1, so that it has the method's own budget."""
    draws: int
    """Draws of controls that cost nothing: 20."""
    seed: int
    """Of the first run and the first draw, and of the bootstrap: 0."""
    budget: float
    """Seconds that all controls may take together, by the time that the method took: no limit."""
    level: float
    """Of the intervals: .95."""
    resamples: int
    """Of the bootstrap: 1000."""
    clusters: Sequence[object]
    """One label for each example: whole clusters are drawn."""
    model: Any
    """The model, if the one that the method was called with is gone."""
    instruction: str
    """For `prompt_only`: what the prompt says in place of the intervention."""
    question: str
    """For `prompt_only`: what the model is asked about each text."""
    choices: Mapping[Any, str]
    """For `prompt_only`: the answer that stands for each label, a single token with its leading space."""


@dataclass(frozen=True, eq=False)
class Measure:
    """A quantity that can be worked out on any draw of examples: the mean of the k best cells, or of chosen ones."""

    cells: Cells
    k: int = 1
    absolute: bool = True
    chosen: tuple[int, ...] | None = None

    def of(self, drawn: Int[np.ndarray, " example"] | None = None) -> float:
        """Its value on the examples that are drawn, the best chosen on them."""
        means = self.cells.means(drawn)
        means = np.abs(means) if self.absolute else means
        kept = means[list(self.chosen)] if self.chosen is not None else np.partition(means, -self.k)[-self.k :]
        return float(kept.mean())


@dataclass(frozen=True, eq=False)
class Asking:
    """A result for which a control is asked, as a table, with its call if it is known, and what was said."""

    value: Any
    cells: Cells
    call: Call | None
    options: Asked

    @property
    def about(self) -> Claim:
        """What the method says that its results claim; of whatever variable was asked for instead, nothing more."""
        declared = None if self.call is None else self.call.claim
        return declared if isinstance(declared, Claim) and "variable" not in self.options else Claim("")

    @property
    def k(self) -> int:
        """How many of the best are averaged."""
        return self.options.get("k", len(self.cells.names) if self.about.over == "all" else 1)

    @property
    def absolute(self) -> bool:
        """Whether size counts, not sign."""
        return self.options.get("absolute", True)

    def needed_call(self) -> Call:
        """The call that made the result.

        Raises:
            SettingsError: it is not known.
        """
        if self.call is None:
            raise SettingsError(
                "the method can't be run again: only what a registered method returned, in this process, knows its call"
            )
        return self.call

    def again(self, **changed: Any) -> Measure:
        """The quantity when the method is run again with something changed."""
        call = self.needed_call()
        given = self.options.get("model")
        value = call.again(**({"model": given} if given is not None else {}) | changed)
        wanted = self.options.get("variable", self.about.variable)
        found = cells_of(value, wanted, at=self.about.at).only(self.cells.names)
        return self.measure(found.in_units_of(self.cells))

    def inside(self, control: str) -> list[Measure] | None:
        """A control's draws, if the result itself holds it.

        Raises:
            SettingsError: the control makes no sense for this claim, or none of its draws were asked for.
        """
        control = "random" if control == "random_component" else control
        if control in self.about.without:
            raise SettingsError(self.about.without[control])
        found = self.about.beside.get(control)
        if found is None:
            return None
        if found.variable not in self.value.names:
            raise SettingsError("the method was asked not to measure it")
        if found.along is None:
            return [self.measure(cells_of(self.value, found.variable))]
        labels = [str(label) for label in self.value[found.variable][found.along].values]
        drawn = [label for label in labels if re.fullmatch(found.labels, label)]
        if not drawn:
            raise SettingsError("the method was asked for none of them")
        return [self.measure(cells_of(self.value, found.variable, at={found.along: label})) for label in drawn]

    def measure(self, cells: Cells | None = None, *, chosen: Sequence[int] | None = None) -> Measure:
        """The quantity of a table: its own best, or chosen cells."""
        table = self.cells if cells is None else cells
        return Measure(
            table, min(self.k, len(table.names)), self.absolute, None if chosen is None else tuple(map(int, chosen))
        )

    @property
    def model(self) -> Any:
        """The model that the method was called with, or the one that was given."""
        given = self.options.get("model")
        return self.needed_call().model if given is None else given


Make = Callable[[Asking, int], Measure]


@dataclass(frozen=True)
class Control:
    """A registered control. `varies`: whether it depends on the seed."""

    name: str
    what: str
    make: Make
    reruns: bool | Callable[[Asking], bool]
    varies: bool

    def runs_again(self, asking: Asking) -> bool:
        """Whether it takes the method's own time again, for each seed."""
        return self.reruns(asking) if callable(self.reruns) else self.reruns


_CONTROLS: dict[str, Control] = {}


def control(
    name: str, what: str, *, reruns: bool | Callable[[Asking], bool] = False, varies: bool = True
) -> Callable[[Make], Make]:
    """Register a control. `reruns`: whether it takes the method's time again; `varies`: whether it depends on the seed."""

    def register(make: Make) -> Make:
        known = _CONTROLS.get(name)
        if known is not None and known.make.__module__ != make.__module__:
            raise TypeError(f"two controls are called {name!r}: in {known.make.__module__} and {make.__module__}")
        _CONTROLS[name] = Control(name, what, make, reruns, varies)
        return make

    return register


def controls() -> dict[str, Control]:
    """Every control by name, those of installed packages too."""
    methods()
    return dict(sorted(_CONTROLS.items()))


def find_control(name: str) -> Control:
    """The control of that name; `other-layer` and `other layer` are `other_layer`.

    Raises:
        SettingsError: there is none; the message lists what there is.
    """
    known, wanted = controls(), name.replace("-", "_").replace(" ", "_")
    if wanted not in known:
        near = nearest(wanted, known) or f" There are: {', '.join(known)}."
        raise SettingsError(f"There is no control {name!r}.{near}")
    return known[wanted]
