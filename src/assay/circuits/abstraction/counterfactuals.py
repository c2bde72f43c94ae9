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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from assay.circuits.abstraction.causal_model import Setting
from assay.circuits.abstraction.expression import Value
from assay.core.errors import DataError, nearest
from assay.data.pairs import Pairs
from assay.experiments.inputs import Input
from assay.experiments.restrict import some_of

SPLITS = {"train": 0.6, "validation": 0.2, "test": 0.2}
"""The share of settings in each split."""


@dataclass(frozen=True)
class Interchange:
    """One example: `variable` takes on `base` the value that it has on `source`; `expected` is the label then."""

    variable: str
    base: Setting
    source: Setting
    expected: Value
    base_label: Value
    source_label: Value
    resists: bool = False
    """Whether the label stays, though it would change if all variables took the source's values."""
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
        """Where the label should stay, though it would change if every variable took the source's value."""
        return np.array([each.resists for each in self.examples])

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
            Interchange(variable, {"prompt": str(e.clean)}, {"prompt": str(e.corrupt)}, o, r, o, split=split)
            for e, r, o, split in rows
        )
        inputs = pairs.as_inputs()
        return cls(examples, labels, labels, inputs["clean"], inputs["corrupt"], facts=(*pairs.facts, *facts))
