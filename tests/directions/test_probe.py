"""Probes find a planted line, find nothing where there is nothing, and say where they are weak."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from tests.directions.planted import labelled_pairs, planted_model
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2

from assay.core.caveats import caveats_in
from assay.core.errors import DataError, SettingsError
from assay.directions import probe, read_directions
from assay.directions.fitting import Kind
from assay.stats import mean

MODEL, LINE = planted_model()


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_planted_line_is_found_and_reads_other_tokens(kind: Kind) -> None:
    found = probe(MODEL, labelled_pairs(n=36), kind=kind, site="L0.resid_pre", pos="subject")
    cosine = found["L0.resid_pre"].unit @ LINE.numpy()
    assert cosine > 0.8  # ten tokens of each label in 32 dimensions: what is left of their other coordinates
    read = read_directions(MODEL, labelled_pairs("test"), directions=found)
    assert read["auroc"].mean("example").item() == 1.0 and read["correct"].mean().item() > 0.9


def test_every_layer_is_probed_and_the_last_token_does_not_know() -> None:
    found = probe(MODEL, labelled_pairs(), pos="subject")
    assert found.names == tuple(f"L{i}.resid_post" for i in range(3)) and found.labels == ("False", "True")
    assert found.per_example is not None and (found.per_example.mean(1) > 0.85).all()  # ten tokens
    before = probe(MODEL, labelled_pairs(), pos=2)  # the token before the one that differs
    assert before.per_example is not None
    np.testing.assert_allclose(before.per_example, 0.5)  # both prompts of a pair are the same there: one is right


def test_where_there_is_nothing_chance_is_within_the_interval() -> None:
    found = probe(MODEL, labelled_pairs(n=48, told=False), pos="subject")
    read = read_directions(MODEL, labelled_pairs("test", n=48, told=False), directions=found)
    for layer in range(3):
        area = mean(read["auroc"].sel(layer=layer).values, level=0.999)
        assert area.low < 0.5 < area.high
    assert any("memorises" in each for each in caveats_in(found.facts))


def test_selectivity_is_told() -> None:
    found = probe(MODEL, labelled_pairs(n=36), pos="subject", site="L0.resid_post")
    told = next(each for each in found.facts if "selectivity" in each)
    assert "L0.resid_post: 1.00 on true labels" in told and not told.startswith("caveat")


def test_sides_are_told_apart_with_a_caveat() -> None:
    found = probe(tiny_gpt2(), pairs_of_ids(12), label="side", pos="subject")
    assert found.labels == ("clean", "counterfactual")
    assert any("whatever differs" in each for each in caveats_in(found.facts))
    first = probe(tiny_gpt2(), pairs_of_ids(12), label="side", pos=0)
    assert any("attention sink" in each for each in caveats_in(first.facts))


def test_what_can_not_be_probed_is_said() -> None:
    with pytest.raises(SettingsError, match="one vector for each token"):
        probe(MODEL, labelled_pairs(), site="L0.pattern")
    with pytest.raises(DataError, match=r"labels: a probe tells 2 to 12 apart|no answer"):
        probe(tiny_gpt2(), pairs_of_ids(16))
    with pytest.raises(SettingsError, match="no position 9"):
        probe(MODEL, labelled_pairs(), pos=9)
    found = probe(MODEL, labelled_pairs(), pos="subject")
    with pytest.raises(DataError, match="the directions tell apart False, True"):
        read_directions(MODEL, labelled_pairs("test"), directions=found, label="side")


def test_several_labels() -> None:
    pairs = labelled_pairs(n=36)
    named = tuple(
        each.model_copy(update={"label": f"c{i % 3}", "corrupt_label": f"c{(i + 1) % 3}"})
        for i, each in enumerate(pairs)
    )
    found = probe(MODEL, type(pairs)(named).align(None), site="L0.resid_post", pos="subject")
    assert found.names == ("L0.resid_post=c0", "L0.resid_post=c1", "L0.resid_post=c2")
    read = read_directions(MODEL, type(pairs)(named).align(None), directions=found)
    assert read.names == ("correct", "majority") and read["correct"].dims == ("layer", "example")
