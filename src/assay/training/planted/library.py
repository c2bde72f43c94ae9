"""Programs with their circuits: reverse, fraction of previous tokens, sort, histogram, indirect objects.

Each is compiled, and comes with pairs of prompts whose answers at the last position differ. The counterfactual of a prompt
is another prompt of the same kind, so under the ablations that use other prompts the parts of a program that compute with
positions alone are in no circuit: replacing them changes nothing. Under zero ablation they are in it. Both truths are true
(Miller et al. 2024, arXiv:2407.08734).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.training.planted.compiler import Compiler
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
    run,
)
from assay.training.planted.situation import Situation, example, truths_of
from assay.training.planted.weights import plant
from assay.training.planted.wiring import Wiring

Draw = Callable[[random.Random], tuple[Value, ...]]
Fits = Callable[[Sequence[Value], Sequence[Value]], bool]
BOS = "<bos>"


@dataclass(frozen=True)
class Program:
    """An expression, the prompts that it is for, and what its parts do."""

    name: str
    output: Expression
    tokens: tuple[Value, ...]
    """Values that prompts are made of; answers that are no tokens get ids of their own."""
    length: int
    draw: Draw
    roles: Mapping[str, str]
    causal: bool = False
    fits: Fits = field(default=lambda clean, corrupt: True)
    """Which prompts can be a pair, besides those with different answers."""

    @property
    def ids(self) -> dict[Value, int]:
        """Token id of each value."""
        return {value: i for i, value in enumerate(dict.fromkeys((BOS, *self.tokens, *self.output.domain)))}

    def encode(self, values: Sequence[Value]) -> tuple[int, ...]:
        """Token ids, with `BOS` first."""
        return tuple(self.ids[value] for value in (BOS, *values))

    def answers(self, values: Sequence[Value]) -> list[Value]:
        """What the program gives at each position."""
        return run(self.output, values, causal=self.causal)


def compiled(program: Program, *, seed: int = 0, n: int = 16) -> Situation:
    """The program as a transformer, with `n` pairs."""
    wiring = Wiring(len(program.ids), program.length + 1, causal=program.causal)
    Compiler(wiring, program.ids, bos=program.ids[BOS]).output(program.output)
    notes = f"compiled from a program: {program.name}; attention is saturated, as in all compiled models"
    model = plant(wiring, seed=seed, heads=2 + max(head.index for head in wiring.heads))
    return Situation(program.name, model, pairs_of(program, seed, n), truths_of(wiring), notes, program.roles)


def pairs_of(program: Program, seed: int, n: int) -> Pairs:
    """Pairs of prompts with different answers at the last position."""
    rng = random.Random(seed)
    found: list[Example] = []
    while len(found) < n:
        clean, corrupt = program.draw(rng), program.draw(rng)
        answer, wrong = program.answers(clean)[-1], program.answers(corrupt)[-1]
        if answer != wrong and program.fits(clean, corrupt):
            sides = program.encode(clean), program.encode(corrupt)
            found.append(example(*sides, answer=program.ids[answer], wrong=program.ids[wrong]))
    return Pairs(tuple(found), program.name, seed).align(None)


def reverse(length: int = 4) -> Program:
    """The tokens in reverse order; the length is counted, not known."""
    tokens, places = Tokens(tuple("abcde")), Indices(length)
    everything = Select(keys=places, queries=places, predicate=lambda key, query: True)
    counted = Width(everything, most=length + 1)  # one more than there are: a count that is cut off is then a wrong one
    opposite = Pair(counted, places, lambda n, place: max(n - 1 - place, 0))
    output = Aggregate(Select(keys=places, queries=opposite, predicate=lambda key, query: key == query), tokens)
    roles = {"L0.H0": "length", "L0.mlp": "length", "L1.mlp": "opposite position", "L2.H0": "moves the token"}
    return Program("reverse", output, tokens.domain, length, _any(tokens.domain, length), roles)


def fraction_of_previous(length: int = 4) -> Program:
    """At each position, which share of the tokens so far is an `x`."""
    tokens, places = Tokens(tuple("xyz")), Indices(length)
    so_far = Select(keys=places, queries=places, predicate=lambda key, query: key <= query)
    levels = tuple(sorted({count / n for n in range(1, length + 1) for count in range(n + 1)}))
    share = Aggregate(so_far, Map(tokens, lambda token: float(token == "x"), numeric=True), levels)
    output = Map(share, lambda level: min(levels, key=lambda each: abs(each - level)))
    roles = {"L0.mlp": "is it an x", "L1.H0": "mean over the tokens so far", "L1.mlp": "reads the mean"}
    return Program("fraction of previous", output, tokens.domain, length, _any(tokens.domain, length), roles)


def sort(length: int = 4) -> Program:
    """The tokens in order; they are all different."""
    tokens, places = Tokens(tuple(range(6))), Indices(length)
    rank = Width(Select(keys=tokens, queries=tokens, predicate=lambda key, query: key < query), most=length - 1)
    output = Aggregate(Select(keys=rank, queries=places, predicate=lambda key, query: key == query), tokens)
    roles = {"L0.H0": "counts smaller tokens", "L0.mlp": "rank", "L1.H0": "moves the token of this rank"}
    return Program(
        "sort", output, tokens.domain, length, lambda rng: tuple(rng.sample(tokens.domain, length)), roles,
        fits=lambda clean, corrupt: clean.index(max(clean)) != corrupt.index(max(corrupt)),
    )  # fmt: skip


def histogram(length: int = 4) -> Program:
    """How often each token is there."""
    tokens = Tokens(tuple("abc"))
    same = Select(keys=tokens, queries=tokens, predicate=lambda key, query: key == query)
    output = Width(same, most=length)
    roles = {"L0.H0": "counts equal tokens", "L0.mlp": "reads the count"}
    return Program("histogram", output, tokens.domain, length, _any(tokens.domain, length), roles)


def indirect_object() -> Program:
    """`A B gave B to`, or `A B B gave to`: A. Duplicate token → S-inhibition → name mover.

    As in Wang et al. 2022, arXiv:2211.00593.
    """
    names = tuple("ABCDEF")
    tokens, places = Tokens((*names, "gave", "to")), Indices(5)
    so_far = Width(Select(keys=tokens, queries=tokens, predicate=lambda key, query: key == query), most=3)
    subject = Aggregate(Select(keys=so_far, queries=places, predicate=lambda key, query: key == 2), tokens)
    other = Select(keys=tokens, queries=subject, predicate=lambda key, query: key in names and key != query)
    roles = {"L0.H0": "duplicate token", "L0.mlp": "reads the count", "L1.H0": "S-inhibition", "L2.H0": "name mover"}

    def draw(rng: random.Random) -> tuple[Value, ...]:
        first, second = rng.sample(names, 2)
        middle = ["gave", rng.choice((first, second))]
        rng.shuffle(middle)
        return (first, second, *middle, "to")

    def differ(clean: Sequence[Value], corrupt: Sequence[Value]) -> bool:
        """Neither the object nor the subject's second place is where it is in the other prompt."""
        objects = [side.index(next(name for name in side[:2] if side.count(name) == 1)) for side in (clean, corrupt)]
        return objects[0] != objects[1] and clean.index("gave") != corrupt.index("gave")

    return Program(
        "indirect object", Aggregate(other, tokens), tokens.domain, 5, draw, roles, causal=True,
        fits=differ,
    )  # fmt: skip


PROGRAMS: Mapping[str, Callable[[], Program]] = {
    "reverse": reverse,
    "fraction of previous": fraction_of_previous,
    "sort": sort,
    "histogram": histogram,
    "indirect object": indirect_object,
}


def _any(domain: Sequence[Value], length: int) -> Draw:
    return lambda rng: tuple(rng.choices(domain, k=length))
