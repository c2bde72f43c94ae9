"""`assay study report`, `figures` and `claims` as commands: forms, paths, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.studies.small import model_folder, study_file

from assay.app.cli import run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("small")
    options = ["--model", str(model_folder(place / "model")), "--out", str(place / "run")]
    assert run(["study", "run", str(study_file(place / "study.yaml")), *options]) == 0
    return place / "run"


def test_all_forms_are_written_and_named(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert run(["study", "report", str(finished), "--format", "all"]) == 0
    written = [Path(line) for line in capsys.readouterr().out.split()]
    assert written == [finished / "report.html", finished / "report.md", finished / "report" / "latex"]
    assert all(path.exists() for path in written)
    assert run(["study", "report", str(finished), "--format", "md", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(finished / "report.md")}


def test_figures_are_written_in_the_forms_asked_for(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", "figures", str(finished), "--form", "svg", "--form", "html", "--json"]) == 0
    paths = [Path(each) for each in json.loads(capsys.readouterr().out)["figures"]]
    assert {path.suffix for path in paths} == {".svg", ".html"}
    assert all(path.exists() for path in paths)
    assert run(["study", "figures", str(finished), "--form", "gif"]) == 1
    assert "there are svg, pdf, png, html" in capsys.readouterr().err


def test_claims_fail_only_where_the_evidence_is_contradicted(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.md"
    text.write_text("An untrained model is at chance (`chance`).")
    assert run(["study", "claims", str(text)]) == 0
    capsys.readouterr()
    assert run(["study", "claims", str(text), "--run", str(finished), "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert found["rule"] == "claim: verdict" and "inconclusive" in found["problem"]
    assert run(["study", "claims", str(tmp_path / "none.md")]) == 1
    assert "can't be read" in capsys.readouterr().err
