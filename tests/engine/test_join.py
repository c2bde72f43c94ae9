"""However an experiment is parted, the parts joined are the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.parts import axes_of, join_of, parts_of_axes, parts_of_examples

from assay import Experiment, Run, capture, edit, metric
from assay.core.errors import ExperimentError
from assay.core.result import Result
from assay.engine.join import join
from assay.engine.model import Model
from assay.experiments.inputs import as_input
from assay.experiments.restrict import restrict, why_together

VOCABULARY = 59


def same(whole: Result, joined: Result, *, bits: bool) -> None:
    """Bit for bit where batches have the same shape. Else 1e-6 of the largest number: Llama's norms are in single
    precision, and a batch of another size may round them otherwise."""
    assert list(whole.data.data_vars) == list(joined.data.data_vars)
    assert set(whole.data.coords) == set(joined.data.coords)
    for label in whole.names:
        one, two = whole[label], joined[label]
        assert one.dims == two.dims and one.shape == two.shape, label
        for name in one.coords:
            assert one[name].equals(two[name])
        if bits:
            assert np.array_equal(one.values, two.values, equal_nan=True), label
        else:
            scale = max(1e-6, float(np.nanmax(np.abs(one.values))) if np.isfinite(one.values).any() else 0)
            np.testing.assert_allclose(two.values, one.values, rtol=0, atol=1e-6 * scale, err_msg=label)


@st.composite
def experiments(draw: Any) -> Experiment:
    lengths = draw(st.lists(st.sampled_from([4, 6]), min_size=2, max_size=6))
    token = st.integers(1, VOCABULARY)
    clean = [draw(st.lists(token, min_size=n, max_size=n)) for n in lengths]
    corrupt = [[*row[:2], row[2] % VOCABULARY + 1, *row[3:]] for row in clean]
    n = len(lengths)
    named: Any = {"positions": {"here": [draw(st.integers(0, 3)) for _ in range(n)]}}
    if draw(st.booleans()):
        named |= {"answers": [draw(token) for _ in range(n)], "wrong": 7}
        asks: dict[str, Any] = {}
    else:
        asks = {"answer": draw(st.sampled_from([5, [draw(token) for _ in range(n)]])), "wrong": 9}
    inputs = {
        "clean": as_input(clean, **named),
        "corrupt": as_input(corrupt, positions=named["positions"]),
        "ref": [[1, 2, 3], [4, 5, 6, 7]],
        "one": [11, 12, 13, 14],
    }
    pos = draw(st.sampled_from([None, -1, "here", slice(1, 3)]))
    swept = [
        draw(
            st.sampled_from(
                [
                    edit.patch("z", source="corrupt", pos=pos),
                    edit.mean("z", over="ref", pos=pos),
                    edit.zero("z", pos=pos),
                    edit.resample("z", source="corrupt", seed=3, pos=pos),
                ]
            )
        )
    ]
    if swept[0].op == "resample" and min(lengths.count(4) or 2, lengths.count(6) or 2) < 2:
        swept = [edit.zero("z", pos=pos)]  # nobody to draw from
    reduce_examples = draw(st.sampled_from(["none", "mean", "max"]))
    captures: list[Any] = [capture.site("L1.resid_pre", pos=draw(st.sampled_from([None, -1])), name="kept")]
    if draw(st.booleans()):
        captures.append(capture.grad("L1.z", of=metric.logit(5)))
    axes: dict[str, Any] = {"layer": draw(st.sampled_from([None, [2, 0]])), "head": [0, 2, 3]}
    if pos is None:
        axes |= {"pos": [0, -1]} if len(set(lengths)) > 1 else {"pos": None}
    return Experiment(
        inputs=inputs,
        runs={
            "main": Run(input="clean", edits=swept, captures=captures if draw(st.booleans()) else captures[:1]),
            "still": Run(input="corrupt", captures=[capture.site("L0.pattern", head=[0, 1], name="looks")]),
        },
        metrics=[
            metric.logit_diff(**asks, reduce_examples=reduce_examples),
            metric.loss(name="loss"),
            metric.kl("clean", pos=None),
            metric.norm("L2.resid_post", run="clean", pos=slice(0, 3), name="norm"),
            metric.entropy(run="still", reduce_examples=draw(st.sampled_from(["none", "sum"]))),
        ],
        main="main",
        sweep={"axes": axes},
    )


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(experiment=experiments(), data=st.data())
def test_any_parts_of_the_axes(llama: Model, experiment: Experiment, data: st.DataObject) -> None:
    parts = data.draw(parts_of_axes(axes_of(llama, experiment)))
    same(llama.measure(experiment, engine="naive"), join_of(llama, experiment, parts), bits=True)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(experiment=experiments(), data=st.data())
def test_any_parts_of_the_examples(llama: Model, experiment: Experiment, data: st.DataObject) -> None:
    lengths = [len(row) for row in experiment.inputs["clean"].tokens]  # type: ignore[union-attr]
    together = why_together(experiment)[0]
    assert together == ("of one length" if experiment.runs["main"].edits[0].op == "resample" else "never")
    rows = data.draw(parts_of_examples(lengths, whole_lengths=together != "never"))
    parts = [({}, examples) for examples in rows]
    if data.draw(st.booleans()):
        axes = data.draw(parts_of_axes(axes_of(llama, experiment)))
        parts = [(given, examples) for given, _ in axes for examples in rows]
    same(llama.measure(experiment, engine="naive"), join_of(llama, experiment, parts), bits=False)


def test_a_single_prompt(llama: Model) -> None:
    experiment = Experiment(
        inputs={"clean": [1, 2, 3, 4]},
        runs={"main": Run(input="clean", edits=edit.zero("z"))},
        metrics=[metric.logit(5), metric.loss()],
        main="main",
        sweep={"axes": ["layer", "head"]},
    )
    parts: Any = [
        ({"layer": [2, 1]}, None),
        ({"layer": [0], "head": [3]}, None),
        ({"layer": [0], "head": [0, 1, 2]}, None),
    ]
    same(llama.measure(experiment, engine="naive"), join_of(llama, experiment, parts), bits=True)
    with pytest.raises(ExperimentError, match="leave out 8 of 12 places of 'logit'"):
        join_of(llama, experiment, [({"layer": [1]}, None)])
    with pytest.raises(ExperimentError, match="no parts"):
        join(experiment, [], along={})


def test_costs_add_up_and_facts_are_kept_once(llama: Model) -> None:
    experiment = Experiment(
        inputs={"clean": [[1, 2, 3], [4, 5, 6]]}, metrics=[metric.logit(5)], main="clean"
    )  # fmt: skip
    whole, joined = llama.measure(experiment, engine="naive"), join_of(llama, experiment, [({}, [0]), ({}, [1])])
    same(whole, joined, bits=False)
    assert joined.cost.rows == whole.cost.rows and joined.cost.passes == 2
    assert joined.provenance.experiment_hash == experiment.hash
    assert sorted(joined.provenance.facts) == sorted(whole.provenance.facts)


def test_tensors_as_inputs(llama: Model) -> None:
    ids = torch.randint(1, 50, (5, 4))
    experiment = Experiment(
        inputs={"clean": {"input_ids": ids}},
        runs={"main": Run(input="clean", edits=edit.zero("L1.z", pos=0))},
        metrics=[metric.logit([1, 2, 3, 4, 5])],
    )
    same(
        llama.measure(experiment, engine="naive"),
        join_of(llama, experiment, [({}, [4, 0]), ({}, [1, 2, 3])]),
        bits=False,
    )
    with pytest.raises(ExperimentError, match="not those of an input of 5"):
        restrict(experiment, examples=[5])
