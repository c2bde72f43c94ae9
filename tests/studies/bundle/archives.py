"""Zip files that a bundle never is, each hostile in one way."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Callable


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file of these members, as they are."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return target.getvalue()


def info(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    """A member with a kind of file."""
    made = zipfile.ZipInfo(name)
    made.create_system, made.external_attr, made.compress_type = 3, mode << 16, zipfile.ZIP_DEFLATED
    return made


PLAIN = ("bundle.json", b"{}")


def named(name: str) -> bytes:
    """A file with such a name beside a plain one."""
    return zipped(PLAIN, (name, b"x"))


def patched(data: bytes, at: str, offset: int, value: bytes) -> bytes:
    """A zip file of one member, changed in its local header (`local`) or in the list of files (`central`)."""
    start = 0 if at == "local" else data.index(b"PK\x01\x02")
    return data[: start + offset] + value + data[start + offset + len(value) :]


def overlapping() -> bytes:
    """Two entries of the list lead to the same bytes."""
    data = zipped(("a.json", b"x" * 50), ("b.json", b"y" * 50))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    return data[: second + 42] + struct.pack("<I", 0) + data[second + 46 :]


def encrypted() -> bytes:
    """The flag is set."""
    data = patched(zipped(PLAIN), "local", 6, b"\x01\0")
    return patched(data, "central", 8, b"\x01\0")


def twice() -> bytes:
    """One name, two contents."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("plan.json", b"1")
        data = zipfile.ZipInfo("plan.jsoN")
        archive.writestr(data, b"2")
    return target.getvalue().replace(b"plan.jsoN", b"plan.json")


def inserted() -> bytes:
    """Something between the files and their list, which a careless reader never sees."""
    data = zipped(PLAIN)
    at = data.index(b"PK\x01\x02")
    moved = data[:at] + b"hidden" + data[at:]
    end = len(moved) - 6
    return moved[:end] + struct.pack("<I", at + 6) + moved[end + 4 :]


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a path that leads out": (lambda: named("../evil.json"), "no plain name"),
    "a path that leads out further in": (lambda: named("results/../../evil.json"), "no plain name"),
    "an absolute path": (lambda: named("/etc/passwd"), "no plain name"),
    "a drive": (lambda: named("C:\\evil.json"), "no plain name"),
    "backslashes": (lambda: named("..\\..\\evil.json"), "no plain name"),
    "a hidden file": (lambda: named(".git/hooks/post-checkout"), "no plain name"),
    "a folder": (lambda: named("results/"), "no plain name"),
    "a deep path": (lambda: named("a/b/c/d/e.json"), "no plain name"),
    "a long name": (lambda: named("a" * 300), "no plain name"),
    "letters that look alike": (lambda: named("plаn.json"), "no plain name"),
    "a line break in a name": (lambda: named("a\nb.json"), "no plain name"),
    "a device's name": (lambda: named("results/aux.json"), "take for something else"),
    "a symbolic link": (
        lambda: zipped(PLAIN, (info("plan.json", stat.S_IFLNK | 0o777), b"/etc/passwd")), "a link, a folder or a device"
    ),
    "a device": (lambda: zipped(PLAIN, (info("plan.json", stat.S_IFCHR | 0o666), b"")), "a link, a folder or a device"),
    "a pipe": (lambda: zipped(PLAIN, (info("plan.json", stat.S_IFIFO | 0o666), b"")), "a link, a folder or a device"),
    "a name twice": (twice, "twice"),
    "names that differ in case": (lambda: zipped(PLAIN, ("Bundle.json", b"x")), "twice"),
    "a bomb": (lambda: zipped(PLAIN, ("log.jsonl", b"\0" * (8 << 20))), "zip bombs"),
    "many files": (lambda: zipped(*((f"f{i}.json", b"") for i in range(2001))), "more than 2,000"),
    "an encrypted file": (encrypted, "encrypted"),
    "overlapping files": (overlapping, "overlap"),
    "another compression": (lambda: zipped(PLAIN, method=zipfile.ZIP_LZMA), "packed in a way"),
    "a program before it": (lambda: b"#!/bin/sh\nexit\n" + zipped(PLAIN), "from its first byte"),
    "something behind it": (lambda: zipped(PLAIN) + b"more", "behind its end|broken"),
    "something in between": (inserted, "between its files and their list|overlap"),
    "a size that is not true": (
        lambda: patched(zipped(PLAIN), "central", 24, struct.pack("<I", 1)), "size is not|broken"
    ),
    "another name inside": (lambda: patched(zipped(PLAIN), "local", 30, b"evil!!.json"), "broken"),
    "a damaged content": (lambda: patched(zipped(("a.json", b"x" * 99)), "local", 40, b"\xff\xff"), "broken"),
    "half of it": (lambda: zipped(PLAIN, ("log.jsonl", bytes(range(256)) * 40))[:300], "broken"),
    "no zip file": (lambda: b"PK\x03\x04 and nothing else", "broken"),
    "an empty one": (lambda: zipped(), "from its first byte"),
    "a tar file": (lambda: b"bundle.json" + b"\0" * 600, "from its first byte"),
}  # fmt: skip
