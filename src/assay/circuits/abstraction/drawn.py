"""Counterfactual examples drawn from a causal model, balanced, and parted by settings.

Settings are parted first and paired afterwards, so that no setting of one split is in another. For each variable half of
the examples change the label; of the others, as far as there are such, half resist (`Interchange.resists`); and expected
labels take turns. Rare values of variables are drawn as often as others. Cost: two runs of the causal model for each pair
that is tried, of which there are about four for each example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.circuits.abstraction.causal_model import CausalModel, Setting
from assay.circuits.abstraction.counterfactuals import SPLITS, Counterfactuals, Interchange
from assay.circuits.abstraction.expression import Value
from assay.circuits.abstraction.prompts import PLAIN, Encode, Written, written
from assay.core.errors import DataError
from assay.core.seeds import child_seed

POOL = 4096
"""Settings that pairs are drawn from, at most."""
REPEATS = 0.5
"""How often an input repeats another one's value, so that equal ones turn up."""
TRIES = 200
"""Pairs tried for each example that is wanted."""


def counterfactuals(
    causal: CausalModel,
    encode: Encode,
    *,
    answers: Mapping[Value, str | int],
    variables: Sequence[str] | None = None,
    n: int = 200,
    seed: int = 0,
    written_for: Written = PLAIN,
) -> Counterfactuals:
    """`n` balanced examples for each variable, half of which change the label.

    `encode` says what the network reads for a setting: a template (`"{a} plus {b} is"`) or a function to text, token
    ids, or a dict of the network's own tensors. `answers` is the token of each label (or its index at the site that is
    read). `variables` are all that are computed, but the output, if not given. `written_for` has what a prompt needs.

    Raises:
        DataError: a variable that can't change the output, a label without answer, or too few settings to part.
    """
    chosen = tuple(variables) if variables is not None else tuple(v for v in causal.order if v != causal.output)
    if not chosen:
        raise DataError("there is no variable between inputs and output: name some in variables=.")
    for variable in chosen:
        causal.parents(variable)  # refuses a name that is not there
    pools = _pools(causal, seed)
    examples: list[Interchange] = []
    for variable in chosen:
        for split, share in SPLITS.items():
            rng = np.random.default_rng(child_seed(seed, variable, split))
            draw = _Draw(
                causal, pools[split], (variable, *(other for other in chosen if other != variable)), split, rng
            )
            examples += _balanced(draw, max(4, round(n * share)))
    found = {value for example in examples for value in (example.expected, example.base_label, example.source_label)}
    missing = [label for label in found if label not in answers]
    if missing:
        raise DataError(f"the output can be {missing[0]!r}, and answers= has no token for it.")
    labels = tuple(label for label in answers if label in found)
    base = written([example.base for example in examples], encode, written_for)
    source = written([example.source for example in examples], encode, written_for)
    tokens = tuple(answers[label] for label in labels)
    return Counterfactuals(tuple(examples), labels, tokens, base, source, read=written_for.read)


Pool = Mapping[tuple[Value, ...], Sequence[tuple[Setting, Mapping[str, Value]]]]
"""Settings with the values of all variables, by the values of those that are computed."""


def _pools(causal: CausalModel, seed: int) -> dict[str, Pool]:
    """The settings of each split, by the values of all computed variables: rare values are drawn as often as others."""
    groups: dict[tuple[Value, ...], list[tuple[Setting, Mapping[str, Value]]]] = {}
    for setting in causal.sample(POOL, seed=child_seed(seed, "settings"), repeats=REPEATS):
        values = causal.run(setting)
        groups.setdefault(tuple(values[name] for name in causal.order), []).append((setting, values))
    pools: dict[str, dict[Any, Any]] = {split: {} for split in SPLITS}
    rng = np.random.default_rng(child_seed(seed, "splits"))
    for key, settings in groups.items():
        if len(settings) < len(SPLITS):  # too few to part: all of them in one split
            pools[str(rng.choice(list(SPLITS), p=list(SPLITS.values())))][key] = settings
            continue
        for split, (start, stop) in zip(SPLITS, _ends(len(settings)), strict=True):
            pools[split][key] = settings[start:stop]
    empty = [split for split, pool in pools.items() if len(pool) < 2]
    if empty:
        raise DataError(
            f"{sum(map(len, groups.values()))} settings with {len(groups)} different outcomes leave fewer than two outcomes "
            f"for {empty[0]}, as train, validation and test share none. Give the inputs more values."
        )
    return dict(pools)


def _ends(n: int) -> list[tuple[int, int]]:
    """Where each split begins and ends among `n` settings; none is empty."""
    validation, test = (max(1, round(n * SPLITS[split])) for split in ("validation", "test"))
    train = n - validation - test
    return [(0, train), (train, train + validation), (train + validation, n)]


@dataclass(frozen=True)
class _Draw:
    """Pairs of settings at random, as interchanges of the first of `variables`."""

    causal: CausalModel
    pool: Pool
    variables: tuple[str, ...]
    split: str
    rng: np.random.Generator

    def example(self) -> Interchange:
        (base, before), (source, values), output = self._setting(), self._setting(), self.causal.output
        alone, together = (
            self.causal.run(base, fixed={name: values[name] for name in names})[output]
            for names in (self.variables[:1], self.variables)
        )
        resists = alone == before[output] and together != before[output]
        labels = alone, before[output], values[output]
        return Interchange(self.variables[0], base, source, *labels, resists=resists, split=self.split)

    def _setting(self) -> tuple[Setting, Mapping[str, Value]]:
        keys = list(self.pool)
        some = self.pool[keys[int(self.rng.integers(len(keys)))]]
        return some[int(self.rng.integers(len(some)))]


def _balanced(draw: _Draw, n: int) -> list[Interchange]:
    """Half that change the label; of the others half that resist, as far as there are; expected labels in turn."""
    kinds: dict[tuple[bool, bool], dict[Value, list[Interchange]]] = {}
    for tried in range(TRIES * n):
        made = draw.example()
        kinds.setdefault((made.changes, made.resists), {}).setdefault(made.expected, []).append(made)
        if tried >= 4 * n and all(_count(kinds, changes) >= n // 2 for changes in (True, False)):
            break
    if not _count(kinds, True):
        variable, output = draw.variables[0], draw.causal.output
        raise DataError(
            f"no interchange of {variable!r} changes {output!r} in {TRIES * n} pairs: it does not matter for the output, so "
            "nothing could show where it is."
        )
    resisting = _turns(kinds.get((False, True), {}))
    quiet = _turns(kinds.get((False, False), {}))
    first = resisting[: max(n // 4, n // 2 - len(quiet))]
    return [*_turns(kinds[True, False])[: n // 2], *first, *quiet[: n // 2 - len(first)]]


def _count(kinds: Mapping[tuple[bool, bool], Mapping[Value, Sequence[Interchange]]], changes: bool) -> int:
    return sum(len(rows) for kind, labels in kinds.items() if kind[0] is changes for rows in labels.values())


def _turns(labels: Mapping[Value, Sequence[Interchange]]) -> list[Interchange]:
    """One of each expected label in turn, until the rarest runs out; then the others."""
    rows = [labels[label] for label in sorted(labels, key=repr)]
    return [row[i] for i in range(max(map(len, rows), default=0)) for row in rows if i < len(row)]
