"""Shuffled labels: everything that is said moves together, within its split, and nothing else changes."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.tiny_pairs import pairs_of_ids

from assay.core.errors import SettingsError
from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.stats.controls import shuffled_labels

from .planted import Texts, nearest_mean

SAID = ("answers", "wrong", "corrupt_answers", "corrupt_wrong", "label", "corrupt_label")


def many(n: int = 30) -> Pairs:
    return Pairs(
        tuple(
            Example(
                clean=f"c{i}", corrupt=f"d{i}", answers=(f" a{i}",), wrong=(f" w{i}",), label=f"l{i}",
                split="train" if i < 20 else "test",
            )
            for i in range(n)
        )
    )  # fmt: skip


def test_what_is_said_moves_together_within_its_split() -> None:
    pairs = many()
    found = shuffled_labels(pairs, seed=1)
    assert [e.clean for e in found.examples] == [e.clean for e in pairs.examples]
    for before, after in zip(pairs.examples, found.examples, strict=True):
        number = after.answers[0].removeprefix(" a")  # type: ignore[union-attr]
        assert (after.wrong, after.label) == ((f" w{number}",), f"l{number}")
        assert (int(number) < 20) == (before.split == "train")
    moved = sum(a.label != b.label for a, b in zip(pairs.examples, found.examples, strict=True))
    assert moved >= 24
    assert "labels shuffled, seed 1" in found.facts
    assert shuffled_labels(pairs, seed=1) == found != shuffled_labels(pairs, seed=2)


def test_tokens_follow() -> None:
    pairs = pairs_of_ids(20)
    found = shuffled_labels(pairs, seed=0)
    assert found.clean_tokens.equal(pairs.clean_tokens)
    assert [int(i) for i in found.answer_ids] == [e.answers[0] for e in found.examples]
    assert Counter(found.answer_ids.tolist()) == Counter(pairs.answer_ids.tolist())


def test_counts_of_labels_stay() -> None:
    data = Texts(tuple("abcdefgh"), (True, True, True, False, False, False, False, False))
    assert Counter(shuffled_labels(data, seed=3).labels) == Counter(data.labels)


def test_a_probe_is_at_chance_with_shuffled_labels_and_right_with_real_ones() -> None:
    texts = tuple("no x" if i % 2 else "certainly x" for i in range(60))
    data = Texts(texts, tuple(i % 2 == 0 for i in range(60)))
    value = nearest_mean(
        None, Texts(texts[:1] + texts[2:] + texts[1:2], data.labels[:1] + data.labels[2:] + data.labels[1:2])
    )
    found = value.against("shuffled_labels", "bag_of_words", "majority", seeds=10, resamples=300)
    assert found.result.value == 1
    assert 0.35 <= found["shuffled_labels"].estimate.value <= 0.65
    assert found["shuffled_labels"].standing == "ahead" and found["majority"].standing == "ahead"
    assert found["bag_of_words"].estimate.value == 1 and found["bag_of_words"].standing == "not told apart"
    assert not found.stands_out


@pytest.mark.parametrize("data", [Pairs((Example(clean="a", corrupt="b", label=True),) * 3), 5])
def test_nothing_to_shuffle(data: object) -> None:
    with pytest.raises(SettingsError, match=r"same answers and labels|no labels to shuffle"):
        shuffled_labels(data, seed=0)
