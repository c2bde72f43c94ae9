"""Addresses and numbers that belong to one person: e-mail, ORCID, keys of accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.studies.anonymity.match import CERTAIN, LIKELY, POSSIBLE, Match
from assay.studies.anonymity.nearby import near
from assay.studies.anonymity.piece import Role

_MAIL = near(
    r"(?<![\w.+{}/@-])(?P<local>[A-Za-z0-9][\w.+-]{0,63})(?P<at>@|\s?(?:\[at\]|\(at\)"
    r"|\\@)\s?)(?P<host>(?:[A-Za-z0-9-]+(?:\.|\s?\[dot\]\s?|\s?\(dot\)\s?)){1,6}"
    r"(?P<tld>[A-Za-z]{2,12}))(?![\w-])",
    "@|[at]|(at)",
    before=72,
    after=150,
)
_SPELLED = near(
    r"\b[a-z][\w.-]+ at (?:[a-z0-9-]+ dot ){1,4}(?:edu|com|org|net|ac|de|fr|uk|ch|ca|cn|jp|kr|in|it|nl|io|ai)\b",
    " at ",
    before=64,
    after=110,
    flags=re.I,
)
_GROUP = near(
    r"\\?\{(?P<locals>[\w.+-]+(?:\s*[,;|]\s*[\w.+-]+)*)\\?\}\s?\\?@\s?(?P<host>(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,12})",
    "@",
    before=240,
    after=80,
)
_NOBODY = re.compile(
    r"(?:^|[.@])(?:example\.(?:com|org|net|edu)|[\w-]+\.example|test|invalid|localhost|users\.noreply\.github\.com"
    r"|domain\.com|email\.com|server\.com|host\.com|company\.com|your-?\w+\.\w+)$|^(?:noreply|no-reply|git|user"
    r"|username|you|your|"
    r"name|first\.last|firstname\.lastname|anonymous|anon|xxx+|foo|test|support|info|hello|press|copyright"
    r"|permissions)@",
    re.I,
)
_FILES = frozenset((
    "py", "md", "txt", "json", "yaml", "yml", "png", "jpg", "jpeg", "pdf", "svg", "js", "ts", "css", "html", "csv",
    "tex", "bib", "sh", "cfg", "toml", "ipynb", "so", "pt", "bin", "rs", "go", "java", "cc",
))  # fmt: skip
_BINARY_ENDS = frozenset((
    "com", "edu", "org", "net", "gov", "uk", "de", "fr", "ch", "ca", "cn", "jp", "kr", "in", "it", "nl", "io", "ai",
    "eu", "se", "dk", "no", "fi", "pl", "es", "at", "be", "au", "us", "il",
))  # fmt: skip
_ORCID = re.compile(r"(?<![\w-])\d{4}-\d{4}-\d{4}-\d{3}[\dX](?![\w-])")
_KEY = near(
    r"(?<![\w-])(?:hf_[A-Za-z]{30,40}|gh[pousr]_\w{36,40}|github_pat_\w{40,90}|sk-(?:ant-|proj-)?[\w-]{32,160}"
    r"|AKIA[A-Z0-9]{16}"
    r"|AIza[\w-]{35}|xox[abp]-[\w-]{20,80})(?![\w-])",
    "hf_|gho_|ghp_|ghu_|ghs_|ghr_|github_pat_|sk-|akia|aiza|xox",
    before=1,
    after=180,
)


_PHONE = near(
    r"\b(?:tel|phone|mobile|fax)\.?:?\s*(?P<number>\+?\d[\d ()/-]{6,20}\d)",
    "tel|phone|mobile|fax",
    before=1,
    after=60,
    flags=re.I,
)


def find_addresses(text: str, role: Role) -> Iterator[Match]:
    """E-mail addresses, also spelled out or for several at once; ORCID identifiers; telephone numbers; keys."""
    if "@" in text or "at" in text:
        yield from _mails(text, role)
    for match in _ORCID.finditer(text):
        if orcid_is_valid(match[0]):
            yield Match("ORCID", *match.span(), CERTAIN, "0000-0000-0000-0000")
    for match in _PHONE.finditer(text) if role is not Role.BINARY else ():
        yield Match("phone", *match.span("number"), LIKELY, "removed")
    for match in _KEY.finditer(text):
        yield Match("key", *match.span(), LIKELY, "removed")


def _mails(text: str, role: Role) -> Iterator[Match]:
    for match in _MAIL.finditer(text):
        address, end = match[0], match["tld"].lower()
        if _NOBODY.search(address) or end in _FILES or (role is Role.BINARY and not _plausible(match)):
            continue
        if text[match.end() : match.end() + 1] == ":" and match["local"] == "git":
            continue  # git@host:owner/name is a link
        if (
            match["at"] == "@"
            and end not in _BINARY_ENDS
            and role is Role.CODE
            and text[match.end() : match.end() + 1] == "("
        ):
            continue  # a product of matrices
        yield Match("e-mail", *match.span(), CERTAIN if end in _BINARY_ENDS else LIKELY, "anonymous@example.org")
    for match in _GROUP.finditer(text):
        if not _NOBODY.search(f"x@{match['host']}"):
            yield Match("e-mail", *match.span(), CERTAIN, "anonymous@example.org")
    for match in _SPELLED.finditer(text):
        yield Match("e-mail", *match.span(), POSSIBLE if role is Role.DATA else LIKELY, "anonymous@example.org")


def _plausible(match: re.Match[str]) -> bool:
    """In a file of unknown format letters stand together by chance: only what is hardly chance counts."""
    local, host = match["local"], match["host"]
    return match["tld"] in _BINARY_ENDS and len(local) >= 4 and len(host) >= 7 and host == host.lower()


def orcid_is_valid(text: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO 7064, mod 11-2)."""
    digits = text.replace("-", "")
    if digits == "0" * 16:
        return False
    total = 0
    for digit in digits[:-1]:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    return digits[-1] == ("X" if check == 10 else str(check))
