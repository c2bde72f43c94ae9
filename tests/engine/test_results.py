"""What comes with the numbers: provenance, cost, a plan that comes true, files that hold the same."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray

import assay
from assay import Experiment, Run, capture, edit, metric, sweep
from assay.core.errors import AssayError, StorageError
from assay.core.result import Result
from assay.engine.model import Model

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
OTHER = [[35, 37, 31, 33, 37], [26, 29, 22, 25, 28]]
RAGGED = [[5, 7, 11], [6, 9, 12, 15, 18], [1, 2, 3]]
CHAIN = {
    "sender": Run(input="a", edits=[edit.patch("L0.z", "b", head=1)]),
    "main": Run(input="a", edits=[edit.patch("q", "sender")], captures=[capture.grad("L2.z", of=metric.logit(4))]),
}

EXPERIMENTS = {
    "one run": Experiment(inputs={"a": IDS}, metrics=[metric.logit(4)]),
    "patching": sweep(
        edit.patch("resid_post", "b"), ["layer", "pos"], inputs={"a": IDS, "b": OTHER}, base="a", metrics=[metric.logit(4)]
    ),
    "ragged": sweep(edit.zero("mlp_out"), ["layer"], inputs={"a": RAGGED}, base="a", metrics=[metric.loss()]),
    "mean": sweep(
        edit.mean("z", "b"), ["layer", "head"], inputs={"a": IDS, "b": [*RAGGED, [4]]}, base="a", metrics=[metric.kl("a")]
    ),
    "chain": Experiment(inputs={"a": IDS, "b": OTHER}, runs=CHAIN, metrics=[metric.entropy()], main="main"),
    "answers of several tokens": sweep(
        edit.zero("mlp_out"), ["layer"], inputs={"a": RAGGED}, base="a",
        metrics=[metric.logprob([[4, 5], [6], [7, 8, 9]]), metric.prob([[4, 5], [6], [7, 8, 9]], run="a", name="before")],
    ),
    "resample": Experiment(
        inputs={"a": IDS}, runs={"r": Run(input="a", edits=[edit.resample("L0.z", "a")])}, metrics=[metric.logit(4)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("engine", ["scheduled", "naive"])
@pytest.mark.parametrize("batch", [None, 1, 2])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_plan_comes_true(llama: Model, name: str, batch: int | None, engine: Any) -> None:
    experiment = EXPERIMENTS[name]
    plan, result = (f(experiment, batch=batch, engine=engine) for f in (llama.explain, llama.measure))
    assert plan.passes == result.cost.passes
    if plan.engine == "naive":
        assert sum(run.rows for run in plan.runs) == result.cost.rows
    else:
        assert result.cost.estimate is not None
        assert result.cost.estimate.token_layers <= plan.token_layers  # without the passes whose mean is taken
    assert plan.token_layers == result.cost.token_layers
    assert plan.work.flops == pytest.approx(result.cost.flops, rel=0.1)  # the plan takes mean lengths for some passes
    main = max(result.data.data_vars.values(), key=lambda variable: variable.ndim)
    assert [main.sizes[axis] for axis in plan.axes] == list(plan.axes.values())
    assert str(plan).count("\n") >= 5
    assert plan._repr_html_().count("<tr>") >= 2
    json.dumps(plan.as_data())


def test_cost_by_hand(llama: Model) -> None:
    """15 variants and the source, 2 prompts of 5 tokens, 3 layers."""
    cost = llama.measure(EXPERIMENTS["patching"], engine="naive").cost
    assert (cost.passes, cost.rows, cost.token_layers) == (16, 32, 16 * 2 * 5 * 3)
    assert cost.seconds > 0
    assert cost.backward_passes == 0
    assert llama.measure(EXPERIMENTS["chain"]).cost.backward_passes == 1


def test_operations_by_hand(llama: Model) -> None:
    """Two for each weight and token, four for each head dimension, query and key that it sees, logits everywhere."""
    config = llama.native.config
    block = sum(p.numel() for p in llama.native.model.layers[0].parameters() if p.ndim == 2)
    tokens, pairs = 16 * 2 * 5, 16 * 2 * (5 * 6 // 2)
    meeting = 4 * config.num_attention_heads * config.head_dim
    wanted = 3 * (2 * block * tokens + meeting * pairs) + 2 * config.hidden_size * config.vocab_size * tokens
    assert llama.measure(EXPERIMENTS["patching"], engine="naive").cost.flops == wanted


def test_native_passes_are_as_many_as_counted(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Size] = []
    original = type(llama.native).forward

    def forward(self: object, *args: object, **kwargs: object) -> object:
        seen.append(kwargs["input_ids"].shape)  # type: ignore[attr-defined]
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(type(llama.native), "forward", forward)
    for name in ("patching", "ragged", "mean", "chain", "answers of several tokens"):
        seen.clear()
        cost = llama.measure(EXPERIMENTS[name], engine="naive").cost
        assert len(seen) == cost.passes
        assert sum(rows for rows, _ in seen) == cost.rows
        assert sum(rows * tokens for rows, tokens in seen) * 3 == cost.token_layers


def test_provenance_says_what_made_it(smol: Model) -> None:
    experiment = Experiment(inputs={"a": "The capital of France is"}, metrics=[metric.logprob(" Paris")])
    made = smol.measure(experiment).provenance
    assert made.model_fingerprint == smol.fingerprint
    assert made.model_source
    assert "SmolLM2" in made.model_source
    assert made.experiment_hash == experiment.hash
    assert set(made.versions) == {"assay", "torch", "transformers", "numpy", "python"}
    assert made.versions["torch"] == torch.__version__.split("+")[0] or made.versions["torch"] == torch.__version__
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", made.created)
    assert any("BOS" in fact for fact in made.facts)
    assert any("unpacked from" in fact for fact in made.facts)
    assert any("naive" in fact for fact in made.facts)


def test_functions_are_said_not_to_be_data(llama: Model) -> None:
    experiment = Experiment(inputs={"a": IDS}, metrics=[metric.call(lambda run: run.output[:, -1, 0])])
    made = llama.measure(experiment).provenance
    assert made.experiment_hash is None
    assert any("Python function" in fact for fact in made.facts)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_saved_and_read_again_it_is_the_same(llama: Model, name: str, tmp_path: Path) -> None:
    result = llama.measure(EXPERIMENTS[name])
    path = result.save(tmp_path / "result")
    again = Result.load(path)
    xarray.testing.assert_identical(again.data, result.data)
    assert again.provenance == result.provenance
    assert again.cost == result.cost


def test_a_full_disk_leaves_the_former_file(llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = llama.measure(EXPERIMENTS["one run"])
    path = result.save(tmp_path / "result")
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises((StorageError, OSError)):
        llama.measure(EXPERIMENTS["patching"]).save(tmp_path / "result")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_sweep_is_drawn(llama: Model) -> None:
    figure = llama.measure(EXPERIMENTS["patching"]).plot("logit")
    heat = figure.data[0]
    assert np.array(heat.z).shape == (3, 5)
    assert "logit" in figure.layout.title.text


def test_ctrl_c_in_a_sweep_says_nothing_and_leaves_nothing(llama: Model) -> None:
    count = 0

    def interrupt(x: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return x

    experiment = sweep(
        [edit.call("L0.z", interrupt), edit.zero("mlp_out")],
        over=["layer"],
        inputs={"a": IDS},
        base="a",
        metrics=[metric.logit(4)],
    )
    with pytest.raises(KeyboardInterrupt):
        llama.measure(experiment)
    assert count == 3
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.native.modules())


def test_who_listens_hears_how_far_it_is(llama: Model) -> None:
    from assay.core.progress import listening

    heard: list[tuple[int, int]] = []
    with listening(lambda done, total: heard.append((done, total))):
        llama.measure(EXPERIMENTS["ragged"], engine="naive")
    assert heard == [(i, 6) for i in range(1, 7)]  # three layers, two lengths
    heard.clear()
    with listening(lambda done, total: heard.append((done, total))):
        llama.measure(EXPERIMENTS["ragged"])
    assert heard == [(3, 6), (6, 6)]


def test_a_name_that_is_not_there(llama: Model) -> None:
    with pytest.raises(AssayError, match=r"'logits' is not in this result.*Nearest: logit"):
        llama.measure(EXPERIMENTS["one run"])["logits"]
    with pytest.raises(AssayError, match="no engine"):
        llama.measure(EXPERIMENTS["one run"], engine="fast")  # type: ignore[arg-type]
    assert isinstance(assay.Experiment, type)
