"""Ablations as data, and the values that they put in place: means above all, with prompts of different lengths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits.ablation import Counterfactual, Mean, Optimal, Resample, Zero, as_ablation
from assay.circuits.replacement import ABLATED, replacement
from assay.core.errors import ExperimentError, SettingsError
from assay.core.registry import find
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments.experiment import Experiment

EXACT = 1e-9  # double precision
SITE = "L1.z"


def joined(*groups: Pairs) -> Pairs:
    """Pairs of different lengths as one, in turns, so that lengths are mixed."""
    examples = [e for each in zip(*(g.examples for g in groups), strict=True) for e in each]
    return Pairs(tuple(examples)).align(None)


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_llama()


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return joined(pairs_of_ids(4, length=6, seed=1), pairs_of_ids(4, length=9, seed=2))


def put_in_place(model: Model, pairs: Pairs, ablation: object) -> list[torch.Tensor]:
    """What the site holds in the replacing run: [pos, head, d_head] for each example."""
    made = replacement(pairs, as_ablation(ablation), [SITE])
    runs = {name: run.model_copy(update={"captures": ()}) for name, run in made.runs.items()}
    from assay.experiments.captures import SiteCapture
    from assay.experiments.runs import Run

    base = runs.get(made.source, Run(input=made.source))
    kept = base.model_copy(update={"captures": (SiteCapture(site=SITE),)})
    found = model.measure(Experiment(inputs=dict(made.inputs), runs={ABLATED: kept}, main=ABLATED))
    whole = found.data[SITE].values
    return [torch.tensor(whole[row, :length]) for row, length in enumerate(pairs.lengths)]


def values(model: Model, pairs: Pairs, side: str) -> list[torch.Tensor]:
    """The site's own values, prompt by prompt: nothing is padded or batched."""
    return [model.run([list(getattr(t, side))], capture=SITE)[SITE][0] for t in pairs.aligned_tokens()]


@pytest.mark.parametrize("over", ["clean", "counterfactual", "both"])
def test_a_mean_over_all_positions_counts_every_token_alike(model: Model, pairs: Pairs, over: str) -> None:
    """By hand, and told apart from the common mistakes: each prompt's last token divided by its length (the mask of the
    last token only), averaged over heads, and the mean of the prompts' means."""
    sides = {"clean": ["clean"], "counterfactual": ["corrupt"], "both": ["clean", "corrupt"]}[over]
    prompts = [value for side in sides for value in values(model, pairs, side)]
    expected = torch.cat(prompts).mean(0)
    found = put_in_place(model, pairs, {"kind": "mean", "over": over, "positions": "all"})
    for each in found:
        torch.testing.assert_close(each, expected.expand_as(each), rtol=0, atol=EXACT)
    last_by_length = torch.stack([p[-1] / len(p) for p in prompts]).mean(0)
    over_nodes = last_by_length.mean(0, keepdim=True).expand_as(expected)
    of_means = torch.stack([p.mean(0) for p in prompts]).mean(0)
    for wrong in (last_by_length, over_nodes, of_means):
        assert float((wrong - expected).abs().max()) > 1e-3


def test_a_mean_for_each_position_is_over_prompts_of_the_same_length(model: Model, pairs: Pairs) -> None:
    prompts = values(model, pairs, "corrupt")
    found = put_in_place(model, pairs, Mean(over="counterfactual", positions="each"))
    for each, length in zip(found, pairs.lengths, strict=True):
        alike = [p for p in prompts if len(p) == length]
        torch.testing.assert_close(each, torch.stack(alike).mean(0), rtol=0, atol=EXACT)


def test_a_mean_within_each_template(model: Model, pairs: Pairs) -> None:
    """Templates t0 and t1, each with prompts of both lengths."""
    prompts = values(model, pairs, "clean")
    found = put_in_place(model, pairs, Mean(over="clean", positions="all", per_template=True))
    for each, example in zip(found, pairs, strict=True):
        alike = [p for p, other in zip(prompts, pairs, strict=True) if other.template == example.template]
        torch.testing.assert_close(each, torch.cat(alike).mean(0).expand_as(each), rtol=0, atol=EXACT)


def test_the_other_ablations(model: Model, pairs: Pairs) -> None:
    assert all(float(each.abs().max()) == 0 for each in put_in_place(model, pairs, "zero"))
    corrupt = values(model, pairs, "corrupt")
    for found, expected in zip(put_in_place(model, pairs, "counterfactual"), corrupt, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=EXACT)
    drawn = put_in_place(model, pairs, Resample(over="counterfactual", seed=3))
    for row, each in enumerate(drawn):
        same = [
            i
            for i, other in enumerate(corrupt)
            if other.shape == each.shape and torch.allclose(other, each, atol=EXACT)
        ]
        assert len(same) == 1 and same != [row]
    again = put_in_place(model, pairs, Resample(over="counterfactual", seed=3))
    other = put_in_place(model, pairs, Resample(over="counterfactual", seed=4))
    assert all(torch.equal(a, b) for a, b in zip(drawn, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(drawn, other, strict=True))


def test_a_mean_pattern_over_all_positions_is_refused(pairs: Pairs) -> None:
    with pytest.raises(ExperimentError, match="would attend to tokens that come later"):
        replacement(pairs, Mean(over="clean", positions="all"), ["pattern"])


@pytest.mark.parametrize(
    "ablation",
    [
        Zero(),
        Counterfactual(),
        Resample(over="clean", seed=1),
        Mean(over="both", positions="each"),
        Optimal(objective="kl"),
    ],
)
def test_an_ablation_is_data(ablation: object) -> None:
    again = as_ablation(ablation.model_dump(mode="json"))  # type: ignore[attr-defined]
    assert again == ablation and hash(again) == hash(ablation)


def test_names_are_short_for_something_and_are_saved_spelled_out() -> None:
    settings = find("keep_set").validated({"ablation": "mean"})
    assert settings.model_dump(mode="json")["ablation"] == {
        "kind": "mean", "over": "counterfactual", "positions": "all", "per_template": False
    }  # fmt: skip
    assert find("keep_set").validated(settings.model_dump(mode="json")) == settings


def test_what_is_no_ablation_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"'meen' is not an ablation: expected one of .* Nearest: mean"):
        as_ablation("meen")
    with pytest.raises(ExperimentError, match="'positions' must be given"):
        as_ablation({"kind": "mean", "over": "clean"})
    with pytest.raises(SettingsError, match="3 is not an ablation"):
        as_ablation(3)


def test_examples_of_other_lengths_need_not_fit_a_mean_per_position() -> None:
    """The check that an edit's own examples have the mean's length, and only those."""
    from assay import Run, edit, metric

    model = tiny_gpt2()
    short, long = pairs_of_ids(2, length=5), pairs_of_ids(2, length=8)
    tokens = [*short.clean_tokens.tolist(), *long.clean_tokens.tolist()]
    inputs = {"all": tokens, "long": long.corrupt_tokens.tolist()}
    for examples, fits in (([2, 3], True), ([1, 2], False)):
        run = Run(input="all", edits=[edit.mean("L0.z", over="long", per_position=True, examples=examples)])
        experiment = Experiment(inputs=inputs, runs={"main": run}, metrics=[metric.logit(3)], main="main")
        if not fits:
            with pytest.raises(Exception, match="needs prompts of one length"):
                model.measure(experiment)
            continue
        found = model.measure(experiment).data["logit"].values
        plain = model.run(tokens, metrics=metric.logit(3)).metrics["logit"].numpy()
        np.testing.assert_allclose(found[:2], plain[:2], atol=EXACT)
        assert abs(found[2:] - plain[2:]).min() > 1e-6
    assert replace(short, task="x").lengths == (5, 5)
