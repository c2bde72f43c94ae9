"""Predictions from texts: chance where labels are random, planted cues found by what can see them, and no leaks."""

from __future__ import annotations

import random

import numpy as np
import pytest

from assay.core.errors import SettingsError
from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.stats.controls.texts import Labelled, constant, labelled, majority, ngrams, right, transferred

from .planted import Texts

WORDS = ["red", "blue", "tall", "small", "cat", "dog", "tree", "stone"]


def sentences(n: int, seed: int = 0) -> list[list[str]]:
    rng = random.Random(seed)
    return [rng.sample(WORDS, 5) for _ in range(n)]


def made(words: list[list[str]], labels: list[object]) -> Labelled:
    return labelled(Texts(tuple(" ".join(each) for each in words), tuple(labels)))


def test_a_cue_in_a_word_is_found() -> None:
    words = sentences(80)
    data = made(words, ["cat" in each for each in words])
    assert right(data, ngrams(1)).mean() >= 0.95


def test_a_cue_in_the_order_is_found_by_ngrams_alone() -> None:
    """The label is whether 'red' comes right before 'blue'; both words are in every text, so words alone are at chance."""
    rng, words, labels = random.Random(1), [], []
    for i in range(160):
        rest = rng.sample(WORDS[2:], 3)
        first = i % 2 == 0
        words.append([*rest[:1], *(["red", "blue"] if first else ["blue", "red"]), *rest[1:]])
        labels.append(first)
    assert right(made(words, labels), ngrams(3)).mean() >= 0.95
    assert right(made(words, labels), ngrams(1)).mean() <= 0.62


def test_random_labels_are_chance() -> None:
    """Learning and testing on the same texts, the plausible mistake, would be right nearly always."""
    rng = random.Random(2)
    data = made(sentences(200, 3), [rng.random() < 0.5 for _ in range(200)])
    for scorer in (ngrams(1), ngrams(3)):
        assert 0.38 <= right(data, scorer).mean() <= 0.62  # 3.4 standard errors of .035
        learned = scorer(data, np.ones(200, dtype=bool))
        assert (learned.argmax(1) == np.array(data.labels)).mean() > 0.62


def test_majority_and_constant() -> None:
    data = made(sentences(100), [i % 10 >= 3 for i in range(100)])
    assert right(data, majority).mean() == pytest.approx(0.7)
    assert right(data, constant).mean() == pytest.approx(0.3)  # False comes first, whatever the data


def test_ties_count_in_part() -> None:
    data = made(sentences(30), ["a", "b", "c"] * 10)
    assert right(data, lambda d, learned: np.zeros((30, 3))).mean() == pytest.approx(1 / 3)


def pairs(n: int = 40) -> Pairs:
    return Pairs(
        tuple(
            Example(
                clean=f"{name} is here {i}", corrupt=f"nobody is here {i}", answers=(f" {name}",), wrong=(f" {other}",),
                label=True, corrupt_label=False,
            )
            for i in range(n)
            for name, other in [("Ann", "Bob") if i % 2 else ("Bob", "Ann")]
        )
    )  # fmt: skip


def test_pairs_by_label_have_both_sides_in_one_fold() -> None:
    data = labelled(pairs())
    assert len(data.texts) == 80 and data.groups[:40] == data.groups[40:]
    assert data.labels[:40] == (True,) * 40
    assert right(data, ngrams(1)).mean() == 1


def test_pairs_by_answer_choose_between_right_and_wrong() -> None:
    without = Pairs(tuple(e.model_copy(update={"label": None, "corrupt_label": None}) for e in pairs().examples))
    data = labelled(without)
    assert data.options[0] == (" Bob", " Ann")
    assert right(data, ngrams(1)).mean() == 1
    assert right(data, majority).mean() <= 0.5


def test_token_ids_are_words() -> None:
    texts = tuple((i % 7, 9 if i % 2 else 8, i % 5) for i in range(40))
    assert right(labelled(Texts(texts, tuple(i % 2 for i in range(40)))), ngrams(1)).mean() == 1  # type: ignore[arg-type]


def test_what_has_no_labels_is_told() -> None:
    with pytest.raises(SettingsError, match="neither labels nor answers"):
        labelled(Pairs((Example(clean="a", corrupt="b"),)))
    with pytest.raises(SettingsError, match="one example leaves nothing"):
        right(labelled(Texts(("a",), (1,))), majority)


def test_words_that_learn_elsewhere_know_what_was_there() -> None:
    """Three words of each label to learn from: known words are told apart, new ones are a coin's throw each."""
    learned = labelled(Texts(("red box", "pink box", "blue cup", "navy cup") * 3, (0, 0, 1, 1) * 3))
    known = labelled(Texts(("a red box", "a navy cup"), (0, 1)))
    new = labelled(Texts(("gold", "grey", "jade", "teal"), (0, 1, 0, 1)))
    assert transferred(learned, known, ngrams(1)).tolist() == [1, 1]
    assert transferred(learned, new, ngrams(1)).mean() == 0.5
    with pytest.raises(SettingsError, match="no text to learn from has the label 7"):
        transferred(learned, labelled(Texts(("red", "blue"), (0, 7))), ngrams(1))
