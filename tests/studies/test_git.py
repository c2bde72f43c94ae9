"""The commit and whether files differ, against git itself; and that nothing a repository names is run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.studies.git import checkout

Git = Callable[..., str]


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, Git]:
    folder = tmp_path / "work"
    folder.mkdir()
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def git(*arguments: str, at: Path = folder) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=at, env=os.environ | settings, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    (folder / "a.txt").write_text("a\n")
    (folder / "deep").mkdir()
    (folder / "deep" / "b.txt").write_text("b\n")
    os.symlink("a.txt", folder / "link")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    return folder, git


def test_a_clean_checkout(repository: tuple[Path, Git]) -> None:
    folder, git = repository
    found = checkout(folder / "deep")
    assert found is not None
    assert found.commit == git("rev-parse", "HEAD")
    assert found.dirty is False


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_every_version_of_the_index(repository: tuple[Path, Git], version: str) -> None:
    folder, git = repository
    git("update-index", "--index-version", version)
    if version == "3":  # has extended flags
        (folder / "later.txt").write_text("x")
        git("add", "-N", "later.txt")
    (folder / "deep" / "b.txt").write_text("changed\n")
    found = checkout(folder)
    assert found is not None and found.dirty is True


def touched(folder: Path, git: Git) -> None:
    os.utime(folder / "a.txt", (1, 1))  # another time, the same content


def edited(folder: Path, git: Git) -> None:
    (folder / "a.txt").write_text("A\n")


def removed(folder: Path, git: Git) -> None:
    (folder / "deep" / "b.txt").unlink()


def staged(folder: Path, git: Git) -> None:
    edited(folder, git)
    git("add", "a.txt")


def added(folder: Path, git: Git) -> None:
    (folder / "new.txt").write_text("new")
    git("add", "new.txt")


def untracked(folder: Path, git: Git) -> None:
    (folder / "new.txt").write_text("new")


def turned(folder: Path, git: Git) -> None:
    (folder / "link").unlink()
    os.symlink("deep/b.txt", folder / "link")


def piped(folder: Path, git: Git) -> None:
    (folder / "a.txt").unlink()
    os.mkfifo(folder / "a.txt")  # reading it would wait for ever


@pytest.mark.parametrize(
    ("change", "dirty"),
    [(touched, False), (edited, True), (removed, True), (staged, True), (added, True), (untracked, False),
     (turned, True), (piped, True)],
)  # fmt: skip
def test_changes(repository: tuple[Path, Git], change: Callable[[Path, Git], None], dirty: bool) -> None:
    folder, git = repository
    change(folder, git)
    found = checkout(folder)
    assert found is not None and found.dirty is dirty


def test_packed_refs_detached_heads_and_worktrees(repository: tuple[Path, Git], tmp_path: Path) -> None:
    folder, git = repository
    first = git("rev-parse", "HEAD")
    git("worktree", "add", "-q", str(tmp_path / "other"), "-b", "side")
    (tmp_path / "other" / "a.txt").write_text("side\n")
    git("commit", "-q", "-am", "second", at=tmp_path / "other")
    second = git("rev-parse", "side")
    git("pack-refs", "--all")
    for at, commit in ((folder, first), (tmp_path / "other", second)):
        found = checkout(at)
        assert found is not None and found.commit == commit
    git("checkout", "-q", "--detach")
    found = checkout(folder)
    assert found is not None and found.commit == first


def test_what_cannot_be_told_is_not_called_clean(repository: tuple[Path, Git]) -> None:
    folder, git = repository
    git("gc", "-q")  # the commit is in a pack now: what is staged can't be compared with it
    found = checkout(folder)
    assert found is not None and found.dirty is None
    (folder / ".git" / "index").write_bytes(b"DIRC\0\0\0\2\0\0\0\xffrubbish")
    found = checkout(folder)
    assert found is not None and found.dirty is None


def test_no_repository(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / ".git").mkdir()
    assert checkout(tmp_path / "inner") is None
    (tmp_path / "inner" / ".git" / "HEAD").write_text("ref: refs/heads/../../../etc/passwd")
    assert checkout(tmp_path / "inner") is None


def test_a_repository_runs_nothing(repository: tuple[Path, Git], tmp_path: Path) -> None:
    """Programs that the configuration names for git: a monitor of files, filters, hooks."""
    folder, git = repository
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\ncat\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "filter.x.clean", "core.sshCommand", "core.pager"):
        git("config", key, str(trap))
    (folder / ".gitattributes").write_text("* filter=x\n")
    (folder / "a.txt").write_text("changed\n")
    found = checkout(folder)
    assert found is not None and found.dirty is True
    assert not (tmp_path / "ran").exists()
