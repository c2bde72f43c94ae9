"""From a program to the weights of a transformer.

Every expression gets a channel of the residual stream: one number, or one dimension for each value. A `Select` becomes
the query and key of a head, `Aggregate` its value and output; `Map` and `Pair` become neurons. Each part is put into the
first layer in which all that it reads is there. Source of the construction: Lindner et al. 2023, arXiv:2301.05062.

What attention computes is exact up to e^(−sharpness), what MLPs compute up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import torch
from torch import Tensor

from assay.core.errors import DataError
from assay.training.planted.programs import (
    Aggregate,
    Expression,
    Indices,
    Map,
    Pair,
    Select,
    Tokens,
    Value,
    Width,
)
from assay.training.planted.wiring import Head, Neurons, Port, Wiring

SHARPNESS = 12.0
"""Score of a selected key above one that is not: the others get e^−12, six millionths, each."""

BOS, ONE = "bos", "one"


@dataclass
class Compiler:
    """Places a program's parts, one after another. `ids` gives the token of each value that is read or written."""

    wiring: Wiring
    ids: Mapping[Value, int]
    bos: int
    sharpness: float = SHARPNESS
    placed: dict[Expression, tuple[str, int]] = field(default_factory=dict)
    """Each expression's channel, and the time from which it is there: −1 embedding, 2l attention, 2l + 1 MLP of layer l."""

    def output(self, program: Expression) -> None:
        """Compile a program whose values are tokens, and read logits from it."""
        channel, _ = self.place(program)
        self.wiring.unembed(channel, _table(program.domain, self.wiring.vocabulary, lambda value: self.ids[value]))

    def place(self, expression: Expression) -> tuple[str, int]:
        """The channel of an expression and its time."""
        if expression not in self.placed:
            self.placed[expression] = self._place(expression)
        return self.placed[expression]

    def _place(self, expression: Expression) -> tuple[str, int]:
        match expression:
            case Tokens():
                rows = torch.zeros(self.wiring.vocabulary, len(expression.domain))
                for column, value in enumerate(expression.domain):
                    rows[self.ids[value], column] = 1
                return self.wiring.embed("tokens", rows), -1
            case Indices():
                rows = torch.zeros(self.wiring.length, expression.length)
                rows[1 : expression.length + 1] = torch.eye(expression.length)
                return self.wiring.place("indices", rows), -1
            case Map():
                return self._stepped(expression) if expression.source.numeric else self._looked_up(expression)
            case Pair():
                return self._paired(expression)
            case Aggregate():
                return self._aggregated(expression)
            case Width():
                return self._counted(expression)

    # -- attention ------------------------------------------------------------------------------------------------------

    def _aggregated(self, expression: Aggregate) -> tuple[str, int]:
        values, _ = self.place(expression.values)
        size = self.wiring.channels[values]
        query, key, time = self._selector(expression.select, also=(expression.values,))
        out = self._new("mean", size)
        return out, self._head(time, query, key, (values, torch.eye(size)), (out, torch.eye(size)))

    def _counted(self, expression: Width) -> tuple[str, int]:
        """A head that looks at `BOS` as much as at each selected key has 1 / (1 + n) of it."""
        mark = self._mark(BOS)
        query, key, time = self._selector(expression.select)
        if query:
            extra = query[0][1].shape[1]
            query += ((self._mark(ONE), _corner(extra + 1) * self.sharpness),)
            key += ((mark, _corner(extra + 1)),)
        share = self._new("share", 1)
        time = self._head(time, query, key, (mark, torch.eye(1)), (share, torch.eye(1)))
        shares = [1 / (1 + n) for n in range(expression.most + 1)]
        return self._steps((share, time), shares, list(range(expression.most + 1)), expression.domain)

    def _selector(
        self, select: Select, *, also: Sequence[Expression] = ()
    ) -> tuple[tuple[Port, ...], tuple[Port, ...], int]:
        """Query and key of a head, and the time of its attention. Where everything is selected neither reads anything:
        equal scores are what no query and no key give."""
        (keys, key_time), (queries, query_time) = self.place(select.keys), self.place(select.queries)
        wanted = [[float(select.predicate(k, q)) for k in select.keys.domain] for q in select.queries.domain]
        time = max([key_time, query_time, *(self.place(each)[1] for each in also)])
        start = 2 * (time // 2 + 1) if time >= 0 else 0
        if all(map(all, wanted)):
            return (), (), start
        query = (queries, self.sharpness * torch.tensor(wanted))
        return (query,), ((keys, torch.eye(len(select.keys.domain))),), start

    def _head(self, time: int, query: tuple[Port, ...], key: tuple[Port, ...], value: Port, write: Port) -> int:
        layer = time // 2
        index = sum(head.layer == layer for head in self.wiring.heads)
        self.wiring.heads.append(Head(layer, index, query, key, (value,), (write,)))
        return time

    def _mark(self, name: str) -> str:
        """The channel that marks the first token, or the one that is 1 everywhere."""
        if name not in self.wiring.channels:
            if name == BOS:
                rows = torch.zeros(self.wiring.vocabulary, 1)
                rows[self.bos] = 1
                return self.wiring.embed(BOS, rows, fixed=True)
            return self.wiring.place(ONE, torch.ones(self.wiring.length, 1))
        return name

    # -- MLPs -----------------------------------------------------------------------------------------------------------

    def _looked_up(self, expression: Map) -> tuple[str, int]:
        source, time = self.place(expression.source)
        table = self._written(expression, [expression.function(value) for value in expression.source.domain])
        size = len(expression.source.domain)
        out = self._new("map", table.shape[1])
        return out, self._neurons(time, ((source, torch.eye(size)),), torch.zeros(size), (out, table))

    def _paired(self, expression: Pair) -> tuple[str, int]:
        (first, first_time), (second, second_time) = self.place(expression.first), self.place(expression.second)
        pairs = list(product(range(len(expression.first.domain)), range(len(expression.second.domain))))
        left, right = (
            _one_hot([pair[side] for pair in pairs], len(part.domain)).T
            for side, part in enumerate((expression.first, expression.second))
        )
        results = [expression.function(a, b) for a, b in product(expression.first.domain, expression.second.domain)]
        table = self._written(expression, results)
        out = self._new("pair", table.shape[1])
        time = max(first_time, second_time)
        return out, self._neurons(time, ((first, left), (second, right)), -torch.ones(len(pairs)), (out, table))

    def _stepped(self, expression: Map) -> tuple[str, int]:
        levels = list(expression.source.domain)
        if not levels:
            raise DataError("A number can be mapped only if its levels are known: give `levels` to Aggregate.")
        results = [expression.function(level) for level in levels]
        return self._steps(self.place(expression.source), levels, results, expression.domain)

    def _steps(
        self, source: tuple[str, int], levels: list[float], results: list[Value], domain: tuple[Value, ...]
    ) -> tuple[str, int]:
        """A table of values for a number that has one of some levels: a step half-way between each two of them."""
        order = sorted(range(len(levels)), key=lambda i: levels[i])
        sorted_levels = torch.tensor([levels[i] for i in order], dtype=torch.float64)
        table = _one_hot([domain.index(results[i]) for i in order], len(domain))
        gaps = sorted_levels.diff()
        steep = 2 / float(gaps.min())
        middle = (sorted_levels[:-1] + sorted_levels[1:]) / 2
        bias = torch.cat([0.5 - steep * middle, -0.5 - steep * middle])
        rise = table.diff(dim=0)
        out = self._new("steps", len(domain))
        read = ((source[0], torch.full((1, len(bias)), steep, dtype=torch.float64)),)
        write = (out, torch.cat([rise, -rise]))
        return out, self._neurons(source[1], read, bias, write, shift=((out, table[:1]),))

    def _neurons(
        self, time: int, read: tuple[Port, ...], bias: Tensor, write: Port, *, shift: tuple[Port, ...] = ()
    ) -> int:
        layer = (time + 1) // 2
        self.wiring.neurons.append(Neurons(layer, read, bias, (write,), shift))
        return 2 * layer + 1

    def _written(self, expression: Map | Pair, results: list[Value]) -> Tensor:
        if expression.numeric:
            return torch.tensor([[float(result)] for result in results], dtype=torch.float64)
        return _one_hot([expression.domain.index(result) for result in results], len(expression.domain))

    def _new(self, kind: str, size: int) -> str:
        return self.wiring.channel(f"{kind} {len(self.wiring.channels)}", size)


def _one_hot(places: Sequence[int], size: int) -> Tensor:
    return torch.eye(size, dtype=torch.float64)[list(places)]


def _table(domain: Sequence[Value], size: int, place: Callable[[Value], int]) -> Tensor:
    return _one_hot([place(value) for value in domain], size)


def _corner(size: int) -> Tensor:
    """A row that writes the last of `size` columns."""
    return _one_hot([size - 1], size)
