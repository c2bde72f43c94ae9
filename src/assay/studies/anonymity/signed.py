"""Marks that people leave on what they touch: trailers of commits, tasks left to somebody, owners in listings, handles.

Each is a name or an account beside a fixed word, so that neither a list of names nor a field is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.studies.anonymity.fields import names_somebody
from assay.studies.anonymity.machine import somebody
from assay.studies.anonymity.match import LIKELY, POSSIBLE, Match
from assay.studies.anonymity.names import is_word
from assay.studies.anonymity.nearby import near
from assay.studies.anonymity.piece import Role

_NAME = r"[^\W\d_a-z][\w'’.-]+(?: [^\W\d_a-z]\.)?(?: [^\W\d_a-z][\w'’-]+){1,3}"
_TRAILER = near(
    rf"^[ \t]*(?i:(?:co-authored|signed-off|reviewed|acked|tested|reported|suggested|helped|co-developed)-by)"
    rf"\s*:\s*(?P<who>{_NAME})",
    "-by:|-by :",
    before=24,
    after=120,
    flags=re.M,
)
_MAINTAINER = near(
    r"^[ \t]*(?:LABEL\s+(?:[\w.]*\.)?(?:maintainer|authors?)\s*=\s*|MAINTAINER\s+)[\"']?(?P<who>[^\"'\n]{3,100})",
    "maintainer|label",
    before=80,
    after=140,
    flags=re.I | re.M,
)
_DOCUMENTED = near(rf"(?<!\w)[@\\]author\s+(?P<who>{_NAME})", "author", before=2, after=110)
_SETUP = near(rf"\b(?:author|maintainer)\s*=\s*[\"'](?P<who>{_NAME})[\"']", "author|maintainer", before=1, after=120)
_TASK = near(
    r"\b(?:TODO|FIXME|XXX|HACK|BUG|NOTE)\s?\(@?(?P<who>[a-z][\w.-]{2,30})\)",
    "todo|fixme|xxx|hack|bug|note",
    before=1,
    after=50,
)
_LISTING = near(
    r"^[-dlbcps](?:[r-][w-][xsStT-]){3}[.+@]?\s+\d+\s+(?P<who>[a-z_][\w.-]*)\s+[\w.-]+\s+[\d.,]+[KMGT]?\s",
    "rw",
    before=3,
    after=90,
    flags=re.M,
)
_SSH_HOST = near(
    r"^[ \t]*(?:HostName|ProxyJump)[ \t]+(?P<who>(?:[\w.-]+@)?[A-Za-z][\w-]*(?:\.[\w-]+)+)[ \t]*$",
    "hostname|proxyjump",
    before=30,
    after=120,
    flags=re.I | re.M,
)
_SSH_USER = near(
    r"^[ \t]*User[ \t]+(?P<who>[A-Za-z_][\w.-]{1,40})[ \t]*$", "user", before=30, after=60, flags=re.I | re.M
)
_PUSHED = near(
    r"\bdocker\s+(?:push|tag\s+\S+)\s+(?:[\w-]+(?:\.[\w-]+)+(?::\d+)?/)?(?P<who>[a-z0-9][\w.-]*)/[\w./-]+",
    "docker",
    before=1,
    after=200,
)
_SUBMITTED = near(
    r"\b(?:submitted|launched) by (?:user )?(?P<who>[a-z][a-z0-9_-]{2,30})\b(?! [a-z]{4})",
    "ed by ",
    before=10,
    after=60,
)
_HANDLE = near(
    r"\b(?:twitter(?:/x)?|mastodon|bluesky|instagram|telegram|github)\b\W{0,6}(?:handle|account|user)?\W{0,4}"
    r"(?<![\w/])@(?P<who>[A-Za-z_]\w{2,30}(?:@[\w.-]+)?)",
    "twitter|mastodon|bluesky|instagram|telegram|github",
    before=1,
    after=90,
    flags=re.I,
)
_NO_TASK = re.compile(r"^(?:v?\d|later|perf|api|docs?|gpu|cpu|cuda|torch|jax|tpu|tests?|ci|dtype|config)", re.I)


def find_signed(text: str, role: Role) -> Iterator[Match]:
    """Names and accounts beside the words that go with them, in a folded text."""
    if role not in (Role.BINARY, Role.PATH, Role.BIBLIOGRAPHY, Role.PERSON):
        yield from _names(text)
        yield from _accounts(text)
        yield from _ssh(text)


def _names(text: str) -> Iterator[Match]:
    signed = [_TRAILER, _MAINTAINER, _DOCUMENTED]
    if "setup(" in text:
        signed.append(_SETUP)
    for pattern in signed:
        for match in pattern.finditer(text):
            if names_somebody(match["who"]):
                yield Match("author field", *match.span("who"), LIKELY, "Anonymous")


def _accounts(text: str) -> Iterator[Match]:
    for match in _TASK.finditer(text):
        if _is_account(match["who"]) and not _NO_TASK.match(match["who"]):
            yield Match("account", *match.span("who"), POSSIBLE)
    for pattern, certainty in ((_LISTING, LIKELY), (_PUSHED, LIKELY), (_SUBMITTED, POSSIBLE), (_HANDLE, LIKELY)):
        for match in pattern.finditer(text):
            if _is_account(match["who"]):
                yield Match("profile" if pattern is _HANDLE else "account", *match.span("who"), certainty)


def _ssh(text: str) -> Iterator[Match]:
    """The settings of an ssh client: a user's name tells only where a host is named too."""
    hosts = [match for match in _SSH_HOST.finditer(text) if names_somebody(match["who"])]
    yield from (Match("host name", *match.span("who"), LIKELY, "localhost") for match in hosts)
    for match in _SSH_USER.finditer(text) if hosts else ():
        if somebody(match["who"]):
            yield Match("account", *match.span("who"), LIKELY)


def _is_account(who: str) -> bool:
    return somebody(who) and not is_word(who) and names_somebody(who)
