"""Git's own files, read as they lie there: no git is run, so that nothing a repository's settings name is run either.

Loose objects, packs and bundles give who committed, what was written, and every version of every file; settings, logs and
refs give accounts and remotes. Hooks are read as text.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from assay.studies.anonymity.piece import Inner, Item, Limits, Piece, Role, Unread
from assay.studies.anonymity.readers.pack import Packed, read_pack
from assay.studies.anonymity.readers.text import decoded, read_text

_LOG = re.compile(
    r"^[0-9a-f]{40,64} [0-9a-f]{40,64} (?P<who>[^\n]*?<[^>\n]*>) \d+ [+-]\d{4}(?:\t(?P<what>[^\n]*))?", re.M
)
_SECTION = re.compile(r"^[ \t]*\[(?P<name>[\w.-]+)(?:\s+\"(?P<sub>[^\"]*)\")?\]", re.M)
_SETTING = re.compile(r"^[ \t]*(?P<key>[\w-]+)\s*=\s*(?P<value>[^\n]*)", re.M)
_PERSON = re.compile(rb"^(?P<role>author|committer|tagger) (?P<who>[^\n]*?<[^>\n]*>)", re.M)
_FETCHED = re.compile(r" of (?P<url>\S+)\s*$", re.M)


def is_loose(name: PurePosixPath) -> bool:
    """Whether a path is that of a loose object."""
    parts = name.parts[-3:]
    return (
        len(parts) == 3
        and parts[0] == "objects"
        and re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{38,62}", "/".join(parts[1:])) is not None
    )


def read_loose(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """One loose object."""
    yield from read_loose_objects([("".join(name.parts[-2:]), data)], limits)


def read_loose_objects(loose: Iterable[tuple[str, bytes]], limits: Limits) -> Iterator[Item]:
    """Loose objects, each with its hash, all together."""
    whole: list[Packed] = []
    for sha, data in loose:
        try:
            content = zlib.decompressobj().decompress(data, min(limits.each, limits.bytes))
        except zlib.error as error:
            yield Unread(f"is a broken git object: {error}", sha[:10])
            continue
        limits.take(len(content))
        head, nul, body = content.partition(b"\0")
        if nul:
            whole.append(Packed(sha, head.split(b" ")[0].decode("latin-1"), body))
        else:
            yield Unread("is no git object", sha[:10])
    yield from objects(whole)


def read_pack_file(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """A pack of objects."""
    unread: list[str] = []
    yield from objects(read_pack(data, limits, unread))
    yield from map(Unread, unread)


def read_bundle(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """A file of `git bundle`: names of branches, then a pack."""
    at = data.find(b"\n\nPACK")
    yield Piece(data[: at if at >= 0 else 65536].decode("utf-8", "replace"), Role.DATA, "names of branches")
    if at < 0:
        yield Unread("is a broken git bundle: it holds no pack")
        return
    yield from read_pack_file(data[at + 2 :], name, limits)


def objects(found: Iterable[Packed]) -> Iterator[Item]:
    """What objects say: each person once, messages, and the versions of files under their names."""
    people: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    blobs: list[Packed] = []
    for each in found:
        if each.kind in ("commit", "tag"):
            for match in _PERSON.finditer(each.data[:4096].partition(b"\n\n")[0]):
                people.setdefault(match["who"].decode("utf-8", "replace"), []).append(
                    f"{each.kind} {each.sha[:10]}, {match['role'].decode()}"
                )
            message = each.data.partition(b"\n\n")[2].decode("utf-8", "replace")
            yield Piece(message, Role.PROSE, f"{each.kind} {each.sha[:10]}, message")
        elif each.kind == "tree":
            names |= {sha: name for name, sha in tree_entries(each.data, len(each.sha) // 2)}
        elif each.kind == "blob":
            blobs.append(each)
    for who, places in people.items():
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        yield Piece(who, Role.GIT, places[0] + more)
    yield Piece("\n".join(dict.fromkeys(names.values())), Role.PATH, "names in its history")
    for blob in blobs:
        yield Inner(f"{blob.sha[:10]}/{names.get(blob.sha, 'file')}", blob.data, blob.sha)


def tree_entries(data: bytes, width: int) -> Iterator[tuple[str, str]]:
    """Names and hashes in a tree."""
    at = 0
    while at < len(data):
        nul = data.find(b"\0", at)
        if nul < 0 or nul + width >= len(data) + 1:
            return
        name = data[at:nul].partition(b" ")[2].decode("utf-8", "replace")
        yield name, data[nul + 1 : nul + 1 + width].hex()
        at = nul + 1 + width


def read_git_text(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """A text file in .git: settings, logs, lists of refs, messages."""
    text = decoded(data) or ""
    if "logs" in name.parts:
        for match in dict.fromkeys(match["who"] for match in _LOG.finditer(text)):
            yield Piece(match, Role.GIT, "log")
        yield Piece("\n".join(match["what"] or "" for match in _LOG.finditer(text)), Role.PROSE, "log")
    elif name.name in ("config", "config.worktree"):
        yield from _settings(text)
        yield Piece(text, Role.CODE, lines=True)
    elif name.name == "FETCH_HEAD":
        yield Piece(text, Role.DATA, lines=True)
        for url in dict.fromkeys(match["url"] for match in _FETCHED.finditer(text)):
            yield Piece(url, Role.OWN_LINK, "where it was fetched from")
    elif name.name in (
        "packed-refs",
        "gitdir",
        "commondir",
        "alternates",
        "ORIG_HEAD",
        "HEAD",
        "exclude",
        "description",
    ):
        yield Piece(re.sub(r"[0-9a-f]{40,}", "", text), Role.PATH, "")
    else:
        yield from read_text(data, name, limits)


def _settings(text: str) -> Iterator[Item]:
    sections = list(_SECTION.finditer(text))
    for i, section in enumerate(sections):
        end = sections[i + 1].start() if i + 1 < len(sections) else len(text)
        for match in _SETTING.finditer(text, section.end(), end):
            line = f"line {text.count(chr(10), 0, match.start('key')) + 1}"
            if section["name"].lower() in ("user", "author", "committer") and match["key"].lower() == "name":
                yield Piece(match["value"], Role.GIT, line)
            elif match["key"].lower() in ("url", "pushurl", "username"):
                yield Piece(match["value"], Role.OWN_LINK, line)
