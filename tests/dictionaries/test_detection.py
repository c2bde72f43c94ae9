"""Detection of planted properties: the feature that reads it is found, and words alone are caught where they suffice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.dictionaries.made import of_rows
from tests.tiny_pairs import VOCABULARY, tiny_llama

from assay.core.caveats import caveats_in
from assay.core.errors import DataError
from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.dictionaries import Dictionary, explain, feature_detection, feature_scores
from assay.dictionaries.properties import auroc_values, paired_values, property_of
from assay.engine.model import Model
from assay.stats.ranking import auroc

SITE = "L0.resid_pre"
ONE, OTHER = 7, 9
PLANTED = 5


def pairs(n: int, *, seed: int, order: bool = False) -> Pairs:
    """Random prompts that end with token 7, and with 9 instead; with `order`, the other of the two comes earlier."""
    drawn = np.random.default_rng(seed)
    examples = []
    for i in range(n):
        start = drawn.integers(10, VOCABULARY, 5).tolist()
        sides = [
            (*start, other, 20, own) if order else (*start, 21, 20, own) for own, other in ((ONE, OTHER), (OTHER, ONE))
        ]
        clean, corrupt = sides if i % 2 else sides[::-1]
        label = "seven" if i % 2 else "nine"
        both = {"label": label, "corrupt_label": "nine" if label == "seven" else "seven"}
        examples.append(Example(clean=clean, corrupt=corrupt, template="t", split="train", **both))
    return Pairs(tuple(examples)).align(None)


def reader(model: Model) -> Dictionary:
    """Random features, but for one that reads what tells the two tokens apart."""
    weights = model.native.get_input_embeddings().weight.detach().float()
    rows = torch.randn(12, 32, generator=torch.Generator().manual_seed(0))
    rows[PLANTED] = weights[ONE] - weights[OTHER]
    return of_rows(rows / rows.norm(dim=-1, keepdim=True), site=SITE)


def test_a_feature_that_never_fires_is_told() -> None:
    model = tiny_llama()
    dictionary = reader(model)
    scores = feature_scores(model, pairs(20, seed=0), dictionary=dictionary, pool="max")
    silent = of_rows(dictionary.basis.decoder, site=SITE, bias=-1e6)
    found = feature_detection(model, pairs(20, seed=1), dictionary=silent, scores=scores, pool="max")
    assert float(found["auroc"].sel(reader="feature").std()) == 0
    assert any("fires on 0 of 40 prompts" in each for each in caveats_in(found.provenance.facts))
    heard = feature_detection(model, pairs(20, seed=1), dictionary=dictionary, scores=scores, pool="max")
    assert not any("fires on 0" in fact for fact in heard.provenance.facts)


def test_the_planted_feature_is_found_and_holds_up() -> None:
    model = tiny_llama()
    dictionary = reader(model)
    scores = feature_scores(model, pairs(20, seed=0), dictionary=dictionary, pool="max")
    assert scores.top(1, absolute=True) == (f"{SITE}.F{PLANTED}",)
    found = feature_detection(model, pairs(20, seed=1), dictionary=dictionary, scores=scores, pool="max")
    mean = found["auroc"].mean("example")
    assert float(mean.sel(reader="feature")) == 1 and float(found["paired"].sel(reader="feature").mean()) == 1
    assert float(mean.sel(reader="bag_of_words")) == 1  # the last token is a word that gives it away
    beside = found.against(resamples=200)
    assert beside["bag_of_words"].standing == "not told apart" and "random_direction" in str(beside)


def test_a_feature_that_reads_more_than_words_is_told_from_words() -> None:
    """Both prompts of a pair have the same words in another order: a bag of words is at chance."""
    model = tiny_llama()
    dictionary = reader(model)
    scores = feature_scores(model, pairs(20, seed=0, order=True), dictionary=dictionary, pool="last")
    found = feature_detection(model, pairs(30, seed=1, order=True), dictionary=dictionary, scores=scores, pool="last")
    mean = found["auroc"].mean("example")
    assert float(mean.sel(reader="feature")) == 1
    assert float(mean.sel(reader="bag_of_words")) == pytest.approx(0.5)
    assert found.against("bag_of_words", resamples=200)["bag_of_words"].standing == "ahead"
    anywhere = feature_detection(
        model, pairs(30, seed=1, order=True), dictionary=dictionary, scores=scores, pool="mean"
    )
    assert float(anywhere["auroc"].sel(reader="feature").mean()) == pytest.approx(0.5)  # averaged, the order is lost


def test_the_sign_is_the_one_of_the_training_pairs() -> None:
    """A feature of the other sign detects the property by being inactive; what it learned is kept on other pairs."""
    model = tiny_llama()
    dictionary = of_rows(-reader(model).basis.decoder[PLANTED : PLANTED + 1], site=SITE)
    scores = feature_scores(model, pairs(12, seed=0), dictionary=dictionary, pool="last")
    assert scores.values[0] == -0.5
    found = feature_detection(model, pairs(12, seed=1), dictionary=dictionary, scores=scores, pool="last", random=3)
    assert float(found["auroc"].sel(reader="feature").mean()) == 1
    with pytest.raises(DataError, match="1 pair tells nothing apart"):
        feature_detection(model, pairs(1, seed=1), dictionary=dictionary, scores=scores)


def test_the_values_of_a_pair_mean_the_auroc_and_spread_as_it_does() -> None:
    drawn = np.random.default_rng(0)
    n = 60
    shared = drawn.normal(size=n)
    having, lacking = np.round(shared + drawn.normal(1, 1, n), 1), np.round(shared + drawn.normal(0, 1, n), 1)

    def area(chosen: np.ndarray) -> float:
        both = np.concatenate([having[chosen], lacking[chosen]])
        return auroc(both, np.arange(2 * len(chosen)) < len(chosen))

    values = auroc_values(having, lacking)
    assert values.mean() == pytest.approx(area(np.arange(n)))
    resamples = drawn.integers(0, n, (2000, n))
    assert values[resamples].mean(1).std() == pytest.approx(np.std([area(each) for each in resamples]), rel=0.1)
    assert paired_values(np.array([1.0, 2.0, 0.0]), np.array([1.0, 1.0, 1.0])).tolist() == [0.5, 1, 0]


def test_what_is_told_apart() -> None:
    labelled = pairs(4, seed=0)
    assert property_of(labelled).name == "seven against nine"
    assert property_of(labelled).clean_has_it.tolist() == [False, True, False, True]
    plain = Pairs(tuple(each.model_copy(update={"label": None, "corrupt_label": None}) for each in labelled)).align(
        None
    )
    assert property_of(plain).name == "clean against counterfactual" and property_of(plain).clean_has_it.all()
    update = {"label": None, "answers": (3,), "wrong": (4,)}
    flipped = {"label": None, "answers": (4,), "wrong": (3,)}
    answers = Pairs(tuple(e.model_copy(update=flipped if i % 2 else update) for i, e in enumerate(labelled))).align(
        None
    )
    assert property_of(answers).clean_has_it.tolist() == [False, True, False, True]


def test_an_explanation_shows_what_was_planted() -> None:
    """The feature fires most on token 7, and promotes what its row promotes through the last norm and the unembedding."""
    model = tiny_llama()
    dictionary, texts = reader(model), [list(each.clean) for each in pairs(10, seed=2)]
    told = explain(model, dictionary, PLANTED, data=texts, corpus="data", length=8, examples=3)
    assert told.feature == f"{SITE}.F{PLANTED}" and [each.token for each in told.examples] == [str(ONE)] * 3
    assert told.examples[0].before.split()[-1] == "20" and told.examples[0].after == ""
    assert told.tokens == 70 and 0 < told.frequency < 1 and told.mean_active > 0
    native = model.native
    row = dictionary.basis.decoder[PLANTED].double()
    direct = native.get_output_embeddings().weight @ (native.model.norm.weight * row)
    assert [int(token) for token, _ in told.promotes] == direct.topk(10).indices.tolist()
    assert [int(token) for token, _ in told.suppresses] == (-direct).topk(10).indices.tolist()


def test_a_feature_that_never_fires_is_said_to() -> None:
    model = tiny_llama()
    silent = of_rows(torch.ones(1, 32) / 32**0.5, site=SITE, bias=-1e6)
    told = explain(model, silent, 0, data=[[3, 4, 5, 6]], corpus="data")
    assert told.frequency == 0 and told.examples == () and told.fires_on == () and len(told.promotes) == 10
