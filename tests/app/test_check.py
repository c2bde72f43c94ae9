"""`assay check`: tables, JSON, exit codes, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.studies.paper.pdf_file import simple

from assay.app.cli import run


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("Jane Fernandez\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "paper"
    made.mkdir()
    (made / "a.md").write_text(
        "By Jane Fernandez.\nSee https://github.com/toolmaker/tool. In our prior paper we agree.\n"
    )
    return made


def test_findings_and_exit_code(names: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--anonymous", str(names), str(folder)]) == 1
    text = capsys.readouterr().out
    assert "paper/a.md: line 1" in text and "Jane Fernandez" in text and "certain" in text
    assert "name: Remove the name, or replace it by 'Anonymous'." in text
    assert "Not counted: 1 link to accounts that are not known" in text and "github.com/toolmaker/tool" in text
    assert text.endswith("2 found (1 certain, 1 possible) in 1 file, 1 name\n")
    assert run(["check", "--anonymous", str(names), str(folder), "--at-least", "certain", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)["anonymous"]
    assert [(each["file"], each["place"], each["kind"]) for each in told["findings"]] == [
        ("paper/a.md", "line 1", "name")
    ]


def test_nothing_found(names: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    allow = names.with_name("allow.txt")
    allow.write_text("Jane Fernandez\nkind: own work\n")
    assert run(["check", "--anonymous", str(names), "--allow", str(allow), str(folder)]) == 0
    assert capsys.readouterr().out.endswith("nothing found in 1 file, 1 name, 2 allowed\n")


def test_folders_that_tools_make(names: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.md").write_text("clean\n")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "x.js").write_text("// Jane Fernandez\n")
    assert run(["check", "--anonymous", str(names), str(folder)]) == 0
    assert "paper/node_modules" in capsys.readouterr().out
    assert run(["check", "--anonymous", str(names), str(folder), "--everything"]) == 1


def test_a_paper(tmp_path: Path, names: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "paper.pdf"
    path.write_bytes(simple(["Heads", "Text"], ["See Figure ??.", "More"], ["References", "[1] A"]))
    assert run(["check", str(path), "--pages", "1"]) == 1
    text = capsys.readouterr().out
    assert "2 pages of main text of 1 allowed, 3 in all; references on page 3" in text
    assert all(kind in text for kind in ("too long", "broken reference", "no limitations")) and text.endswith(
        "3 problems\n"
    )
    assert run(["check", str(path), "--pages", "1", "--camera-ready", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)["paper"]
    assert told["main_pages"] == told["allowed"] == 2 and {each["kind"] for each in told["problems"]} == {
        "broken reference",
        "no limitations",
    }
    path.write_bytes(
        simple(["Heads", "Limitations", "Few."], ["References", "[1] A"], info={"Author": "Jane Fernandez"})
    )
    assert run(["check", str(path)]) == 0
    capsys.readouterr()
    assert run(["check", str(path), "--anonymous", str(names), "--pages", "9"]) == 1
    both = capsys.readouterr().out
    assert "/Author" in both and "1 pages of main text of 9 allowed" in both


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--anonymous", "NAMES"], "InputError: Cannot look at nowhere: No such file or directory."),
        (["nowhere.pdf"], "InputError: Cannot read nowhere.pdf: No such file or directory."),
        ([".", "--anonymous", "none.txt"], "InputError: Cannot read the names in none.txt"),
        (["."], "InputError: . is a folder: give the paper's PDF, or --anonymous NAMES.txt"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, names: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", *(str(names) if each == "NAMES" else each for each in arguments)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(message) and told.count("\n") == 1


def test_options_that_would_do_nothing_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(tmp_path), "--camera-ready"]) == 2
    assert run(["check", str(tmp_path), "--allow", "x"]) == 2


def test_a_link_in_a_circle_is_one_line(tmp_path: Path, names: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert run(["check", "--anonymous", str(names), str(tmp_path / "loop")]) == 1
    assert "Too many levels of symbolic links" in capsys.readouterr().err


def test_without_pypdf(
    tmp_path: Path, names: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "paper.pdf"
    path.write_bytes(simple(["x"]))
    for module in ("assay.core.extras", "assay.studies.anonymity.readers.pdf"):
        monkeypatch.setattr(f"{module}.has", lambda name: False)
    assert run(["check", str(path)]) == 1
    assert (
        "MissingExtraError: reading PDF files needs 'pypdf', which is not installed: pip install 'assay[paper]'"
        in capsys.readouterr().err
    )
    assert run(["check", "--anonymous", str(names), str(path)]) == 1
    assert "pip install 'assay[paper]'" in capsys.readouterr().out
