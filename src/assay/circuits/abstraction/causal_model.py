"""A causal model as data: variables, what each is computed from, and how.

    CausalModel(
        name="hierarchical equality",
        inputs={"a": range(8), "b": range(8), "c": range(8), "d": range(8)},
        variables={"left": "a == b", "right": "c == d", "same": "left == right"},
        output="same",
    )

Inputs have a list of values that they can take; every other variable is an expression (`expression`) of inputs, of other
variables and of lookup tables. A setting is a value for each input. An interchange intervention runs the model on a base
setting while some variables have the value that they have on source settings: Geiger et al. 2021, arXiv:2106.02997.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from assay.circuits.abstraction.expression import Expression, Value
from assay.core.codec import digest, parse, pretty
from assay.core.errors import DataError, StorageError, nearest
from assay.core.files import write_text
from assay.experiments.record import Record

FORMAT = 1
TRIED = 64
"""Settings on which every expression is tried when a model is made."""

Setting = Mapping[str, Value]
"""A value for each input."""


def _domain(values: Any) -> Any:
    """A list of values; lists inside it are tuples, as JSON has no tuples."""
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        return values
    return tuple(tuple(each) if isinstance(each, list) else each for each in values)


def _table(entries: Any) -> Any:
    """A table as pairs: JSON's own keys can only be texts."""
    return tuple(entries.items()) if isinstance(entries, Mapping) else entries


Single = bool | int | float | str
Item = Single | tuple[Single, ...]
Domain = Annotated[tuple[Item, ...], BeforeValidator(_domain), Field(min_length=1)]
Table = Annotated[tuple[tuple[Item, Item], ...], BeforeValidator(_table), Field(min_length=1)]


class CausalModel(Record):
    """Variables, parents and functions. `parents` and `order` are found from the expressions."""

    format: int = FORMAT
    """The version of the format."""
    name: str = ""
    """What it is called."""
    inputs: dict[str, Domain] = Field(min_length=1)
    """The inputs, with the values that each can take."""
    variables: dict[str, str] = Field(min_length=1)
    """Every other variable, with the expression that it is computed by."""
    tables: dict[str, Table] = Field(default_factory=dict)
    """Lookup tables that expressions index, such as `capital[country]`."""
    output: str
    """The variable that the network's answer stands for."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.format > FORMAT:
            raise StorageError(f"this causal model has format {self.format}; this version reads up to {FORMAT}.")
        self._check_names()
        _ = self.order
        for setting in itertools.islice(self._sampled(), TRIED):
            self.run(setting)
        return self

    @cached_property
    def expressions(self) -> dict[str, Expression]:
        """The parsed expressions by variable."""
        found = {}
        for name, text in self.variables.items():
            try:
                found[name] = Expression.parse(text)
            except DataError as error:
                raise DataError(f"variable {name!r}: {error}") from None
        return found

    def parents(self, variable: str) -> tuple[str, ...]:
        """The variables that one is computed from; none for an input."""
        if variable in self.inputs:
            return ()
        self._known(variable)
        return tuple(name for name in self.expressions[variable].names if name not in self.tables)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """All variables that are computed, each after its parents."""
        done: dict[str, None] = {}
        for name in self.variables:
            self._visit(name, (), done)
        return tuple(done)

    def run(self, inputs: Setting, *, fixed: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """The value of every variable. `fixed` ones have the value given, whatever their parents are.

        Raises:
            DataError: an input that is missing, unknown or outside its values, or an expression without a value.
        """
        fixed = dict(fixed or {})
        for name in fixed:
            self._known(name)
        values: dict[str, Any] = {**self._checked(inputs), **fixed}
        for name in self.order:
            if name in fixed:
                continue
            try:
                values[name] = self.expressions[name].value({**self._entries, **values})
            except DataError as error:
                raise DataError(f"variable {name!r}: {error}") from None
        return values

    def interchange(self, base: Setting, sources: Mapping[str, Setting]) -> dict[str, Value]:
        """All variables on `base`, while each variable in `sources` has its value on that source setting."""
        for name in sources:
            self._known(name)
        return self.run(base, fixed={name: self.run(source)[name] for name, source in sources.items()})

    def sample(self, n: int, *, seed: int, repeats: float = 0.0) -> list[dict[str, Value]]:
        """`n` different settings at random, or all that there are.

        With probability `repeats` an input has the value of an earlier one, where that is one of its own: equal values
        are rare otherwise.
        """
        total, rng = math.prod(len(domain) for domain in self.inputs.values()), np.random.default_rng(seed)
        if total <= 4 * n:
            every = list(itertools.product(*self.inputs.values()))
            return [self._setting(every[i]) for i in rng.permutation(total)[:n]]
        drawn: dict[str, tuple[Any, ...]] = {}
        while len(drawn) < n:
            values = self._drawn(rng, repeats)
            drawn[repr(values)] = values
        return [self._setting(values) for values in drawn.values()]

    def _drawn(self, rng: np.random.Generator, repeats: float) -> tuple[Any, ...]:
        values: list[Any] = []
        for domain in self.inputs.values():
            earlier = values[int(rng.integers(len(values)))] if values and rng.random() < repeats else None
            values.append(earlier if earlier in domain else domain[int(rng.integers(len(domain)))])
        return tuple(values)

    @property
    def hash(self) -> str:
        """The same for the same model."""
        return digest(self.model_dump(mode="json"))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it as readable JSON."""
        write_text(path, pretty(self.model_dump(mode="json")))
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote. Raises StorageError for a file that can't be read, DataError for a bad model."""
        try:
            text = Path(path).read_bytes()
        except OSError as error:
            raise StorageError(f"cannot read the causal model {path}: {error.strerror or error}.") from error
        return cls.from_json(text)

    def to_json(self) -> str:
        """Readable JSON."""
        return pretty(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The model that `to_json` wrote."""
        return cls.model_validate(parse(text, what="the causal model"))

    @cached_property
    def _entries(self) -> dict[str, dict[Any, Any]]:
        return {name: dict(entries) for name, entries in self.tables.items()}

    def _setting(self, values: Sequence[Any]) -> dict[str, Value]:
        return dict(zip(self.inputs, values, strict=True))

    def _sampled(self) -> Iterator[dict[str, Value]]:
        yield self._setting([domain[0] for domain in self.inputs.values()])
        yield from self.sample(TRIED, seed=0)

    def _check_names(self) -> None:
        names = [*self.inputs, *self.variables, *self.tables]
        for name in names:
            if not name.isidentifier():
                raise DataError(f"{name!r} can't be the name of a variable: expected letters, digits and _.")
            if names.count(name) > 1:
                raise DataError(f"{name!r} is given twice, among inputs, variables and tables.")
        for name, domain in self.inputs.items():
            if len(set(map(repr, domain))) < len(domain):
                raise DataError(f"input {name!r} has a value twice: {list(domain)}.")
        for name, expression in self.expressions.items():
            for used in expression.names:
                if used not in names:
                    raise DataError(f"variable {name!r} uses {used!r}, which is not there.{nearest(used, names)}")
        if self.output not in self.variables:
            raise DataError(f"the output {self.output!r} is not a variable.{nearest(self.output, self.variables)}")

    def _visit(self, name: str, path: tuple[str, ...], done: dict[str, None]) -> None:
        if name in done or name in self.inputs:
            return
        if name in path:
            raise DataError(
                f"variables depend on each other in a cycle: {' ← '.join([*path[path.index(name) :], name])}."
            )
        for parent in self.parents(name):
            self._visit(parent, (*path, name), done)
        done[name] = None

    def _known(self, variable: str) -> None:
        if variable not in self.variables and variable not in self.inputs:
            names = [*self.variables, *self.inputs]
            raise DataError(
                f"there is no variable {variable!r}.{nearest(variable, names)} There are: {', '.join(names)}."
            )

    def _checked(self, inputs: Setting) -> dict[str, Value]:
        missing = [name for name in self.inputs if name not in inputs]
        unknown = [name for name in inputs if name not in self.inputs]
        if missing or unknown:
            raise DataError(
                f"a setting needs {', '.join(self.inputs)}: "
                + "; ".join(
                    [f"{name!r} is missing" for name in missing] + [f"{name!r} is no input" for name in unknown]
                )
                + "."
            )
        for name, value in inputs.items():
            if value not in self.inputs[name]:
                shown = ", ".join(map(repr, self.inputs[name][:6])) + (", …" if len(self.inputs[name]) > 6 else "")
                raise DataError(f"input {name!r} is {value!r}: expected one of {shown}.")
        return dict(inputs)
