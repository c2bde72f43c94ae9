"""Experiments on disk and back: same content, same hash, and a clear word when a file is not what it was."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from safetensors.torch import load_file, save_file
from tests.experiments.strategies import experiments, sweeps

from assay import edit, metric, sweep
from assay.core.errors import ExperimentError, StorageError
from assay.experiments import capture
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run

PROPERTY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
VECTOR = torch.tensor([1.0, -0.5, 0.25])


def example() -> Experiment:
    return sweep(
        [edit.add("resid_post", VECTOR, pos=-1), edit.set("L0.mlp_out", VECTOR, pos="subject")],
        {"layer": [0, 1], "scale": [0.1, 1e-30, 3]},
        inputs={"clean": "Ünïcode … text", "other": ["a", "b"]},
        base="clean",
        metrics=[metric.logit_diff(" x", " y"), metric.dot("L0.mlp_out", VECTOR)],
    )


@PROPERTY
@given(experiments() | sweeps())
def test_reading_what_was_written_gives_the_same_experiment(one: Experiment) -> None:
    back = Experiment.from_json(one.to_json(), one.tensors())
    assert back == one
    assert back.hash == one.hash
    assert back.to_json() == one.to_json()


@PROPERTY
@given(experiments() | sweeps())
def test_the_hash_does_not_depend_on_the_order_in_which_it_was_written(one: Experiment) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            random.Random(7).shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    text = json.dumps(shuffled(json.loads(one.to_json())), indent=3)
    assert Experiment.from_json(text, one.tensors()).hash == one.hash


def test_the_hash_is_the_same_in_another_process(tmp_path: Path) -> None:
    one = example()
    one.save(tmp_path / "one.json")
    code = f"from assay import Experiment; print(Experiment.load({str(tmp_path / 'one.json')!r}).hash)"
    environment = {"PYTHONHASHSEED": "77", "PATH": ""}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == one.hash


@pytest.mark.parametrize(
    "other",
    [
        {"vector": VECTOR * (1 + 1e-6)},
        {"vector": VECTOR.double()},
        {"vector": VECTOR.reshape(1, 3)},
        {"scale": 1.0000001},
        {"pos": -2},
        {"site": "L1.resid_post"},
        {"examples": [0]},
        {"step": 0},
    ],
)
def test_whatever_differs_changes_the_hash(other: dict[str, Any]) -> None:
    def made(site: str = "L0.resid_post", vector: torch.Tensor = VECTOR, **rest: Any) -> str:
        changed = Run(input="a", edits=edit.add(site, vector, **rest))
        return Experiment(inputs={"a": "text"}, runs={"main": changed}, metrics=[metric.entropy()]).hash

    assert made() == made()
    assert made(**other) != made()


def test_files_are_readable_json_and_tensors_by_hash(tmp_path: Path) -> None:
    one = example()
    path = one.save(tmp_path / "one.json")
    text = path.read_text(encoding="utf-8")
    assert '"text": ' not in text and "Ünïcode … text" in text
    tensors = load_file(tmp_path / "one.json.safetensors")
    assert len(tensors) == 1  # the same vector in three places is kept once
    (key,) = tensors
    assert key.startswith("sha256:") and text.count(key) == 3
    assert torch.equal(tensors[key], VECTOR)
    assert Experiment.load(path) == one


def test_without_tensors_there_is_one_file(tmp_path: Path) -> None:
    example().save(tmp_path / "one.json")
    plain = Experiment(inputs={"a": "text"}, metrics=[metric.entropy()])
    plain.save(tmp_path / "one.json")
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]
    assert Experiment.load(tmp_path / "one.json") == plain


def test_an_attached_tensor_is_not_the_callers(tmp_path: Path) -> None:
    vector = VECTOR.clone()
    one = Experiment(inputs={"a": "b"}, runs={"main": Run(input="a", edits=edit.add("L0.z", vector))})
    before = one.hash
    vector += 1
    assert one.hash == before
    assert Experiment.load(one.save(tmp_path / "one.json")) == one


def saved(folder: Path) -> tuple[Path, Path]:
    path = example().save(folder / "one.json")
    return path, folder / "one.json.safetensors"


def test_a_missing_attachment_is_told(tmp_path: Path) -> None:
    path, beside = saved(tmp_path)
    beside.unlink()
    with pytest.raises(StorageError, match=r"one\.json: .*safetensors file is missing"):
        Experiment.load(path)


def test_a_damaged_attachment_is_told(tmp_path: Path) -> None:
    path, beside = saved(tmp_path)
    (key,) = load_file(beside)
    save_file({key: VECTOR + 1}, beside)
    with pytest.raises(StorageError, match=r"the tensor sha256:\w+ is damaged"):
        Experiment.load(path)
    beside.write_bytes(beside.read_bytes()[:-3])
    with pytest.raises(StorageError, match=r"one\.json\.safetensors is damaged or not a safetensors file"):
        Experiment.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "an experiment is a JSON object, and this is a list"),
        ('{"version": 1, "version": 1}', "the key 'version' is given twice"),
        ('{"inputs": {"a": "b"}, "main": NaN}', "NaN is not a number that JSON has"),
        ("{}", "'inputs' must be given"),
        ('{"inputs": {}, "main": "a"}', "inputs"),
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "one.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((StorageError, ExperimentError)) as caught:
        Experiment.load(path)
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read the experiment .*No such file"):
        Experiment.load(tmp_path / "nowhere.json")


def test_a_newer_version_is_refused_before_anything_else_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text('{"version": 2, "something": "new"}', encoding="utf-8")
    with pytest.raises(StorageError) as caught:
        Experiment.load(path)
    assert str(caught.value) == (
        f"{path}: written by a newer assay: the experiment has format 2, and this assay reads up to 1. "
        "Upgrade assay (pip install --upgrade assay)."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metircs": []}, "'metircs' is not one of its fields"),
        ({"runs": {"main": {"input": "a", "edit": []}}}, "Nearest: edits"),
        ({"runs": {"main": {"input": "a", "edits": [{"op": "zero", "site": "L0.z", "position": 1}]}}}, "Nearest: pos"),
        ({"runs": {"main": {"input": "a", "edits": [{"op": "zeros", "site": "L0.z"}]}}}, "Nearest: zero"),
        ({"metrics": [{"kind": "logprobs", "answer": "x"}]}, "Nearest: logprob"),
        ({"metrics": [{"kind": "entropy", "reduce": "avg"}]}, "'none', 'mean', 'sum', 'min' or 'max'"),
        ({"sweep": {"axes": [{"name": "layers"}]}}, "Nearest: layer"),
    ],
)
def test_unknown_words_are_refused_with_the_nearest_known_one(change: dict[str, Any], message: str) -> None:
    data = {"version": 1, "inputs": {"a": "text"}, "main": "a", **change}
    with pytest.raises(ExperimentError) as caught:
        Experiment.from_json(json.dumps(data))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def local_edit() -> Experiment:
    return Experiment(inputs={"a": "b"}, runs={"main": Run(input="a", edits=edit.call("L0.z", lambda z: z))})


def local_metric() -> Experiment:
    return Experiment(inputs={"a": "b"}, metrics=[metric.call(lambda run: 0, name="mine")])


def local_gradient() -> Experiment:
    captured = capture.grad("L0.z", of=metric.call(lambda run: 0))
    return Experiment(inputs={"a": "b"}, runs={"main": Run(input="a", captures=[captured])})


@pytest.mark.parametrize("make", [local_edit, local_metric, local_gradient])
def test_functions_are_not_data(make: Any, tmp_path: Path) -> None:
    one = make()
    assert one.local_only
    for done in (lambda: one.save(tmp_path / "one.json"), one.to_json, lambda: one.hash):
        with pytest.raises(ExperimentError, match="hold a Python function, which is not data"):
            done()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", [{"op": "call", "site": "L0.z", "name": "f"}, {"kind": "call"}])
def test_functions_cannot_be_smuggled_in_as_data(part: dict[str, str]) -> None:
    where = {"runs": {"main": {"input": "a", "edits": [part]}}} if "op" in part else {"metrics": [part]}
    with pytest.raises(ExperimentError, match=r"make it with (edit|metric)\.call"):
        Experiment.from_json(json.dumps({"inputs": {"a": "b"}, "main": "a", **where}))
