"""Keeping heads: the two ends are the whole model and no head at all; baselines and averages."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits import average_scores, head_weight_norms, keep_heads, patch_heads
from assay.circuits.ablation import Zero
from assay.circuits.replacement import replacement
from assay.circuits.sets import ablated
from assay.core.errors import DataError
from assay.core.protocols import Scores

EXACT = 1e-9  # double precision


@pytest.mark.parametrize("ablation", ["counterfactual", "resample", "mean", "zero"])
def test_the_ends_are_the_whole_model_and_none_of_its_heads(ablation: str) -> None:
    model, pairs = tiny_llama(), pairs_of_ids()
    norms = head_weight_norms(model, pairs)
    settings = {"ablation": ablation, "fractions": (0.1, 1.0), "random_sets": 2}
    data = keep_heads(model, pairs, scores=norms, rival=norms, **settings).data  # type: ignore[arg-type]
    for ranking in ("found", "rival"):
        np.testing.assert_allclose(data["kept"].sel(ranking=ranking, fraction=1.0), data["all"], atol=EXACT)
    assert dict(data["kept_random"].sizes) == {"set": 2, "fraction": 2, "example": 5}
    assert data["heads"].values.tolist() == [1, 12]
    assert not np.allclose(data["none"], data["all"])
    assert data["kept_correct"].dtype == bool


def test_counterfactual_ablation_of_every_head_by_hand() -> None:
    from assay import edit

    model, pairs = tiny_llama(), pairs_of_ids()
    norms = head_weight_norms(model, pairs)
    data = keep_heads(
        model, pairs, scores=norms, rival=norms, ablation="counterfactual", fractions=(0.5,), random_sets=1
    ).data
    run = model.run(pairs.clean_tokens, edits=edit.patch("z", source="other"), sources={"other": pairs.corrupt_tokens})
    logits = run.logits[:, -1]
    rows = range(len(pairs))
    expected = [float(logits[i, pairs.answer_ids[i]] - logits[i, pairs.wrong_ids[i]]) for i in rows]
    np.testing.assert_allclose(data["none"], expected, atol=1e-6)  # the comparison metric is kept in single precision


def test_the_best_heads_are_those_with_the_highest_scores() -> None:
    """Kept are the top k: everything else is in the edits, layer by layer."""
    scores = Scores.of({"L0.H0": 0.1, "L0.H1": 0.9, "L1.H0": 0.5, "L1.H1": -0.2}, quantity="q")
    edits = ablated(scores.ranked()[2:], replacement(pairs_of_ids(), Zero(), ["z"]))
    assert [(each.site, each.head) for each in edits] == [("L0.z", (0,)), ("L1.z", (1,))]


def test_weight_norms_of_a_fused_and_a_plain_projection() -> None:
    pairs = pairs_of_ids()
    llama, gpt2 = tiny_llama(), tiny_gpt2()
    weight = llama.native.model.layers[2].self_attn.o_proj.weight  # type: ignore[union-attr, index]
    expected = float(weight[:, 8:16].detach().norm())  # type: ignore[index, union-attr]
    assert head_weight_norms(llama, pairs)["L2.H1"] == pytest.approx(expected, rel=1e-6)
    rows = gpt2.native.transformer.h[1].attn.c_proj.weight[24:32]  # type: ignore[union-attr, index]
    assert head_weight_norms(gpt2, pairs)["L1.H3"] == pytest.approx(float(rows.detach().norm()), rel=1e-6)  # type: ignore[operator, union-attr]


def test_averages() -> None:
    model, pairs = tiny_llama(), pairs_of_ids()
    first, second = (patch_heads(model, pairs, direction=d) for d in ("denoise", "noise"))  # type: ignore[arg-type]
    both = average_scores(model, pairs, first=first, second=second)
    np.testing.assert_allclose(both.values, (first.values + second.values) / 2, atol=EXACT)
    assert both.per_example is not None
    with pytest.raises(DataError, match="same components"):
        average_scores(model, pairs, first=first, second=first.only(r"L0\..*"))
