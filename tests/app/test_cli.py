"""What a person sees of the command line: help, exit codes, one-line errors."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from assay.app import cli
from assay.app.cli import run


def test_help_shows_the_commands_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert "load" in text
    assert "Example" in text


def test_every_command_has_help_with_an_example_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    for path in commands(typer.main.get_command(cli.app)):
        assert run([*path, "--help"]) == 0
        text = capsys.readouterr().out
        assert "Example" in text, path
        assert "--json" in text, path


def commands(group: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all commands that do something, subcommands of groups included."""
    found: list[tuple[str, ...]] = []
    for name, command in getattr(group, "commands", {}).items():
        inner = commands(command, (*path, name))
        found += inner or [(*path, name)]
    return found


def test_help_is_quick_since_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, assay, assay.app.cli; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'xarray')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("assay ")


@pytest.mark.parametrize("arguments", [["nonsense"], ["load", "--nonsense"], ["load", "a", "b"], []])
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert "Usage: assay" in captured.err + captured.out
    assert "Traceback" not in captured.err


def test_a_user_error_is_one_line_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["load", str(tmp_path / "nowhere")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("LoadError: ")
    assert captured.err.count("\n") == 1


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("assay.engine.model.load", interrupt)
    assert run(["load"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("assay.engine.model.load", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run(["load"])


def test_main_leaves_with_the_exit_code() -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["load", "./nowhere"])
    assert caught.value.code == 1
