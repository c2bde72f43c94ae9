"""Patching and ablating parts: against hooks by hand on native modules, and identities that hold by definition."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from tests.circuits.by_hand import difference, kept, put, with_changes
from tests.circuits.tiny_postnorm import tiny_gemma2
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits import ablate, ablate_positions, ablate_set, patch, patch_positions
from assay.circuits.places import KINDS, parts_named, parts_of
from assay.core.errors import AssayError, DataError, ExperimentError, SettingsError
from assay.core.protocols import Scores
from assay.core.registry import find
from assay.data.pairs import Pairs
from assay.engine.model import Model

EXACT = 1e-9  # double precision, three layers
ALL = slice(None)
WIDTH = 8  # of a head in the tiny models


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return pairs_of_ids()


@pytest.fixture(scope="module")
def llama() -> Model:
    return tiny_llama()


def head(index: int) -> slice:
    return slice(index * WIDTH, (index + 1) * WIDTH)


PLACES = {
    "llama": {
        "L1.H2": ("model.layers.1.self_attn.o_proj", "in", head(2)),
        "L1.KV1.k": ("model.layers.1.self_attn.k_proj", "out", head(1)),
        "L1.H3.q": ("model.layers.1.self_attn.q_proj", "out", head(3)),
        "L2.mlp": ("model.layers.2.mlp", "out", ALL),
        "L0.attn": ("model.layers.0.self_attn", "out", ALL),
        "L1.N7": ("model.layers.1.mlp.down_proj", "in", slice(7, 8)),
        "L1.resid_pre": ("model.layers.1", "in", ALL),
    },
    "gpt2": {
        "L1.H2": ("transformer.h.1.attn.c_proj", "in", head(2)),
        "L0.H1.v": ("transformer.h.0.attn.c_attn", "out", slice(64 + WIDTH, 64 + 2 * WIDTH)),
        "L1.N3": ("transformer.h.1.mlp.c_proj", "in", slice(3, 4)),
        "L0.resid_post": ("transformer.h.0", "out", ALL),
    },
    "gemma2": {
        "L1.H2": ("model.layers.1.self_attn.o_proj", "in", head(2)),
        "L0.attn": ("model.layers.0.post_attention_layernorm", "out", ALL),
        "L1.mlp": ("model.layers.1.post_feedforward_layernorm", "out", ALL),
        "L0.KV1.v": ("model.layers.0.self_attn.v_proj", "out", head(1)),
    },
}
MODELS = {"llama": tiny_llama, "gpt2": tiny_gpt2, "gemma2": tiny_gemma2}


@pytest.mark.parametrize(("which", "name"), [(which, name) for which, names in PLACES.items() for name in names])
def test_every_kind_of_part_by_hand(pairs: Pairs, which: str, name: str) -> None:
    """Noising, denoising, zero and mean, at all positions and at one, for one part of each kind."""
    model, (module, side, columns) = MODELS[which](), PLACES[which][name]
    part = parts_named(model, [name])[0]
    settings = {"granularity": part.granularity, "metric": "logit_diff", "layers": (part.layer,)}
    clean, corrupt = pairs.clean_tokens, pairs.corrupt_tokens
    here, there = kept(model, module, clean, side), kept(model, module, corrupt, side)
    plain = {"clean": difference(model, pairs, clean), "corrupt": difference(model, pairs, corrupt)}

    def by_hand(ids: torch.Tensor, value: torch.Tensor, at: slice = ALL) -> torch.Tensor:
        return with_changes(model, pairs, ids, [(module, side, put(columns, value, at))])

    def row(scores: Scores) -> np.ndarray:
        assert scores.per_example is not None
        return scores.per_example[scores.components.index(name)]

    noise = row(patch(model, pairs, direction="noise", **settings))  # type: ignore[arg-type]
    np.testing.assert_allclose(noise, plain["clean"] - by_hand(clean, there), atol=EXACT)
    denoise = row(patch(model, pairs, direction="denoise", **settings))  # type: ignore[arg-type]
    np.testing.assert_allclose(denoise, by_hand(corrupt, here) - plain["corrupt"], atol=EXACT)
    zero = row(ablate(model, pairs, ablation="zero", **settings))  # type: ignore[arg-type]
    np.testing.assert_allclose(zero, plain["clean"] - by_hand(clean, torch.zeros_like(here)), atol=EXACT)
    mean = row(ablate(model, pairs, ablation="mean", **settings))  # type: ignore[arg-type]
    expected = plain["clean"] - by_hand(clean, there.mean((0, 1), keepdim=True))
    np.testing.assert_allclose(mean, expected, atol=EXACT)
    at = ablate_positions(model, pairs, ablation="zero", positions=("subject",), **settings).data["effect"]  # type: ignore[arg-type]
    expected = plain["clean"] - by_hand(clean, torch.zeros_like(here), slice(3, 4))
    np.testing.assert_allclose(at.sel(component=name, pos="subject"), expected, atol=EXACT)


@pytest.mark.parametrize("direction", ["noise", "denoise"])
def test_all_of_the_stream_is_all_of_the_effect(llama: Model, pairs: Pairs, direction: str) -> None:
    """Patched at every position the residual stream brings the whole difference; at those before the change, nothing."""
    gap = float((difference(llama, pairs, pairs.clean_tokens) - difference(llama, pairs, pairs.corrupt_tokens)).mean())
    for granularity in ("resid_pre", "resid_mid", "resid_post"):
        scores = patch(llama, pairs, granularity=granularity, direction=direction, metric="logit_diff")  # type: ignore[arg-type]
        np.testing.assert_allclose(scores.values, gap, atol=EXACT)
    found = patch_positions(llama, pairs, granularity="resid_pre", direction=direction, metric="logit_diff").data  # type: ignore[arg-type]
    np.testing.assert_allclose(found["effect"].sel(pos=[0, 1, 2]), 0, atol=EXACT)
    np.testing.assert_allclose(found["effect"].sel(component="L0.resid_pre", pos=3).mean(), gap, atol=EXACT)


def test_a_pattern_in_which_nothing_differs_moves_nothing(llama: Model, pairs: Pairs) -> None:
    """A head's pattern and its values together are the head: with equal values the pattern is."""
    with torch.no_grad():
        model = tiny_llama()
        model.native.model.layers[1].self_attn.q_proj.weight.zero_()  # type: ignore[union-attr, index]
    scores = patch(model, pairs, granularity="pattern", direction="noise", metric="logit_diff", layers=(1,))
    np.testing.assert_allclose(scores.values, 0, atol=EXACT)
    assert abs(patch(llama, pairs, granularity="pattern", direction="noise", metric="logit_diff").values).max() > 0.01


def test_a_block_is_its_attention_and_its_mlp(llama: Model, pairs: Pairs) -> None:
    block = ablate(llama, pairs, granularity="block", ablation="zero", metric="logit_diff")
    joint = ablate_set(llama, pairs, parts=("L1.attn", "L1.mlp"), ablation="zero", metric="logit_diff")
    assert block["L1.block"] == pytest.approx(float(joint.data["joint"].mean()), abs=EXACT)


def test_a_set_by_hand_and_of_one(llama: Model, pairs: Pairs) -> None:
    names = ("L0.H1", "L0.H3", "L1.KV0.v", "L2.N5")
    found = ablate_set(llama, pairs, parts=names, ablation="counterfactual", metric="logit_diff").data
    places = [
        ("model.layers.0.self_attn.o_proj", "in", head(1)),
        ("model.layers.0.self_attn.o_proj", "in", head(3)),
        ("model.layers.1.self_attn.v_proj", "out", head(0)),
        ("model.layers.2.mlp.down_proj", "in", slice(5, 6)),
    ]
    changes = [(m, s, put(c, kept(llama, m, pairs.corrupt_tokens, s))) for m, s, c in places]
    clean = difference(llama, pairs, pairs.clean_tokens)
    np.testing.assert_allclose(
        found["joint"], clean - with_changes(llama, pairs, pairs.clean_tokens, changes), atol=EXACT
    )
    alone = ablate(llama, pairs, granularity="head", ablation="counterfactual", metric="logit_diff")
    assert float(found["single"].sel(component="L0.H3").mean()) == pytest.approx(alone["L0.H3"], abs=EXACT)
    one = ablate_set(llama, pairs, parts=("L0.H3",), ablation="zero", metric="logit_diff").data
    np.testing.assert_allclose(one["joint"], one["single"][0], atol=EXACT)


def test_a_metric_of_which_less_is_better_is_counted_negatively(llama: Model, pairs: Pairs) -> None:
    """KL to the clean run grows when a part is ablated: what is lost is positive for every part."""
    scores = ablate(llama, pairs, granularity="mlp", ablation="zero", metric={"kind": "kl", "to": "clean"})
    assert (scores.values > 0).all()
    loss = ablate(llama, pairs, granularity="mlp", ablation="zero", metric={"kind": "loss", "reduce": "mean"})
    assert loss["L0.mlp"] != scores["L0.mlp"]


def test_optimal_constants_do_less_harm_than_any_other(pairs: Pairs) -> None:
    """KL after ablation is what they make small; they beat zero and means, and a zero weight costs nothing at all."""
    model = tiny_gpt2()
    kl = {"kind": "kl", "to": "clean"}
    ablation = {"kind": "optimal", "objective": "kl", "steps": 60}
    optimal = ablate(model, pairs, granularity="mlp", ablation=ablation, metric=kl)  # type: ignore[arg-type]
    for other in ("zero", "mean", {"kind": "mean", "over": "clean", "positions": "all"}):
        worse = ablate(model, pairs, granularity="mlp", ablation=other, metric=kl)  # type: ignore[arg-type]
        assert (optimal.values < worse.values).all()
    assert any("constants at 2 places" in fact for fact in optimal.facts)


def test_prompts_of_different_length(llama: Model) -> None:
    """Each example is what it is alone: nothing is padded in."""
    short, long = pairs_of_ids(3, length=6), pairs_of_ids(3, length=9, seed=4)
    mixed = Pairs((*short.examples, *long.examples)).align(None)
    settings = {"granularity": "head", "ablation": "zero", "metric": "logit_diff"}
    whole, one, two = (ablate(llama, p, **settings).per_example for p in (mixed, short, long))  # type: ignore[arg-type]
    assert whole is not None and one is not None and two is not None
    np.testing.assert_allclose(whole, np.concatenate([one, two], axis=1), atol=EXACT)
    named = ablate_positions(llama, mixed, positions=("end",), **settings).data["effect"]  # type: ignore[arg-type]
    assert dict(named.sizes) == {"component": 12, "pos": 1, "example": 6}


@pytest.mark.parametrize("granularity", KINDS)
def test_names_are_told_apart(llama: Model, granularity: str) -> None:
    parts = parts_of(llama, granularity)
    assert parts_named(llama, [part.name for part in parts]) == parts
    assert len({part.name for part in parts}) == len(parts)


def test_what_is_refused(llama: Model, pairs: Pairs) -> None:
    noise = {"granularity": "head", "direction": "noise", "metric": "logit_diff"}
    zero = {"ablation": "zero", "metric": "logit_diff"}
    best = {"granularity": "pattern", "ablation": "optimal", "metric": "logit_diff"}
    loss, wrong = {**noise, "metric": "loss"}, {**noise, "granularity": "heads"}
    same = Pairs(tuple(e.model_copy(update={"corrupt": e.clean}) for e in pairs)).align(None)
    crossed = pairs[0].model_copy(update={"corrupt": (5, 6)})
    cases: list[tuple[type[AssayError], str, Callable[[], object]]] = [
        (DataError, "has the same mean on clean and counterfactual prompts", partial(patch, llama, same, **noise)),
        (
            ExperimentError,
            "gives a number for each position",
            partial(patch, llama, pairs, **loss),
        ),
        (
            SettingsError,
            "is no granularity: .* Nearest: head",
            partial(patch, llama, pairs, **wrong),
        ),
        (SettingsError, "layer 7 has no head", partial(patch, llama, pairs, layers=(7,), **noise)),
        (DataError, "is in the set twice", partial(ablate_set, llama, pairs, parts=("L0.H1", "L0.H1"), **zero)),
        (DataError, "an empty set", partial(ablate_set, llama, pairs, parts=(), **zero)),
        (DataError, "'L0.H9' is not in this model", partial(ablate_set, llama, pairs, parts=("L0.H9",), **zero)),
        (ExperimentError, "no constant can stand for it", partial(ablate, llama, pairs, **best)),
        (DataError, "Example 0 of 1 can't be used", partial(Pairs((crossed,)).align, None)),
    ]
    for kind, message, call in cases:
        with pytest.raises(kind, match=message):
            call()


def test_settings_are_plain_data() -> None:
    made = find("ablate").validated({"granularity": "head", "ablation": "zero", "metric": "logit_diff"})
    assert find("ablate").validated(made.model_dump(mode="json")) == made
    with pytest.raises(SettingsError, match="granularity"):
        find("ablate").validated({"granularity": "heads", "ablation": "zero", "metric": "logit_diff"})
