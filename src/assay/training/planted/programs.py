"""A small language of sequence programs, after RASP (Weiss et al. 2021, arXiv:2106.06981): select, aggregate, elementwise.

A program is an expression; its value is one thing for each position. `run` computes it in plain Python, which is what
compiled weights are held against. Position 0 holds the first token (`BOS`), which no selector selects and of which no value
is claimed.

>>> tokens, places = Tokens(tuple("abc")), Indices(3)
>>> here_and_before = Select(keys=places, queries=places, predicate=lambda key, query: key <= query)
>>> is_a = Map(tokens, lambda token: float(token == "a"), numeric=True)
>>> run(Aggregate(here_and_before, is_a), "aba")
[1.0, 0.5, 0.6666666666666666]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Value: TypeAlias = Any
"""A token, a number or a position: what an expression has at one place."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens themselves."""

    domain: tuple[Value, ...]
    numeric = False


@dataclass(frozen=True, eq=False)
class Indices:
    """The position of each token, from 0 (after `BOS`)."""

    length: int
    numeric = False

    @property
    def domain(self) -> tuple[Value, ...]:
        """All positions."""
        return tuple(range(self.length))


@dataclass(frozen=True, eq=False)
class Map:
    """A function of one value. `numeric`: the result is kept as a number, not as one of several values.

    Becomes neurons of one MLP: one for each value of a categorical source, two for each step between levels of a number.
    """

    source: Expression
    function: Callable[[Value], Value]
    numeric: bool = False

    @property
    def domain(self) -> tuple[Value, ...]:
        """What the function gives."""
        return _distinct(self.function(value) for value in self.source.domain)


@dataclass(frozen=True, eq=False)
class Pair:
    """A function of two categorical values. Becomes one neuron for each pair of values."""

    first: Expression
    second: Expression
    function: Callable[[Value, Value], Value]
    numeric = False

    @property
    def domain(self) -> tuple[Value, ...]:
        """What the function gives."""
        return _distinct(self.function(a, b) for a in self.first.domain for b in self.second.domain)


@dataclass(frozen=True, eq=False)
class Select:
    """Which keys each query looks at: `predicate(key, query)`. In a causal program, only keys up to the query count."""

    keys: Expression
    queries: Expression
    predicate: Callable[[Value, Value], bool]


@dataclass(frozen=True, eq=False)
class Aggregate:
    """The mean over the selected keys of a number; of a categorical value, the only one that is selected. One head.

    `levels` are the values that a mean can have, where they are known to be few: they make it readable by `Map`.
    """

    select: Select
    values: Expression
    levels: tuple[float, ...] = ()

    @property
    def numeric(self) -> bool:
        """As the values are."""
        return self.values.numeric

    @property
    def domain(self) -> tuple[Value, ...]:
        """What can come out."""
        return self.levels if self.numeric else self.values.domain


@dataclass(frozen=True, eq=False)
class Width:
    """How many keys are selected, up to `most`. One head, which looks at `BOS` too, and one MLP, which reads 1 / (1 + n)."""

    select: Select
    most: int
    numeric: bool = field(default=False, init=False)

    @property
    def domain(self) -> tuple[Value, ...]:
        """Counts."""
        return tuple(range(self.most + 1))


Expression: TypeAlias = Tokens | Indices | Map | Pair | Aggregate | Width


def run(program: Expression, tokens: Sequence[Value], *, causal: bool = False) -> list[Value]:
    """The program's value at each position of `tokens` (without `BOS`); None where nothing is selected."""
    places = range(len(tokens))
    match program:
        case Tokens():
            return list(tokens)
        case Indices():
            return list(places)
        case Map():
            return [None if v is None else program.function(v) for v in run(program.source, tokens, causal=causal)]
        case Pair():
            both = (run(part, tokens, causal=causal) for part in (program.first, program.second))
            return [None if None in pair else program.function(*pair) for pair in zip(*both, strict=True)]
        case Width():
            return [len(chosen) for chosen in _selected(program.select, tokens, causal)]
        case Aggregate():
            values = run(program.values, tokens, causal=causal)
            chosen = [[values[k] for k in keys] for keys in _selected(program.select, tokens, causal)]
            return [_mean(each) if program.numeric else _only(each) for each in chosen]


def _selected(select: Select, tokens: Sequence[Value], causal: bool) -> list[list[int]]:
    keys, queries = (run(part, tokens, causal=causal) for part in (select.keys, select.queries))
    return [
        [
            k
            for k, key in enumerate(keys)
            if _known(key, query) and (k <= q or not causal) and select.predicate(key, query)
        ]
        for q, query in enumerate(queries)
    ]


def _known(key: Value, query: Value) -> bool:
    return key is not None and query is not None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _only(values: Sequence[Value]) -> Value:
    return values[0] if len(set(values)) == 1 else None


def _distinct(values: Any) -> tuple[Value, ...]:
    return tuple(dict.fromkeys(values))
