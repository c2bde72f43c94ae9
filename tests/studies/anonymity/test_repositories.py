"""Repositories: history, settings, remotes and logs are read as files; nothing that a repository's settings name is run."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
from tests.studies.anonymity.leaks import NAMES, zipped

from assay.studies.anonymity.check import check_files, check_path
from assay.studies.anonymity.finding import Report
from assay.studies.anonymity.names import parse_names
from assay.studies.anonymity.piece import Limits
from assay.studies.anonymity.readers.pack import read_pack

PEOPLE = parse_names(NAMES.splitlines())


def git(folder: Path, *arguments: str, who: tuple[str, str] = ("Anonymous", "anonymous@example.org")) -> str:
    names = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in zip(("NAME", "EMAIL"), who, strict=True)
    }
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=os.environ | names | settings, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "heads"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "run.py").write_text("x = 1\n" * 300)
    commit(folder, "start")
    return folder


def commit(folder: Path, message: str, **who: tuple[str, str]) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message, **who)


def told(report: Report) -> set[tuple[str, str]]:
    return {(each.kind, each.text) for each in report.findings}


def test_a_clean_history(repo: Path) -> None:
    (repo / "run.py").write_text("x = 2\n" * 300)
    commit(repo, "Long prompts will need more memory")
    assert told(check_path(repo, PEOPLE)) == set()


@pytest.mark.parametrize("packed", [False, True])
def test_planted_in_history(repo: Path, packed: bool) -> None:
    (repo / "run.py").write_text("x = 1\n" * 300 + "# TODO(jane): faster\nDATA = '/home/tkowalski/x'\n")
    commit(repo, "more, after a talk with Jane Fernández", who=("Tomasz Kowalski", "t.kowalski@uni-stadt.de"))
    (repo / "run.py").write_text("x = 3\n" * 300)
    commit(repo, "clean again")
    git(repo, "tag", "-a", "v1", "-m", "x", who=("Zofia Brzęczyszczykiewicz", "z@uni-stadt.de"))
    git(repo, "branch", "jqfz/try")
    git(repo, "remote", "add", "origin", "git@github.com:tkow77/heads.git")
    git(repo, "config", "user.name", "Tomasz Kowalski")
    if packed:
        git(repo, "gc", "-q", "--aggressive", "--prune=now")
        assert not list((repo / ".git" / "objects").glob("??")) and list((repo / ".git").rglob("*.pack"))
    report = check_path(repo, PEOPLE)
    found = told(report)
    assert {
        ("git identity", "Tomasz Kowalski <t.kowalski@uni-stadt.de>"),
        ("git identity", "Zofia Brzęczyszczykiewicz <z@uni-stadt.de>"),
        ("name", "Jane Fernández"),
        ("home path", "/home/tkowalski/x"),
        ("initials", "jane"),
        ("hub link", "git@github.com:tkow77/heads.git"),
    } <= found, found
    assert ("git identity", "Tomasz Kowalski") in found, "the setting"
    assert any(kind == "account" and "jqfz" in text for kind, text in found), "the branch"
    assert all("git archive" in each.advice for each in report.findings)
    assert any("run.py" in each.file for each in report.findings if each.kind == "home path"), (
        "the file of an old version"
    )


def test_packs_give_what_git_gives(repo: Path) -> None:
    """Every object, with differences of differences, far offsets and copies of 64 KB, against git itself."""
    chance = random.Random(0)
    lines = [f"{chance.random()} line {i}" for i in range(9000)]
    for i in range(6):
        lines[chance.randrange(len(lines))] = f"changed {i}"
        (repo / "large.txt").write_text("\n".join(lines))
        (repo / f"other{i}.txt").write_text(f"{i}\n" * 300)
        commit(repo, f"step {i}")
    git(repo, "gc", "-q", "--aggressive", "--prune=now")
    (pack,) = (repo / ".git").rglob("*.pack")
    unread: list[str] = []
    ours = {each.sha: (each.kind, len(each.data)) for each in read_pack(pack.read_bytes(), Limits(), unread)}
    theirs = {
        sha: (kind, int(size))
        for sha, kind, size in map(
            str.split, git(repo, "cat-file", "--batch-all-objects", "--batch-check").splitlines()
        )
    }
    assert ours == theirs and unread == [] and len(ours) > 20


def test_settings_can_not_run_anything(repo: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    script = tmp_path / "trap.sh"
    script.write_text(f"#!/bin/sh\ntouch {trap}\n")
    script.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "core.sshCommand",
        "diff.external",
        "core.askPass",
        "gpg.program",
    ):
        git(repo, "config", key, str(script))
    git(repo, "config", "alias.log", f"!{script}")
    (repo / ".gitattributes").write_text("* filter=x diff=x\n")
    git(repo, "config", "filter.x.smudge", str(script))
    (repo / ".git" / "hooks" / "post-checkout").write_bytes(script.read_bytes())
    check_path(repo, PEOPLE)
    assert not trap.exists()


def test_a_history_inside_an_archive_and_a_bundle(repo: Path, tmp_path: Path) -> None:
    (repo / "a.txt").write_text("by Jane Fernandez\n")
    commit(repo, "x")
    files = {str(path.relative_to(repo.parent)): path.read_bytes() for path in repo.rglob("*") if path.is_file()}
    del files["heads/a.txt"]
    report = check_files({"x.zip": zipped(**{name.replace("/", "__"): data for name, data in files.items()})}, PEOPLE)
    assert ("name", "Jane Fernandez") in told(report)
    git(repo, "bundle", "create", "-q", str(tmp_path / "x.bundle"), "main")
    report = check_path(tmp_path / "x.bundle", PEOPLE)
    assert ("name", "Jane Fernandez") in told(report) and "a.txt" in report.findings[0].file


def test_versions_that_lie_in_the_folder_are_told_once(repo: Path) -> None:
    (repo / "a.txt").write_text("by Jane Fernandez\n")
    commit(repo, "x")
    names = [each.file for each in check_path(repo, PEOPLE).findings if each.kind == "name"]
    assert names == ["heads/a.txt"]


def test_what_was_never_committed_but_staged(repo: Path) -> None:
    (repo / "a.txt").write_text("by Jane Fernandez\n")
    git(repo, "add", "a.txt")
    (repo / "a.txt").unlink()
    assert ("name", "Jane Fernandez") in told(check_path(repo, PEOPLE))
