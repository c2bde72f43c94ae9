"""Broken, huge and hostile files: one clear line each, never a traceback, a full memory, or a file outside."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.studies.anonymity.leaks import NAMES, all_leaks, pdf, zipped

from assay.studies.anonymity.check import check_files, check_path
from assay.studies.anonymity.finding import Report
from assay.studies.anonymity.names import parse_names

PEOPLE = parse_names(NAMES.splitlines())


def checked(name: str, data: bytes) -> Report:
    return check_files({name: data}, PEOPLE)


def unread(report: Report) -> list[str]:
    lines = [each.text for each in report.findings if each.kind == "not read"]
    assert not any("\n" in line or len(line) > 200 for line in lines)
    return lines


def test_zip_bombs() -> None:
    bomb = zipped(zeros_DOT_bin=bytes(40 << 20))
    assert len(bomb) < 100_000
    (line,) = unread(checked("a.zip", bomb))
    assert "times its size (40 MB): refused" in line
    assert unread(checked("a.zip", zipped(inner_DOT_zip=bomb))) == [line]
    (line,) = unread(checked("a.gz", gzip.compress(bytes(40 << 20))))
    assert "times its size: refused" in line


def test_archives_in_archives_without_end() -> None:
    data = b"by Jane Fernandez"
    for _ in range(12):
        data = zipped(a_DOT_zip=data)
    assert unread(checked("a.zip", data)) == ["lies in more than 6 archives"]


def test_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.studies.anonymity import check, piece

    monkeypatch.setattr(check, "Limits", lambda: piece.Limits(files=50))
    many = zipped(**{f"f{i}": "x" for i in range(200)})
    assert any("more files than a check looks at" in line for line in unread(checked("a.zip", many)))


@pytest.mark.parametrize("name", ["../../evil.txt", "/etc/evil", "a/../../evil", "C:\\evil", "..\\evil"])
def test_paths_that_lead_out(name: str, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, "by Jane Fernandez")
    (line,) = unread(checked("a.zip", out.getvalue()))
    assert "leads out of the archive: refused" in line
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    assert "leads out of the archive: refused" in unread(checked("a.tar", tape.getvalue()))[0]
    assert list(tmp_path.parent.rglob("*evil*")) == []


def test_links_and_devices_in_archives() -> None:
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w") as tar:
        for name, kind, target in (
            ("out", tarfile.SYMTYPE, "/home/tkowalski/x"),
            ("in", tarfile.SYMTYPE, "a.txt"),
            ("pipe", tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    report = checked("a.tar", tape.getvalue())
    assert unread(report) == ["is a symbolic link out of the archive: refused", "is a device or a pipe: refused"]
    assert any(each.kind == "home path" for each in report.findings), "where the link leads tells too"


def test_locked_archive() -> None:
    data = bytearray(zipped(a_DOT_txt="by Jane Fernandez"))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(mark) + at] |= 1
    assert unread(checked("a.zip", bytes(data))) == ["is encrypted: it cannot be looked at"]


def test_links_that_go_in_circles_and_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("by Jane Fernandez")
    (root / "sub" / "up").symlink_to(root, target_is_directory=True)
    (root / "loop").symlink_to(root / "loop2")
    (root / "loop2").symlink_to(root / "loop")
    (root / "out").symlink_to("/etc/passwd")
    os.mkfifo(root / "pipe")
    report = check_path(root, PEOPLE)
    told = {(each.file, each.text) for each in report.findings if each.kind == "not read"}
    assert told == {
        ("root/loop", "is a symbolic link that leads nowhere or in a circle: not followed"),
        ("root/loop2", "is a symbolic link that leads nowhere or in a circle: not followed"),
        ("root/out", "is a symbolic link out of the folder: not followed"),
        ("root/pipe", "is no ordinary file (a device, pipe or socket)"),
    }
    assert sum(each.text == "Jane Fernandez" for each in report.findings) == 1


def test_a_huge_file_is_looked_at_at_both_ends(tmp_path: Path) -> None:
    huge = tmp_path / "huge.bin"
    with huge.open("wb") as file:
        file.write(b"\0by Jane Fernandez\0")
        file.truncate(3 << 30)
        file.seek(-40, os.SEEK_END)
        file.write(b"\0/home/tkowalski/x\0")
    begun = time.monotonic()
    report = check_path(huge, PEOPLE)
    assert {"name", "home path"} <= {each.kind for each in report.findings}
    (line,) = unread(report)
    assert line == "is 3072 MB long: 3056 MB in its middle were not looked at"
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("a.pdf", b"%PDF-1.7\n", "is a broken PDF"),
        ("a.pdf", pdf().bytes()[:300], "is a broken PDF"),
        ("a.pdf", b"%PDF-1.4\n" + bytes(range(256)) * 40, "is a broken PDF"),
        ("a.zip", b"PK\x03\x04" + b"x" * 50, "is a broken zip archive"),
        ("a.tar.gz", gzip.compress(b"x" * 5000)[:-20], ""),
        ("a.gz", b"\x1f\x8b\x08\0" + b"x" * 50, "is a broken compressed file"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + b"x" * 50, "is a 7z archive, which cannot be opened here"),
        ("a.ipynb", b'{"cells": [', "its JSON is broken"),
        ("a.parquet", b"PAR1xxxxxxPAR1", "is a broken Parquet file"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0\xff\xff", "" ),
        ("x.pack", b"PACK\0\0\0\2\0\0\0\5garbage", "is a broken git pack"),
        (".git/objects/aa/" + "b" * 38, b"garbage", "is a broken git object"),
        ("a.bundle", b"# v2 git bundle\nx", "is a broken git bundle"),
    ],
    ids=[f"{i}" for i in range(13)],  # some bytes hold the time
)  # fmt: skip
def test_broken_files_are_told_in_one_line(name: str, data: bytes, line: str) -> None:
    told = unread(checked(name, data))
    assert line == "" or any(line in each for each in told), told


def test_deep_json_and_long_lines() -> None:
    assert checked("a.json", b"[" * 200_000 + b"]" * 200_000).clean
    assert not checked("a.json", b'{"a": "' + b"x" * 500_000 + b' Jane Fernandez"}').clean
    assert checked("a.ipynb", b'{"cells": ' + b"[" * 100_000).findings[0].kind == "not read"


BINARY = [
    each
    for each in all_leaks()
    if each.file.rpartition(".")[2] not in ("txt", "md", "tex", "py", "bib", "sh", "csv", "yaml", "log")
]


def test_damaged_files_of_every_format() -> None:
    """Cut anywhere, or with bytes changed: whatever is found, nothing is raised."""
    chance = random.Random(0)
    for leak in BINARY:
        cut = leak.data[: chance.randrange(len(leak.data))]
        changed = bytearray(leak.data)
        for _ in range(12):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        for data in (cut, bytes(changed)):
            unread(checked(leak.file, data))


STARTS = [
    b"",
    b"%PDF-1.4\n",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF89a",
    b"II*\0",
    b"PK\x03\x04",
    b"\x1f\x8b\x08",
    b"BZh9",
    b"PACK",
    b"RIFFxxxxWEBP",
    b"PAR1",
]
ENDS = ["bin", "txt", "tex", "ipynb", "json", "svg", "bib", "py", "csv"]


@given(st.sampled_from(STARTS), st.binary(max_size=300), st.sampled_from(ENDS))
def test_junk(start: bytes, rest: bytes, end: str) -> None:
    unread(checked(f"a.{end}", start + rest))


@pytest.mark.parametrize(
    "unit",
    [
        "\n",
        "{",
        "\\author{",
        "\\begin{comment}",
        "\\iffalse ",
        "<!--",
        "<a ",
        "@",
        "a@",
        "/home/",
        "\nack ",
        "our previous ",
        "Jane Q. ",
    ],
)
@pytest.mark.parametrize("end", ["tex", "html", "json"])
def test_texts_that_would_match_everywhere(unit: str, end: str) -> None:
    """100,000 letters in a few seconds: a quadratic search would take minutes."""
    begun = time.monotonic()
    checked(f"a.{end}", (unit * (100_000 // len(unit))).encode())
    assert time.monotonic() - begun < 20
