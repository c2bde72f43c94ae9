"""How an experiment is parted: everything once, no pass cut, and about as many parts as were asked for."""

from __future__ import annotations

from collections import Counter
from itertools import product
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay import Experiment, Run, edit, metric
from assay.core.errors import ExperimentError, MissingExtraError, SettingsError
from assay.engine.model import Model
from assay.engine.prepare import prompts_of
from assay.engine.ray import Ray
from assay.engine.ray.shards import Shard, shards, slices_of


def experiment(lengths: list[int], *edits: Any) -> Experiment:
    prompts = [[1 + i % 50] * n for i, n in enumerate(lengths)]
    return Experiment(
        inputs={"clean": prompts, "other": prompts},
        runs={"main": Run(input="clean", edits=edits or edit.patch("z", source="other"))},
        metrics=[metric.logit(5)],
        main="main",
        sweep={"axes": {"layer": [0, 1, 2], "head": [0, 3]}},
    )


def planned(model: Model, whole: Experiment, wanted: int, **more: Any) -> list[Shard]:
    along: Any = {axis.name: axis.values for axis in whole.sweep.axes} if whole.sweep else {}
    return shards(whole, prompts_of(model.network, whole), along, wanted=wanted, **more)


@given(
    sizes=st.dictionaries(st.sampled_from(["layer", "pos", "head"]), st.integers(1, 7), max_size=3),
    wanted=st.integers(1, 20),
)
def test_slices_cover_every_variant_once(sizes: dict[str, int], wanted: int) -> None:
    along = {name: list(range(n)) for name, n in sizes.items()}
    found = slices_of(along, wanted)
    places = Counter(
        place for part in found for place in product(*(part.get(name, values) for name, values in along.items()))
    )
    assert set(places.values()) <= {1} and len(places) == prod(sizes.values())
    assert min(wanted, prod(sizes.values())) <= len(found) <= 2 * max(1, wanted)
    # no slice is more than twice as large in any axis as another
    for name in along:
        lengths = [len(part.get(name, along[name])) for part in found]
        assert max(lengths) - min(lengths) <= 1


@given(
    lengths=st.lists(st.sampled_from([3, 5, 6]), min_size=1, max_size=9),
    wanted=st.integers(1, 9),
    batch=st.sampled_from([None, 2]),
)
def test_parts_cover_every_example_of_every_variant_once(
    llama: Model, lengths: list[int], wanted: int, batch: int | None
) -> None:
    whole = experiment(lengths)
    found = planned(llama, whole, wanted, batch=batch)
    every = range(len(lengths))
    places = Counter(
        place
        for part in found
        for place in product(part.axes.get("layer", [0, 1, 2]), part.axes.get("head", [0, 3]), part.examples or every)
    )
    assert set(places.values()) == {1} and len(places) == 6 * len(lengths)
    assert [part.number for part in found] == list(range(len(found)))
    assert sum(part.size for part in found) == 6 * len(lengths)
    assert len(found) <= 2 * wanted + 1


def test_examples_come_first_and_no_pass_is_cut(llama: Model) -> None:
    lengths = [3, 5, 3, 5, 3, 3]
    assert [part.examples for part in planned(llama, experiment(lengths), 2)] == [(0, 2, 4, 5), (1, 3)]
    four = planned(llama, experiment(lengths), 4)
    assert [(part.examples, part.axes) for part in four] == [
        ((0, 2, 4, 5), {"layer": [0, 1]}),
        ((1, 3), {"layer": [0, 1]}),
        ((0, 2, 4, 5), {"layer": [2]}),
        ((1, 3), {"layer": [2]}),
    ]
    by_two = planned(llama, experiment(lengths), 3, batch=2)
    assert [part.examples for part in by_two] == [(0, 2), (4, 5), (1, 3)]
    together = planned(llama, experiment(lengths, edit.noise("z", std=1.0)), 2)
    assert [part.examples for part in together] == [None, None]
    assert str(four[0]) == "layer 0 … 1, 4 examples from 0 on" and str(Shard(0)) == "all of it"


@pytest.mark.parametrize(
    ("given", "message"),
    [({"workers": 0}, "workers=0"), ({"cpus": 1.5}, "cpus=1.5"), ({"engine": "fast"}, "no engine 'fast'")],
)
def test_settings_that_make_no_sense(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Ray(**given)


def test_without_the_extra(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.core.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'engine="ray" needs .ray., which is not installed: .*assay\[ray\]'):
        llama.measure(experiment([3]), engine="ray")


def test_functions_stay_here(llama: Model) -> None:
    whole = experiment([3], edit.zero("z"), edit.call("L0.z", lambda value: value))
    with pytest.raises(ExperimentError, match="Python function, which stays in this process"):
        llama.measure(whole, engine="ray")


def test_what_is_wrong_is_said_before_a_cluster_is_asked(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.engine.ray.cluster._connected", lambda address: pytest.fail("a cluster was asked"))
    whole = experiment([3])
    nowhere = Experiment.model_validate({**dict(whole), "sweep": {"axes": {"layer": [9]}}})
    with pytest.raises(ExperimentError, match="layer 9"):
        llama.measure(nowhere, engine="ray")
