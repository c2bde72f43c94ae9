"""Counterfactual data: a base, a source, the variable that takes the source's value, and the label that should follow.

Made from a causal model by `counterfactuals`, or read from contrast pairs. Examples are balanced: in half of them the
interchange changes the label, and labels are equally frequent, so that what chance gives is known:

    keep the base's label     right where the interchange changes nothing: half of the examples
    take the source's label   right where the source's own label is expected
    always the same label     the share of the most frequent label

`chance` is the best of the three. Settings are parted before they are paired, so no setting of one split is in another:
an alignment that has learned examples instead of a variable does no better than chance on the test split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from assay.circuits.abstraction.causal_model import CausalModel, Setting
from assay.circuits.abstraction.expression import Value
from assay.circuits.abstraction.prompts import PLAIN, Encode, Written, written
from assay.core.errors import DataError, nearest
from assay.core.seeds import child_seed
from assay.data.pairs import Pairs
from assay.experiments.inputs import Input
from assay.experiments.restrict import some_of

SPLITS = {"train": 0.6, "validation": 0.2, "test": 0.2}
"""The share of settings in each split."""
POOL = 4096
"""Settings that pairs are drawn from, at most."""
REPEATS = 0.5
"""How often an input repeats another one's value, so that equal ones turn up."""
TRIES = 200
"""Pairs tried for each example that is wanted."""


@dataclass(frozen=True)
class Interchange:
    """One example: `variable` takes on `base` the value that it has on `source`; `expected` is the label then."""

    variable: str
    base: Setting
    source: Setting
    expected: Value
    base_label: Value
    source_label: Value
    split: str = ""

    @property
    def changes(self) -> bool:
        """Whether the interchange changes the label."""
        return self.expected != self.base_label


@dataclass(frozen=True)
class Counterfactuals:
    """Examples with what a network reads for them. `labels` are the answers among which a network chooses.

    `answers[label]` is the token (text or id) that stands for a label, or its index at the site `read`.
    """

    examples: tuple[Interchange, ...]
    labels: tuple[Value, ...]
    answers: tuple[str | int, ...]
    base: Input = field(repr=False)
    source: Input = field(repr=False)
    read: str | None = None
    facts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that are intervened on, in order of appearance."""
        return tuple(dict.fromkeys(example.variable for example in self.examples))

    @property
    def positions(self) -> tuple[str, ...]:
        """The named positions of the prompts."""
        return tuple(self.base.positions)

    def of(self, variable: str | None = None, *, split: str | None = None) -> Counterfactuals:
        """The examples of one variable, of one split, or both.

        Raises:
            DataError: there are none.
        """
        if variable is not None and variable not in self.variables:
            near = nearest(variable, self.variables)
            raise DataError(f"no example intervenes on {variable!r}, only on {', '.join(self.variables)}.{near}")
        chosen = [
            i
            for i, example in enumerate(self.examples)
            if (variable is None or example.variable == variable) and (split is None or example.split == split)
        ]
        if not chosen:
            raise DataError(f"no example of {variable or 'any variable'} is in the split {split!r}.")
        return self.take(chosen)

    def take(self, indices: Sequence[int]) -> Counterfactuals:
        """The examples at these indices, in this order."""
        examples = tuple(self.examples[i] for i in indices)
        return replace(
            self, examples=examples, base=some_of(self.base, list(indices)), source=some_of(self.source, list(indices))
        )

    def indices(self, which: Callable[[Interchange], Any]) -> np.ndarray:
        """For each example the number of a label that `which` gives."""
        places = {label: i for i, label in enumerate(self.labels)}
        return np.array([places[which(example)] for example in self.examples])

    @property
    def expected(self) -> np.ndarray:
        """The number of the label that should follow."""
        return self.indices(lambda example: example.expected)

    @property
    def base_labels(self) -> np.ndarray:
        """The number of the base's own label."""
        return self.indices(lambda example: example.base_label)

    @property
    def changes(self) -> np.ndarray:
        """For each example whether the interchange changes the label."""
        return np.array([example.changes for example in self.examples])

    @property
    def resists(self) -> np.ndarray:
        """Where the label should stay though the source's own label differs: what an isolated variable must get right."""
        return np.array([not each.changes and each.source_label != each.base_label for each in self.examples])

    @property
    def chance(self) -> dict[str, float]:
        """What three answers that know nothing of the network get right."""
        expected = [example.expected for example in self.examples]
        return {
            "keep the base's label": float(np.mean([not each.changes for each in self.examples])),
            "take the source's label": float(np.mean([each.expected == each.source_label for each in self.examples])),
            "always the same label": max(Counter(expected).values()) / len(expected),
        }

    @classmethod
    def from_pairs(cls, pairs: Pairs, *, variable: str = "answer") -> Counterfactuals:
        """Contrast pairs as interchanges: the counterfactual prompt is the source, and its answer is expected.

        The label always changes, so a patch of everything is always right: keep to places where that says something.
        Splits are those of the pairs, or 60 : 20 : 20 in their order where they have fewer than two.
        """
        tokens = pairs.aligned_tokens()
        if not all(each.answers and each.corrupt_answers for each in tokens):
            raise DataError("interchanges need an answer to both prompts: some of these pairs lack one of them.")
        right = [each.answers[0][0] for each in tokens]
        other = [each.corrupt_answers[0][0] for each in tokens]
        labels = tuple(dict.fromkeys([*right, *other]))
        splits = [each.split for each in pairs]
        facts: tuple[str, ...] = ("every interchange changes the label: patching everything is always right",)
        if len(set(splits)) < 2:
            cut = [int(len(pairs) * share) for share in (SPLITS["train"], SPLITS["train"] + SPLITS["validation"])]
            splits = ["train" if i < cut[0] else "validation" if i < cut[1] else "test" for i in range(len(pairs))]
            facts += ("pairs of one split: parted 60 : 20 : 20 by their order, so splits share wordings and names",)
        rows = zip(pairs, right, other, splits, strict=True)
        examples = tuple(
            Interchange(variable, {"prompt": str(e.clean)}, {"prompt": str(e.corrupt)}, o, r, o, split)
            for e, r, o, split in rows
        )
        inputs = pairs.as_inputs()
        return cls(examples, labels, labels, inputs["clean"], inputs["corrupt"], facts=(*pairs.facts, *facts))


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
    pools = _pools(causal, seed)
    examples: list[Interchange] = []
    for variable in chosen:
        for split, share in SPLITS.items():
            rng = np.random.default_rng(child_seed(seed, variable, split))
            examples += _balanced(causal, pools[split], variable, split=split, n=max(4, round(n * share)), rng=rng)
    found = {value for example in examples for value in (example.expected, example.base_label, example.source_label)}
    missing = [label for label in found if label not in answers]
    if missing:
        raise DataError(f"the output can be {missing[0]!r}, and answers= has no token for it.")
    labels = tuple(label for label in answers if label in found)
    base = written([example.base for example in examples], encode, written_for)
    source = written([example.source for example in examples], encode, written_for)
    tokens = tuple(answers[label] for label in labels)
    return Counterfactuals(tuple(examples), labels, tokens, base, source, read=written_for.read)


def _pools(causal: CausalModel, seed: int) -> dict[str, dict[tuple[Value, ...], list[Setting]]]:
    """The settings of each split, by the values of all computed variables: rare values are drawn as often as others."""
    groups: dict[tuple[Value, ...], list[Setting]] = {}
    for setting in causal.sample(POOL, seed=child_seed(seed, "settings"), repeats=REPEATS):
        values = causal.run(setting)
        groups.setdefault(tuple(values[name] for name in causal.order), []).append(setting)
    pools: dict[str, dict[tuple[Value, ...], list[Setting]]] = {split: {} for split in SPLITS}
    for key, settings in groups.items():
        if len(settings) < len(SPLITS):
            raise DataError(
                f"only {len(settings)} settings give {dict(zip(causal.order, key, strict=True))}: at least {len(SPLITS)} are "
                "needed, so that train, validation and test share none. Give the inputs more values."
            )
        ends = _ends(len(settings))
        for split, (start, stop) in zip(SPLITS, ends, strict=True):
            pools[split][key] = settings[start:stop]
    return pools


def _ends(n: int) -> list[tuple[int, int]]:
    """Where each split begins and ends among `n` settings; none is empty."""
    validation, test = (max(1, round(n * SPLITS[split])) for split in ("validation", "test"))
    train = n - validation - test
    return [(0, train), (train, train + validation), (train + validation, n)]


def _balanced(
    causal: CausalModel,
    pool: Mapping[tuple[Value, ...], Sequence[Setting]],
    variable: str,
    *,
    split: str,
    n: int,
    rng: np.random.Generator,
) -> list[Interchange]:
    """Examples in equal shares of (changes or not, expected label), as far as pairs of each kind turn up."""
    keys = list(pool)
    kinds: dict[tuple[bool, Value], list[Interchange]] = {}

    def draw() -> Setting:
        some = pool[keys[int(rng.integers(len(keys)))]]
        return some[int(rng.integers(len(some)))]

    for _ in range(TRIES * n):
        made = _interchange(causal, variable, draw(), draw(), split)
        kinds.setdefault((made.changes, made.expected), []).append(made)
        if _enough(kinds, n):
            break
    if not any(changes for changes, _ in kinds):
        raise DataError(
            f"no interchange of {variable!r} changes {causal.output!r} in {TRIES * n} pairs: it does not matter for the "
            "output, so nothing could show where it is."
        )
    return [each for changes in (True, False) for each in _share(kinds, changes, n // 2)]


def _enough(kinds: Mapping[tuple[bool, Value], Sequence[Interchange]], n: int) -> bool:
    """Whether each kind that was seen has its share. A kind may turn up late, so no less than `n` pairs are tried."""
    if sum(map(len, kinds.values())) < max(n, 20 * len(kinds)):
        return False
    return all(
        len(each) >= -(-(n // 2) // sum(1 for other in kinds if other[0] == kind[0])) for kind, each in kinds.items()
    ) and {changes for changes, _ in kinds} == {True, False}


def _share(kinds: Mapping[tuple[bool, Value], list[Interchange]], changes: bool, n: int) -> list[Interchange]:
    """`n` examples, in turn of each expected label."""
    rows = [kinds[kind] for kind in sorted(kinds, key=repr) if kind[0] is changes]
    turns = [row[i] for i in range(max(map(len, rows), default=0)) for row in rows if i < len(row)]
    return turns[:n]


def _interchange(causal: CausalModel, variable: str, base: Setting, source: Setting, split: str) -> Interchange:
    expected = causal.interchange(base, {variable: source})[causal.output]
    base_label, source_label = (causal.run(each)[causal.output] for each in (base, source))
    return Interchange(variable, base, source, expected, base_label, source_label, split)
