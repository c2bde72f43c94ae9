"""Every planted truth against exact ablation of every edge, written out by hand.

The circuit alone does what the whole model does; an edge outside it does nothing; and each edge inside does something, by
itself or, where parts stand in for one another, once the others of its group are gone.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch
from tests.truth import checks
from tests.truth.exact import Parts, logit_diffs, without

from assay.core.errors import DataError
from assay.training.planted import NAMES, Situation, situation
from assay.training.planted.situation import VARYING

ABLATIONS = ("zero", *VARYING)
EXACT = 1e-9
"""Double precision, a few layers."""

every_situation = pytest.mark.parametrize("name", NAMES)
every_ablation = pytest.mark.parametrize("ablation", ABLATIONS)


@cache
def made(name: str) -> Situation:
    return situation(name, seed=0, n=8)


@every_situation
def test_the_reference_is_the_model(name: str) -> None:
    planted = made(name)
    native, pairs = planted.model.native, planted.pairs
    logits = native(pairs.clean_tokens).logits[:, -1]
    expected = logits.gather(1, pairs.answer_ids[:, None]) - logits.gather(1, pairs.wrong_ids[:, None])
    whole = logit_diffs(planted, [Parts.of(native).edges], "counterfactual")[0]
    torch.testing.assert_close(whole, expected[:, 0], atol=EXACT, rtol=0)
    nothing = logit_diffs(planted, [()], "counterfactual")[0]
    corrupt = native(pairs.corrupt_tokens).logits[:, -1]
    expected = corrupt.gather(1, pairs.answer_ids[:, None]) - corrupt.gather(1, pairs.wrong_ids[:, None])
    torch.testing.assert_close(nothing, expected[:, 0], atol=EXACT, rtol=0)


@every_situation
def test_the_model_does_the_task_on_every_pair(name: str) -> None:
    planted = made(name)
    for ids, answers in (
        (planted.pairs.clean_tokens, planted.pairs.answer_ids),
        (planted.pairs.corrupt_tokens, planted.pairs.wrong_ids),
    ):
        assert torch.equal(planted.model.native(ids).logits[:, -1].argmax(-1), answers)


@every_ablation
@every_situation
def test_the_circuit_alone_is_enough(name: str, ablation: str) -> None:
    checks.the_circuit_alone_is_enough(made(name), ablation)


@every_ablation
@every_situation
def test_an_edge_outside_does_nothing(name: str, ablation: str) -> None:
    checks.an_edge_outside_does_nothing(made(name), ablation)


@every_ablation
@every_situation
def test_every_edge_of_the_circuit_does_something(name: str, ablation: str) -> None:
    checks.every_edge_does_something(made(name), ablation)


@every_situation
def test_a_smaller_circuit_is_not_enough(name: str) -> None:
    checks.a_smaller_circuit_is_not_enough(made(name))


@pytest.mark.parametrize("name", ["reverse", "fraction of previous", "sort", "indirect object"])
def test_one_program_has_two_truths(name: str) -> None:
    """What a program computes of positions alone is in its circuit under zero ablation, and not under the others."""
    planted = made(name)
    zero, other = planted.truth("zero").edges, planted.truth("counterfactual").edges
    assert other < zero
    positional = sorted(zero - other)
    whole = logit_diffs(planted, [Parts.of(planted.model.native).edges], "zero")
    under = {a: (without(planted, [positional], a) - whole).abs().mean() for a in ABLATIONS}
    assert float(under["zero"]) > checks.SHOWS * checks.effect(planted, "zero")
    assert max(float(under[a]) for a in VARYING) < EXACT


def test_gains_leave_the_truth_as_it_is() -> None:
    truths = [made(name).truths for name in NAMES if name.startswith("induction")]
    assert len(truths) == 4 and all(each == truths[0] for each in truths)


def test_seeds() -> None:
    first, again, other = (situation("sort", seed=seed, n=4) for seed in (3, 3, 4))
    assert first.model.fingerprint == again.model.fingerprint != other.model.fingerprint
    assert first.pairs.hash == again.pairs.hash != other.pairs.hash


def test_what_there_is_not() -> None:
    with pytest.raises(DataError, match=r"There is no situation 'sorted'.*sort"):
        situation("sorted")
    with pytest.raises(DataError, match="known under zero, mean, resample, counterfactual; not under 'optimal'"):
        made("sort").truth("optimal")
