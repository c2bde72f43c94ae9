"""A trained circuit is held to what hand-wired ones are; what was not trained can't do the task."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from tests.truth import checks

from assay.training.planted import TRAINED, Situation, free_transformer, situation
from assay.training.planted.induction import induction_pairs
from assay.training.planted.situation import VARYING
from assay.training.planted.trained import repeats


@cache
def made() -> Situation:
    return situation(TRAINED, seed=0, n=8)


def right(native: torch.nn.Module) -> float:
    pairs = induction_pairs(5, 64)
    return float((native(pairs.clean_tokens).logits[:, -1].argmax(-1) == pairs.answer_ids).double().mean())


def test_it_does_the_task_and_its_untrained_control_does_not() -> None:
    assert right(made().model.native) == 1
    assert right(free_transformer(seed=0, trained=False).native) < 0.4  # one word in ten is right by chance


@pytest.mark.parametrize("ablation", ["zero", *VARYING])
def test_its_truth_is_true(ablation: str) -> None:
    checks.the_circuit_alone_is_enough(made(), ablation)
    checks.an_edge_outside_does_nothing(made(), ablation)
    checks.every_edge_does_something(made(), ablation)


def test_a_smaller_circuit_is_not_enough() -> None:
    checks.a_smaller_circuit_is_not_enough(made())


def test_its_first_head_reads_places_alone() -> None:
    """Its pattern is the same for every prompt. (It need not look at the token before: with this seed it looks at all
    others, and the second head at the place that is left out.)"""
    run = made().model.run(made().pairs.clean_tokens, capture=["L0.pattern", "L1.pattern"])
    spread = [float(run[f"L{layer}.pattern"][:, 0].std(0).max()) for layer in (0, 1)]
    assert spread[0] < 1e-9 and spread[1] > 0.1


def test_training_prompts_have_one_answer_from_the_first_word_that_is_there_again() -> None:
    ids, again = repeats(32, torch.Generator().manual_seed(0))
    for row, first in zip(ids.tolist(), again[:, 0].tolist(), strict=True):
        assert len(set(row[:first])) == first and row[first] in row[1:first]
        after = {}
        for place in range(1, len(row) - 1):
            word, following = row[place], row[place + 1]
            if place + 1 > first:
                assert word not in after or after[word] == following
            if place + 1 != first:
                after.setdefault(word, following)
