"""Predicting labels from texts without any model: constant, majority, words, n-grams; what a probe or monitor must beat.

    right[i]       1 where the label of text i has the highest score of those that it may have, 1/m where m are tied

Words and n-grams are a ridge classifier on log counts, normalised to length 1; each text is scored by a classifier fitted on
other folds, and both sides of a contrast pair are in one fold. Where an example has a right and a wrong answer, the choice is
between these two, as it is for the model. Texts of token ids have the ids for words.

Cost: for each fold, a linear system of the number of texts; thousands are seconds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse

from assay.core.errors import SettingsError
from assay.data.pairs import Pairs

FOLDS = 5
RIDGE = 1.0
_WORD = re.compile(r"\w+|[^\w\s]")
Scorer = Callable[["Labelled", Bool[np.ndarray, " text"]], Float[np.ndarray, "text label"]]
"""From texts, and which of them may be learned from, to a score of each label for each text."""


@dataclass(frozen=True)
class Labelled:
    """Texts with labels. `options`: the labels that each may have; `groups`: what must not be learned from and tested on."""

    texts: tuple[str | tuple[int, ...], ...]
    labels: tuple[Hashable, ...]
    options: tuple[tuple[Hashable, ...], ...]
    groups: tuple[int, ...]

    @property
    def known(self) -> tuple[Hashable, ...]:
        """All labels and options, in a fixed order."""
        return tuple(sorted({each for options in self.options for each in options}, key=repr))


def labelled(data: Any) -> Labelled:
    """The texts and labels of Pairs (by label if they have one, else by answer), or of anything with both as fields.

    Raises:
        SettingsError: there are no labels.
    """
    if isinstance(data, Pairs):
        return _of_labels(data) or _of_answers(data)
    texts, labels = getattr(data, "texts", None), getattr(data, "labels", None)
    if texts is None or labels is None or len(texts) != len(labels):
        raise SettingsError(f"data of type {type(data).__name__} have no texts with a label each")
    every = tuple(dict.fromkeys(labels))
    return Labelled(tuple(texts), tuple(labels), (every,) * len(labels), tuple(range(len(labels))))


def right(data: Labelled, scorer: Scorer, *, seed: int = 0) -> Float[np.ndarray, " text"]:
    """Which texts a scorer gets right, each learned without its own fold."""
    known = {label: i for i, label in enumerate(data.known)}
    groups = np.array(data.groups)
    folds = min(FOLDS, len(set(data.groups)))
    if folds < 2:
        raise SettingsError("one example leaves nothing to learn from")
    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    fold = order[groups] % folds
    found = np.zeros(len(groups))
    for each in range(folds):
        scores = scorer(data, fold != each)
        for i in np.flatnonzero(fold == each):
            found[i] = _share_right(scores[i], data, int(i), known)
    return found


def _share_right(scores: Float[np.ndarray, " label"], data: Labelled, i: int, known: Mapping[Hashable, int]) -> float:
    allowed, own = scores[[known[label] for label in data.options[i]]], scores[known[data.labels[i]]]
    return float((own >= allowed.max()) / max(1, int((allowed == own).sum())))


def transferred(learned: Labelled, data: Labelled, scorer: Scorer) -> Float[np.ndarray, " text"]:
    """Which texts a scorer gets right that learns from other texts alone, as what it stands beside did.

    Raises:
        SettingsError: labels of which it could not have learned anything.
    """
    if unknown := [label for label in data.labels if label not in learned.known]:
        raise SettingsError(f"no text to learn from has the label {unknown[0]!r}")
    both = Labelled(
        learned.texts + data.texts,
        learned.labels + data.labels,
        learned.options + data.options,
        learned.groups + data.groups,
    )
    first = len(learned.texts)
    scores = scorer(both, np.arange(len(both.texts)) < first)[first:]
    known = {label: i for i, label in enumerate(both.known)}
    return np.array([_share_right(row, data, i, known) for i, row in enumerate(scores)])


def constant(data: Labelled, learned: Bool[np.ndarray, " text"]) -> Float[np.ndarray, "text label"]:
    """The first label in a fixed order, whatever the text."""
    return np.tile(-np.arange(len(data.known), dtype=float), (len(data.texts), 1))


def majority(data: Labelled, learned: Bool[np.ndarray, " text"]) -> Float[np.ndarray, "text label"]:
    """The most frequent label."""
    counts = Counter(label for label, use in zip(data.labels, learned, strict=True) if use)
    return np.tile([float(counts[label]) for label in data.known], (len(data.texts), 1))


def ngrams(longest: int) -> Scorer:
    """A ridge classifier on all n-grams of words up to `longest`; 1 is a bag of words."""

    def score(data: Labelled, learned: Bool[np.ndarray, " text"]) -> Float[np.ndarray, "text label"]:
        features = _features(data.texts, longest, learned)
        targets = np.array([[label == each for each in data.known] for label in data.labels], dtype=float)
        centre = targets[learned].mean(0)
        seen = features[learned]
        kernel = (seen @ seen.T).toarray() + RIDGE * np.eye(seen.shape[0])
        weights = np.linalg.solve(kernel, targets[learned] - centre)
        return np.asarray((features @ seen.T) @ weights + centre)

    return score


def _features(
    texts: Sequence[str | tuple[int, ...]], longest: int, learned: Bool[np.ndarray, " text"]
) -> sparse.csr_matrix:
    """Log counts of the n-grams that occur in texts to learn from, each row of length 1."""
    counts = [_grams(text, longest) for text in texts]
    where: dict[tuple[str, ...], int] = {}
    for each, use in zip(counts, learned, strict=True):
        if use:
            for gram in each:
                where.setdefault(gram, len(where))
    cells = [
        (i, where[gram], np.log1p(count))
        for i, each in enumerate(counts)
        for gram, count in each.items()
        if gram in where
    ]
    rows, columns, values = (np.array(part) for part in zip(*cells, strict=True)) if cells else (np.array([], int),) * 3
    table = sparse.csr_matrix((values, (rows, columns)), shape=(len(texts), max(1, len(where))))
    norms = np.sqrt(np.asarray(table.multiply(table).sum(1)).ravel())
    return sparse.csr_matrix(sparse.diags(1 / np.maximum(norms, 1e-12)) @ table)


def _grams(text: str | tuple[int, ...], longest: int) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text.lower()) if isinstance(text, str) else [str(token) for token in text]
    return Counter(tuple(words[i : i + n]) for n in range(1, longest + 1) for i in range(len(words) - n + 1))


def _of_labels(pairs: Pairs) -> Labelled | None:
    """The clean prompts with their labels, then the counterfactual ones with theirs."""
    items = [(e.clean, e.label, i) for i, e in enumerate(pairs.examples) if e.label is not None]
    if len(items) < len(pairs):
        return None
    items += [(e.corrupt, e.corrupt_label, i) for i, e in enumerate(pairs.examples) if e.corrupt_label is not None]
    texts, labels, groups = zip(*items, strict=True)
    return Labelled(texts, labels, (tuple(dict.fromkeys(labels)),) * len(labels), groups)


def _of_answers(pairs: Pairs) -> Labelled:
    if not all(example.answers for example in pairs.examples):
        raise SettingsError(f"the examples of task {pairs.task!r} have neither labels nor answers")
    labels = tuple(example.answers[0] for example in pairs.examples)
    every = tuple(dict.fromkeys(labels))
    options = tuple((e.answers[0], *e.wrong[:1]) if e.wrong else every for e in pairs.examples)
    return Labelled(tuple(e.clean for e in pairs.examples), labels, options, tuple(range(len(labels))))
