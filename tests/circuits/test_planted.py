"""Planted truth: a model in which one head, known beforehand, carries everything from the changed token to the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.tiny_pairs import pairs_of_ids, tiny_llama

from assay.circuits import (
    head_weight_norms,
    keep_heads,
    keep_set,
    patch_components,
    patch_heads,
    patch_residual,
    smallest_heads,
)
from assay.circuits.sets import KeptSets
from assay.core.caveats import caveats_in
from assay.core.protocols import Scores
from assay.core.provenance import Cost, Provenance
from assay.data.pairs import Pairs
from assay.engine.model import Model

PLANTED = "L1.H2"
EXACT = 1e-9  # double precision, three layers


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return pairs_of_ids(6)


@pytest.fixture(scope="module")
def model() -> Model:
    """Every head but one writes nothing; the changed token is not the last, so only that head can bring it there."""
    made = tiny_llama()
    with torch.no_grad():
        for layer, block in enumerate(made.native.model.layers):  # type: ignore[union-attr, arg-type]
            weight = block.self_attn.o_proj.weight
            kept = weight[:, 16:24].clone()
            weight.zero_()
            if layer == 1:
                weight[:, 16:24] = 3 * kept
    return made


@pytest.fixture(scope="module")
def found(model: Model, pairs: Pairs) -> Scores:
    return patch_heads(model, pairs, direction="denoise")


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_only_the_planted_head_scores(model: Model, pairs: Pairs, direction: str) -> None:
    scores = patch_heads(model, pairs, direction=direction)  # type: ignore[arg-type]
    expected = [1.0 if name == PLANTED else 0.0 for name in scores.components]
    np.testing.assert_allclose(scores.values, expected, atol=EXACT)
    assert caveats_in(scores.facts) == ("the shares of all heads add up to 1.00: 1 only if each acted alone",)


def test_its_layer_is_found_too(model: Model, pairs: Pairs) -> None:
    scores = patch_components(model, pairs, direction="denoise")
    assert scores.top(1) == ("L1.attn",)
    assert scores["L1.attn"] == pytest.approx(1, abs=EXACT)
    assert scores["L0.attn"] == pytest.approx(0, abs=EXACT)


def test_the_information_moves_where_the_head_is(model: Model, pairs: Pairs) -> None:
    share = patch_residual(model, pairs, direction="denoise").data["share"].mean("example")
    np.testing.assert_allclose(share.sel(pos="end"), [0, 1, 1], atol=EXACT)
    np.testing.assert_allclose(share.sel(pos="subject"), [1, 0, 0], atol=EXACT)


def test_the_smallest_set_is_the_planted_head(model: Model, pairs: Pairs, found: Scores) -> None:
    chosen = smallest_heads(model, pairs, scores=found, ablation="counterfactual", keep=0.99)
    assert chosen.components == (PLANTED,)
    assert chosen[PLANTED] == pytest.approx(1, abs=EXACT)
    assert "1 of 12 heads keep 1.00 of the behaviour on 6 prompts" in chosen.facts


def test_a_bad_ranking_needs_a_larger_set(model: Model, pairs: Pairs, found: Scores) -> None:
    """The planted head ranked fifth: the search ends at five heads, neither at a power of two nor at the limit."""
    order = [name for name in found.components if name != PLANTED]
    order.insert(4, PLANTED)
    worse = Scores.of({name: float(-place) for place, name in enumerate(order)}, "planted order")
    chosen = smallest_heads(model, pairs, scores=worse, ablation="counterfactual", keep=0.99, at_most=1.0)
    assert chosen.components == tuple(order[:5])


def test_a_ranking_without_the_head_gives_up_and_says_so(model: Model, pairs: Pairs, found: Scores) -> None:
    reversed_ = replace(found, values=-found.values, per_example=None)
    chosen = smallest_heads(model, pairs, scores=reversed_, ablation="counterfactual", at_most=0.5)
    assert len(chosen) == 6
    assert "no set of up to 6 heads keeps 0.80" in caveats_in(chosen.facts)[0]


def test_keeping_more_than_the_whole_model_is_noticed(
    model: Model, pairs: Pairs, found: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted curve that goes over 1, as where heads that push the other way are among the ablated."""

    def planted(model: Model, pairs: Pairs, sets: list[tuple[str, ...]], **more: object) -> KeptSets:
        shares = np.array([0.3 * len(kept) for kept in sets])
        rows = np.repeat(shares[:, None], len(pairs), axis=1)
        return KeptSets(rows, rows > 0, np.ones(len(pairs)), np.zeros(len(pairs)), Provenance(), Cost())

    monkeypatch.setattr("assay.circuits.keep.keep_each", planted)
    chosen = smallest_heads(model, pairs, scores=found, ablation="zero", keep=0.85)
    assert len(chosen) == 3
    assert "the 6 best heads keep 1.80, more than the whole model has" in caveats_in(chosen.facts)[0]


def test_the_set_on_other_prompts_against_its_rivals(model: Model, found: Scores) -> None:
    others = pairs_of_ids(6, seed=5)
    norms = head_weight_norms(tiny_llama(), others)  # of a model without the plant: it can't know
    chosen = found.only(r"L1\.H2")
    made = keep_set(
        model, others, chosen=chosen, scores=found, rival=norms, ablation="counterfactual", random_sets=3
    )  # fmt: skip
    data = made.data
    np.testing.assert_allclose(data["kept"].sel(ranking="found"), data["all"], atol=1e-6)  # metrics in single precision
    assert (int(data["size"]), float(data["fraction"])) == (1, pytest.approx(1 / 12))
    assert norms.top(1) != (PLANTED,)
    np.testing.assert_allclose(data["kept"].sel(ranking="rival"), data["none"], atol=1e-6)
    assert dict(data["kept_random"].sizes) == {"set": 3, "example": 6}
    assert "share of the behaviour kept: chosen set 1.00, rival's best heads 0.00" in made.provenance.facts


def test_the_curve_jumps_where_the_head_enters(model: Model, pairs: Pairs, found: Scores) -> None:
    rival = Scores.of({name: float(name != PLANTED) for name in found.components}, "puts it last")
    made = keep_heads(
        model, pairs, scores=found, rival=rival, ablation="counterfactual", fractions=(0.08, 0.5, 1.0), random_sets=1
    )
    told = "the rival's scores tie at the cut after 1 (11 alike), 6 (11 alike) heads"
    assert any(told in text for text in caveats_in(made.provenance.facts))
    whole = made.data["all"]
    for fraction in (0.08, 0.5, 1.0):
        np.testing.assert_allclose(made.data["kept"].sel(ranking="found", fraction=fraction), whole, atol=1e-6)
    np.testing.assert_allclose(made.data["kept"].sel(ranking="rival", fraction=0.5), made.data["none"], atol=1e-6)
    assert made.data["heads"].values.tolist() == [1, 6, 12]
    assert made.cost.passes > 0
