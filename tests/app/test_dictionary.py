"""`assay dictionary`: train, measure and explain, in words and as JSON, and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.studies.small import model_folder

from assay.app.cli import run
from assay.dictionaries import Dictionary

TEXTS = "\n".join(
    f"When {a} and {b} went to the shop, {b} gave a drink to {a}"
    for a in ("Mary", "Ann", "Tom")
    for b in ("John", "Bob")
)


def test_train_measure_explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, texts, folder = str(model_folder(tmp_path / "model")), tmp_path / "texts.txt", str(tmp_path / "sae")
    texts.write_text(TEXTS)
    capsys.readouterr()
    given = ["--model", model, "--texts", str(texts)]
    assert (
        run(
            [
                "dictionary",
                "train",
                folder,
                "--site",
                "L0.resid_post",
                "--features",
                "24",
                "--k",
                "3",
                "--epochs",
                "2",
                *given,
            ]
        )
        == 0
    )
    told = capsys.readouterr().out
    assert "24 features of L0.resid_post, 3.0 on a token" in told and "6 documents" in told
    assert len(Dictionary.load(folder)) == 24
    assert run(["dictionary", "measure", folder, *given, "--out", str(tmp_path / "q.npz")]) == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()[1:7]] == [
        "nothing",
        "dictionary",
        "pca",
        "random",
        "mean",
        "zero",
    ]
    assert run(["dictionary", "measure", folder, *given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["replaced_by"]["nothing"]["loss_recovered"] == 1 and found["replaced_by"]["mean"]["unexplained"] == 1
    assert run(["dictionary", "explain", folder, "2", *given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["feature"] == "L0.resid_post.F2"
    assert run(["dictionary", "explain", folder, "2", *given]) == 0
    assert "promotes" in capsys.readouterr().out


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dictionary", "explain", str(tmp_path / "nowhere"), "2"]) == 1
    assert "no dictionary can be read" in capsys.readouterr().err
    assert (
        run(["dictionary", "train", str(tmp_path / "a"), "--site", "L0.resid_post", "--features", "3", "--k", "4"]) == 1
    )
    assert "k = 4 of 3 features" in capsys.readouterr().err
    (tmp_path / "empty.txt").write_text("\n")
    assert (
        run(
            [
                "dictionary",
                "train",
                str(tmp_path / "a"),
                "--site",
                "L0.resid_post",
                "--texts",
                str(tmp_path / "empty.txt"),
            ]
        )
        == 1
    )
    assert capsys.readouterr().err.count("\n") == 1
