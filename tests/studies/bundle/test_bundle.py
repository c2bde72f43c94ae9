"""Bundles: what is in them, and what happens to those that somebody else has made."""

from __future__ import annotations

import getpass
import io
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.studies.replicas import Files, Place, changed, edit_json, edit_plan

from assay.core.errors import AssayError, StorageError, StudyError, UnsafeError
from assay.studies.bundle import bundle_name, open_bundle, write_bundle
from assay.studies.bundle.archive import unpack
from assay.studies.plan import FILE as PLAN
from assay.studies.plan import read_plan


def test_all_that_is_needed_is_in_it(replica: Place) -> None:
    files = unpack(replica.bundle)
    assert set(files) >= {
        "bundle.json", "README.md", "study.yaml", "plan.json", "environment.json", "conclusion.json", "log.jsonl",
        "report.html", "requirements.txt", "prompts/find.jsonl", "prompts/test.jsonl", "results/accuracy.parquet",
        "results/heads.parquet", "results/chosen.parquet",
    }  # fmt: skip
    assert any(name.startswith("figures/") and content.startswith(b"<svg xmlns=") for name, content in files.items())
    manifest = json.loads(files["bundle.json"])
    assert manifest["model"]["fingerprint"].startswith("sha256:") and manifest["model"]["kind"] == "folder"
    assert manifest["data"]["test"]["made_by"]["task"] == "ioi"
    assert manifest["commands"]["verify"] == "assay study verify BUNDLE.zip --model PATH"
    lock = files["requirements.txt"].decode().splitlines()
    assert any(line.startswith("torch==") for line in lock) and any(line.startswith("scipy==") for line in lock)
    with open_bundle(replica.bundle) as opened:
        assert opened.contents.plan == read_plan(replica.run)
        assert opened.ignored == ()
    assert not opened.root.exists(), "nothing stays behind"


def test_the_same_run_gives_the_same_bytes(replica: Place, tmp_path: Path) -> None:
    assert write_bundle(replica.run, tmp_path / "again.zip").read_bytes() == replica.bundle.read_bytes()


def test_no_path_host_or_user_is_in_it(replica: Place) -> None:
    here = [str(replica.run.parent), str(Path.home()), socket.gethostname()]
    here += [getpass.getuser()] if len(getpass.getuser()) > 4 else []
    for name, content in unpack(replica.bundle).items():
        for word in (each for each in here if len(each) > 3):
            assert word.encode() not in content, (name, word)


def test_a_run_that_is_not_finished_is_not_bundled(replica: Place, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="not a run folder"):
        write_bundle(tmp_path, tmp_path / "x.zip")
    (tmp_path / PLAN).write_bytes((replica.run / PLAN).read_bytes())
    (tmp_path / "study.yaml").write_bytes((replica.run / "study.yaml").read_bytes())
    with pytest.raises(StudyError, match="did not come to its end"):
        write_bundle(tmp_path, tmp_path / "x.zip")


def test_its_name_is_that_of_the_folder(tmp_path: Path) -> None:
    assert bundle_name(tmp_path / "ioi") == tmp_path / "ioi.zip"


def test_a_file_that_is_not_known_is_left_aside(replica: Place, tmp_path: Path) -> None:
    path = changed(replica.bundle, tmp_path / "b.zip", lambda files: files.update({"figures/run.sh": b"rm -rf /"}))
    with open_bundle(path) as opened:
        assert opened.ignored == ("figures/run.sh",)
        assert not (opened.root / "figures" / "run.sh").exists()


def table(**columns: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    return target.getvalue()


def many_numbers() -> bytes:
    """A hundred million numbers in a few bytes."""
    zeros = pa.array([0.0] * 1_000_000)
    target = io.BytesIO()
    with pq.ParquetWriter(target, pa.schema([("value", pa.float64())]), compression="zstd") as writer:
        for _ in range(60):
            writer.write_table(pa.table({"value": zeros}))
    return target.getvalue()


def unlisted(files: Files) -> None:
    files["log2.jsonl"] = b"{}"


def one_byte(files: Files) -> None:
    files["prompts/test.jsonl"] = files["prompts/test.jsonl"].replace(b"a", b"e", 1)


def lost(files: Files) -> None:
    del files["results/heads.parquet"]


@pytest.mark.parametrize(("change", "says"), [
    (unlisted, "'log2.jsonl', which its bundle.json does not list"),
    (one_byte, "'prompts/test.jsonl' in b.zip was changed"),
    (lost, "lacks 'results/heads.parquet'"),
    (lambda files: files.pop("bundle.json"), "has no bundle.json"),
    (lambda files: files.update({"bundle.json": b"[1"}), "not valid JSON"),
    (lambda files: files.update({"bundle.json": b"[]"}), "not what a bundle says"),
    (lambda files: edit_json(files, "bundle.json", lambda m: m.update(format=99)), "format 99"),
    (lambda files: edit_json(files, "bundle.json", lambda m: m.update(run="rm")), "damaged: run"),
])  # fmt: skip
def test_what_was_changed_without_signing_is_named(
    replica: Place, tmp_path: Path, change: Callable[[Files], None], says: str
) -> None:
    path = changed(replica.bundle, tmp_path / "b.zip", change, sign=False)
    with pytest.raises(AssayError, match=says) as caught, open_bundle(path):
        pass
    assert "\n" not in str(caught.value)


def regular(pattern: str) -> Callable[[Files], None]:
    quantity = {"step": "heads", "coords": {"component": {"matches": pattern}}, "over": "max"}

    def change(files: Files) -> None:
        edit_plan(files, lambda content: content["hypotheses"][0].update(quantity=quantity))

    return change


@pytest.mark.parametrize(("change", "error", "says"), [
    (lost, StudyError, "no numbers of heads"),
    (lambda f: f.pop("study.yaml"), StudyError, "no study.yaml"),
    (lambda f: f.update({"study.yaml": b"a: &x [1]\nb: *x\n"}), UnsafeError, "aliases"),
    (lambda f: f.update({"study.yaml": b"a: !!python/object/apply:os.system [ls]\n"}), UnsafeError, "tags"),
    (lambda f: f.update({"study.yaml": b"a: [\n"}), StudyError, "not (valid )?YAML"),
    (lambda f: f.update({"results/heads.parquet": b"PAR1 no"}), StudyError, "results/heads.parquet in b.zip is no table"),
    (lambda f: f.update({"results/heads.parquet": table(value=[[1.0], [2.0]])}), UnsafeError, "column of list"),
    (lambda f: f.update({"results/heads.parquet": table(value=[1.0])}), StorageError, "not written by a study run"),
    (lambda f: f.update({"results/heads.parquet": many_numbers()}), UnsafeError, "more than 50,000,000 numbers"),
    (lambda f: f.update({"conclusion.json": b"[" * 100_000}), StorageError, "not valid JSON"),
    (lambda f: f.update({"plan.json": b'{"format": 1}'}), StudyError, "damaged"),
    (lambda f: f.update({"plan.json": b'{"format": 1, "plans": [{"a": 1}]}'}), StudyError, "damaged"),
    (lambda f: edit_plan(f, lambda c: c.update(title=7)), StudyError, "holds no study"),
    (lambda f: edit_plan(f, lambda c: c["data"]["test"].update(n=10**9)), UnsafeError, "more than 1,000,000 examples"),
    (lambda f: edit_plan(f, lambda c: c["analysis"].update(resamples=10**9)), UnsafeError, "resamples"),
    (regular("(a+)+$"), UnsafeError, "may never come to an end"),
    (regular("(?:a|a)*b"), UnsafeError, "may never come to an end"),
    (lambda f: edit_json(f, "bundle.json", lambda m: m.update(plan="sha256:0")), StudyError, "says that its plan is"),
    (lambda f: edit_json(f, "conclusion.json", lambda c: c.update(plan="sha256:0")), StudyError, "about another plan"),
    (lambda f: edit_json(f, "bundle.json", lambda m: m.update(steps=["a"])), StudyError, "other steps or data"),
])  # fmt: skip
def test_what_is_hostile_within_is_refused_in_a_line(
    replica: Place, tmp_path: Path, change: Callable[[Files], None], error: type[Exception], says: str
) -> None:
    path = changed(replica.bundle, tmp_path / "b.zip", change)
    with pytest.raises(error, match=says) as caught, open_bundle(path):
        pass
    message = str(caught.value)
    assert "\n" not in message and "assay-bundle-" not in message, "one line, without a temporary path"
