"""`assay store`: what is listed, shown, checked and removed, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.engine.store.sweeps import measure, plain, small, stopping
from tests.tiny_pairs import tiny_llama

from assay.app.amounts import byte_count, duration
from assay.app.cli import run
from assay.core.errors import SettingsError
from assay.engine.store import Store


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished entry and one that was stopped."""
    folder, model = tmp_path_factory.mktemp("store"), tiny_llama()
    measure(model, plain(), folder)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping(patch, 9, KeyboardInterrupt)
        measure(model, small(), Store(folder, every=0.0))
    return folder


def output(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(["store", *arguments]) == code
    return capsys.readouterr().out


def data(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    return json.loads(output(capsys, *arguments, "--json", code=code))


def test_ls(filled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = data(capsys, "ls", "--store", str(filled))["entries"]
    assert [(row["state"], row["experiment"], row["variants"], row["parts"]) for row in rows] == [
        ("unfinished", "logit_diff, loss, entropy, L0.z, L2.mlp_out, late over layer × head", 12, 8),
        ("finished", "entropy, loss", 1, 0),
    ]  # the one used last is first
    assert all(row["bytes"] > 1000 and row["model"] == "LlamaForCausalLM" for row in rows)
    monkeypatch.setenv("ASSAY_STORE", str(filled))
    text = output(capsys, "ls")
    assert all(row["key"][:12] in text for row in rows) and "8 parts" in text and f"2 in {filled}" in text


def test_show(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stopped, done = data(capsys, "ls", "--store", str(filled))["entries"]
    found = data(capsys, "show", stopped["key"][:10], "--store", str(filled))
    assert found["pieces"] == {"finished": 7, "of": 24} and found["result"] is None
    assert found["about"]["experiment"]["sweep"]["axes"][0]["name"] == "layer"
    assert "7 of 24 pieces are finished" in output(capsys, "show", stopped["key"][:10], "--store", str(filled))
    found = data(capsys, "show", done["key"][:10], "--store", str(filled))
    assert set(found["result"]["variables"]) == {"entropy", "loss"} and found["about"]["facts"]["engine"] == "naive"
    text = output(capsys, "show", done["key"][:10], "--store", str(filled))
    assert "entropy" in text and "matmul highest" in text and "example 4" in text


def test_an_unknown_key_is_one_line(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["store", "show", "xyz", "--store", str(filled)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("StorageError: no entry of") and captured.err.count("\n") == 1


def test_verify_names_what_is_damaged(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data(capsys, "verify", "--store", str(filled)) == {"files": 11, "damaged": []}
    entry = next(entry for entry in Store(filled).entries() if entry.parts)
    path = entry.parts[3]
    sound = path.read_bytes()
    path.write_bytes(sound[:-1])
    text = output(capsys, "verify", "--store", str(filled), code=1)
    assert text.startswith(f"{path}: the checksum of its") and "11 files read, 1 damaged" in text
    assert path.exists()
    found = data(capsys, "verify", "--set-aside", "--store", str(filled), code=1)
    assert found["damaged"] == [{"file": str(path), "why": found["damaged"][0]["why"], "set_aside": True}]
    assert not path.exists() and [p.name for p in entry.aside] == [path.name]
    assert data(capsys, "verify", "--store", str(filled))["damaged"] == []
    gone = data(capsys, "gc", "--store", str(filled))["removed"]
    assert [each["why"] for each in gone] == ["damaged, set aside"]
    path.write_bytes(sound)


def test_gc_says_first_and_does_then(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = ("gc", "--store", str(filled), "--older-than", "0s")
    planned = data(capsys, *rules, "--dry-run")
    assert planned["dry_run"] and len(planned["removed"]) == 2 and len(Store(filled).entries()) == 2
    assert "would free" in output(capsys, *rules, "--dry-run")
    text = output(capsys, *rules)
    assert "freed" in text and Store(filled).entries() == []
    assert f"nothing is kept in {filled}" in output(capsys, "ls", "--store", str(filled))


@pytest.mark.parametrize("rule", [("--keep", "lots"), ("--older-than", "3 moons"), ("--older-than", "3")])
def test_what_is_no_amount(rule: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["store", "gc", *rule, "--store", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"SettingsError: {rule[1]!r} is not a ")


def test_a_store_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f").write_text("")
    assert run(["store", "ls", "--store", str(tmp_path / "f")]) == 1
    assert "is a file, and a store is a folder" in capsys.readouterr().err


def test_amounts() -> None:
    sizes = {"0": 0, "12 kB": 12_000, "1.5gib": 3 * 2**29, "7M": 7 * 10**6, "2TiB": 2**41}
    assert {text: byte_count(text) for text in sizes} == sizes
    assert [duration(text) for text in ("2w", "1.5 h", "10m", "90S")] == [14 * 86400, 5400, 600, 90]
    for wrong in ("-1", "1 PB", "", "GB"):
        with pytest.raises(SettingsError):
            byte_count(wrong)
