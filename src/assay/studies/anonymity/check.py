"""Look through a file, a folder, an archive or a repository for whatever tells who the authors are.

Valid for everything that can be read as text, and for the formats in `readers`; letters inside pictures are not seen.
Nothing that is found is run: repositories are read as files, without git; archives are unpacked in memory, within
`Limits`; symbolic links are not followed.

Cost: linear in the bytes; about two seconds for a megabyte of text, half a second for a page of a PDF.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from assay.studies.anonymity.allowed import Allowed
from assay.studies.anonymity.finding import ADVICE, Certainty, Finding, Report
from assay.studies.anonymity.match import Match
from assay.studies.anonymity.names import Names
from assay.studies.anonymity.piece import Found, Item, Limits, Piece, Role, Unread
from assay.studies.anonymity.readers import read
from assay.studies.anonymity.readers.git import read_loose_objects
from assay.studies.anonymity.readers.pack import blob_sha
from assay.studies.anonymity.search import search
from assay.studies.anonymity.walk import Loose, walk

_GIT_ADVICE = ("Submit an export without history: git archive HEAD.", "/.git/")
MOST = 40
"""Findings of one kind in one file that are listed; the others are counted in a last line."""


def check_path(path: Path, names: Names, *, allowed: Allowed | None = None, everything: bool = False) -> Report:
    """Check a file or a folder. With `everything`, also folders that tools make, such as .venv."""
    look = _Look(names, allowed or Allowed(), Limits())
    for step in walk(path, look.limits, everything=everything):
        if isinstance(step.item, Loose):
            look.items(step.name, read_loose_objects(step.item.objects, look.limits), depth=0)
            continue
        if isinstance(step.item, bytes):
            look.file(step.name, step.item, notice=step.notice)
        elif isinstance(step.item, Unread):
            look.unread(step.name, step.item)
        else:
            look.left_out.append(step.name)
        look.path(step.name)
        if step.target:
            look.piece(step.name, Piece(step.target, Role.PATH, "where the link leads"))
    return look.report()


def check_files(files: Mapping[str, bytes], names: Names, *, allowed: Allowed | None = None) -> Report:
    """Check files that are in memory, by their paths inside a bundle."""
    look = _Look(names, allowed or Allowed(), Limits())
    for name, data in files.items():
        look.file(name, data)
        look.path(name)
    return look.report()


@dataclass
class _Look:
    names: Names
    allowed: Allowed
    limits: Limits
    findings: dict[tuple[str, str, str, str], Finding] = field(default_factory=dict)
    links: dict[str, None] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    files: int = 0
    size: int = 0
    passed: int = 0
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    repeats: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    """Hashes of contents that were looked at, as git names them: a version that lies in the folder is not told again."""

    def file(self, name: str, data: bytes, *, depth: int = 0, notice: str = "") -> None:
        """Look into one file, and into the files inside it."""
        self.files += 1
        self.size += len(data)
        self.known.add(blob_sha(data))
        if notice:
            self.unread(name, Unread(notice))
        self.items(name, read(data, PurePosixPath(name), self.limits), depth=depth)

    def items(self, name: str, items: Iterable[Item], *, depth: int) -> None:
        """Look at what a reader gives."""
        for item in items:
            if isinstance(item, Piece):
                self.piece(name, item)
            elif isinstance(item, Found):
                self.add(name, item.place, item.kind, item.text, Certainty(item.certain), item.text)
            elif isinstance(item, Unread):
                self.unread(name, item)
            elif depth >= self.limits.depth:
                self.unread(f"{name}!{item.name}", Unread(f"lies in more than {self.limits.depth} archives"))
            elif item.sha not in self.known:
                inner = f"{name}!{item.name}"
                self.path(item.name, inside=f"{name}!")
                self.file(inner, item.data, depth=depth + 1)

    def path(self, name: str, *, inside: str = "") -> None:
        """Look at a file's name, and once at the names of the folders that it is in."""
        self.piece(inside + name, Piece(PurePosixPath(name).name, Role.PATH, "its name"))
        for parent in PurePosixPath(name).parents:
            label = f"{inside}{parent}"
            if label in self.folders:
                return
            self.folders.add(label)
            # the whole of it, as a home folder is known by where it is
            whole = re.search(r"(?:^|/)(?:home|Users|scratch)/[^/]+$", str(parent)) is not None
            self.piece(label, Piece(f"/{parent}" if whole else parent.name, Role.PATH, "name of a folder"))

    def piece(self, name: str, piece: Piece) -> None:
        """Search a piece of text, and keep what is found."""
        if not piece.text:
            return
        matches, links = search(piece, self.names)
        for each in matches:
            shown, context = _shown(piece.text, each)
            self.add(name, piece.where(each.start), each.kind, shown, each.certainty, context)
        for link in links:
            if not self.allowed.lets(name, "hub link", link):
                self.links[link] = None

    def unread(self, name: str, item: Unread) -> None:
        """Keep that something could not be looked at."""
        self.add(name, item.place, "not read", item.why, Certainty.POSSIBLE, item.why)

    def add(self, file: str, place: str, kind: str, text: str, certainty: Certainty, context: str) -> None:
        """Keep a finding, unless it is allowed or known."""
        if self.allowed.lets(file, kind, context):
            self.passed += 1
            return
        key = (file, place, kind, text)
        if (at := f"/{file}".find("/.git/")) >= 0:  # a history repeats: the first place is told
            key = (file[:at], "", kind, text)
            self.repeats[key] = self.repeats.get(key, 0) + 1
        count = self.counts.get((file, kind), 0)
        known = self.findings.get(key)
        if known is None:
            self.counts[file, kind] = count + 1
        if known is None and count >= MOST:
            more = f"and {count + 1 - MOST} more"
            self.findings[file, "…", kind, ""] = Finding(file, "…", kind, more, certainty, _advice(file, kind))
        elif known is None or (known.certainty < certainty and "/.git/" not in f"/{file}"):
            self.findings[key] = Finding(file, place, kind, text, certainty, _advice(file, kind))

    def report(self) -> Report:
        """All of it, the surest first within each file."""
        told = [_with_count(each, self.repeats.get(key, 1)) for key, each in self.findings.items()]
        order = {file: i for i, file in enumerate(dict.fromkeys(each.file for each in told))}
        found = sorted(told, key=lambda each: (order[each.file], -each.certainty))
        return Report(
            tuple(found), tuple(self.links), tuple(self.left_out), self.files, self.size, self.passed, len(self.names)
        )


def _with_count(finding: Finding, times: int) -> Finding:
    more = "" if times == 1 else f" and {times - 1} more place{'s' if times > 2 else ''} in this history"
    return replace(finding, place=finding.place + more)


def _advice(file: str, kind: str) -> str:
    return _GIT_ADVICE[0] if _GIT_ADVICE[1] in f"/{file}" and kind != "not read" else ADVICE[kind]


def _shown(text: str, match: Match) -> tuple[str, str]:
    """What stands there in one short line, and the word or link around it, for the allow-list."""
    here = text[match.start : match.end]
    start, end = match.start, match.end
    while start > max(0, match.start - 200) and not text[start - 1].isspace() and text[start - 1] not in "\"'<>(){}[]|":
        start -= 1
    while end < min(len(text), match.end + 200) and not text[end].isspace() and text[end] not in "\"'<>(){}[]|":
        end += 1
    around = text[start:end]
    wide = match.kind in ("home path", "hub link", "account")
    line = " ".join((around if wide and len(around) <= 100 else here).split())
    return "".join(c if c.isprintable() else "?" for c in (line if len(line) <= 100 else f"{line[:97]}...")), around


def kinds(findings: Iterable[Finding]) -> dict[str, int]:
    """How many of each kind."""
    counted: dict[str, int] = {}
    for each in findings:
        counted[each.kind] = counted.get(each.kind, 0) + 1
    return counted
