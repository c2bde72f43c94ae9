"""A real cluster of two workers: what they give together is what one process gives, whatever happens to them.

Bits are equal where a worker's engine makes passes of the same shapes; where the schedule puts other variants into a
batch, 1e-6 of the largest number, since Llama's norms are in single precision.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny_pairs import tiny_gpt2, tiny_llama

import assay
from assay import Experiment, Run, capture, edit, metric, sweep
from assay.core.errors import ExperimentError
from assay.core.progress import listening
from assay.core.result import Result
from assay.engine.model import Model
from assay.engine.ray import Ray
from assay.engine.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ray = pytest.importorskip("ray")
LENGTHS = (6, 6, 6, 8, 8, 5, 5, 5)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Ray]:
    """Two workers that stay, on a cluster of this machine that is started as a person would."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        with Ray(workers=2, cpus=1, engine="naive") as found:
            yield found
    finally:
        ray.shutdown()


def inputs() -> dict[str, list[list[int]]]:
    draw = np.random.default_rng(0)
    clean = [draw.integers(1, 59, n).tolist() for n in LENGTHS]
    return {"clean": clean, "corrupt": [[*row[:2], row[2] % 59 + 1, *row[3:]] for row in clean]}


def patches(**over: Any) -> Experiment:
    return sweep(
        edit.patch("resid_pre", source="corrupt"),
        over=over or {"layer": None, "pos": [0, 2, -1]},
        inputs=inputs(),
        base="clean",
        metrics=[
            metric.logit_diff(7, [*range(8, 16)]),
            metric.loss(reduce="mean", reduce_examples="mean"),
            metric.kl("clean", pos=None),
        ],
    )


def same(local: Result, found: Result, *, bits: bool = True) -> None:
    assert local.names == found.names
    for name in local.names:
        one, two = local[name], found[name]
        assert one.dims == two.dims
        if bits:
            assert np.array_equal(one.values, two.values, equal_nan=True), name
        else:
            np.testing.assert_allclose(two.values, one.values, rtol=0, atol=1e-6 * np.nanmax(np.abs(one.values)))


def pids(cluster: Ray) -> list[int]:
    """The processes of workers that have their model."""
    assert cluster._pool is not None
    return [ray.get(hand.actor.pid.remote()) for hand in cluster._pool.hands if hand.ready]


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def llama() -> Model:
    return tiny_llama()


def test_a_sweep_has_the_bits_of_the_local_engine(llama: Model, cluster: Ray) -> None:
    heard: list[tuple[int, int]] = []
    with listening(lambda done, total: heard.append((done, total))):
        found = llama.measure(patches(), engine=cluster)
    local = llama.measure(patches(), engine="naive")
    same(local, found)
    assert len(heard) > 4 and heard[-1] == (72, 72) and heard == sorted(heard)
    assert found.provenance.experiment_hash == local.provenance.experiment_hash
    assert any("parts on 2 workers" in fact for fact in found.provenance.facts)


def test_all_that_parts_share(llama: Model, cluster: Ray) -> None:
    """Means over a whole input are taken once, by one worker; tensors of edits and of inputs arrive."""
    experiment = Experiment(
        inputs={
            **inputs(),
            "ref": [[i % 50 + 1, 2, 3, 4] for i in range(20)],
            "raw": {"input_ids": torch.randint(1, 50, (len(LENGTHS), 4))},
        },
        runs={
            "main": Run(
                input="clean",
                edits=[edit.mean("mlp_out", over="ref"), edit.add("L1.resid_post", torch.ones(32), pos=-1)],
                captures=[capture.site("L2.resid_post", name="kept")],
            ),
            "raw run": Run(input="raw", captures=[capture.grad("L0.z", of=metric.logit(3))]),
        },
        metrics=[metric.logit(5), metric.dot("L2.resid_post", torch.arange(32.0), run="raw run", name="dot")],
        main="main",
        sweep={"axes": {"layer": [0, 1, 2]}},
    )
    local, found = llama.measure(experiment, engine="naive"), llama.measure(experiment, engine=cluster)
    # the raw input's examples all have one length, so that parts by the length of the others cut its passes
    same(local, found, bits=False)
    fixed = found.cost.rows - local.cost.rows
    assert 0 <= fixed < 3 * 3 * len(LENGTHS), "the 20 rows of the mean were run more than once"


def test_the_schedule_on_workers(llama: Model, cluster: Ray) -> None:
    cluster.engine = "scheduled"
    try:
        found = llama.measure(patches(), engine=cluster, without=["noop"])
    finally:
        cluster.engine = "naive"
    same(llama.measure(patches(), engine="scheduled"), found, bits=False)
    assert any("scheduled" in fact for fact in found.provenance.facts)


def test_batches_are_the_local_ones(llama: Model, cluster: Ray) -> None:
    same(llama.measure(patches(), engine="naive", batch=2), llama.measure(patches(), batch=2, engine=cluster))


def test_an_error_of_a_part_is_raised_here(llama: Model, cluster: Ray) -> None:
    experiment = Experiment(
        inputs=inputs(), metrics=[metric.logprob([[5, 6]] * len(LENGTHS), pos=0, name="late")], main="clean"
    )
    with pytest.raises(ExperimentError) as here:
        llama.measure(experiment, engine="naive")
    with pytest.raises(ExperimentError) as there:
        llama.measure(experiment, engine=cluster)
    assert str(there.value) == str(here.value)


def test_another_model_and_changed_weights(cluster: Ray) -> None:
    model = tiny_gpt2()
    before = model.measure(patches(), engine=cluster)
    same(model.measure(patches(), engine="naive"), before)
    with torch.no_grad():
        model.native.transformer.h[0].mlp.c_fc.bias.add_(0.5)  # type: ignore[union-attr,index,operator]
    after = model.measure(patches(), engine=cluster)
    same(model.measure(patches(), engine="naive"), after)
    assert not np.array_equal(before["logit_diff"].values, after["logit_diff"].values)


def test_a_folder_is_loaded_by_each_worker(llama: Model, cluster: Ray, tmp_path: Path) -> None:
    llama.native.save_pretrained(tmp_path)  # type: ignore[operator]
    model = assay.load(tmp_path)
    found = model.measure(patches(), engine=cluster)
    same(llama.measure(patches(), engine="naive"), found)
    assert not any("from memory" in fact for fact in found.provenance.facts)
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    assert cluster._pool is not None
    cluster._pool.fingerprint = ""  # as if workers had had another model meanwhile
    found = model.measure(patches(), engine=cluster)
    same(llama.measure(patches(), engine="naive"), found)
    assert any("sent to the workers from memory" in fact for fact in found.provenance.facts)


def test_through_a_store(llama: Model, cluster: Ray, tmp_path: Path) -> None:
    """The whole is read again without a worker; parts that were finished are read by the workers."""
    first = llama.measure(patches(), engine=cluster, store=tmp_path)
    parts = len(Store(tmp_path).entries()) - 1
    assert parts > 4
    again = llama.measure(patches(), engine=cluster, store=tmp_path)
    same(first, again)
    assert any("read from the store" in fact for fact in again.provenance.facts)
    same(first, llama.measure(patches(), engine="naive", store=tmp_path))
    whole = max(Store(tmp_path).entries(), key=lambda entry: entry.folder.stat().st_mtime)
    shutil.rmtree(whole.folder)
    joined = llama.measure(patches(), engine=cluster, store=tmp_path)
    same(first, joined)
    assert len(Store(tmp_path).entries()) == parts + 1


def test_a_worker_that_is_killed_is_replaced(llama: Model, cluster: Ray) -> None:
    """In the middle, and as often as `retries` allows."""
    experiment = patches(layer=None, pos=[0, 1, 2, 3, -1])
    llama.measure(patches(layer=[0]), engine=cluster)
    before = pids(cluster)
    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        if not killed:
            os.kill(before[-1], signal.SIGKILL)
            killed.append(before[-1])

    with listening(kill):
        found = llama.measure(experiment, engine=cluster)
    same(llama.measure(experiment, engine="naive"), found)
    assert gone(killed[0]) and killed[0] not in pids(cluster)
    assert any("workers died" in fact for fact in found.provenance.facts)


def test_ctrl_c_ends_the_workers(llama: Model, cluster: Ray) -> None:
    llama.measure(patches(layer=[0]), engine=cluster)
    running = pids(cluster)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with listening(interrupt), pytest.raises(KeyboardInterrupt):
        llama.measure(patches(), engine=cluster)
    assert all(gone(pid) for pid in running)
    assert ray.is_initialized(), "a cluster that was there before stays"
