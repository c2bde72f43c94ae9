"""Fields that name who made something, in code, settings and text: `__author__`, `Copyright (c)`, `maintainer:`, `user =`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.studies.anonymity.machine import somebody
from assay.studies.anonymity.match import LIKELY, POSSIBLE, Match
from assay.studies.anonymity.nearby import near
from assay.studies.anonymity.piece import Role

_NOBODY = re.compile(
    r"^\W*$|\banon|\bauthors?\b|\bcontributors?\b|\bunknown\b|\bnone\b|\bnull\b|\byour\b|\buser(?:name)?\b"
    r"|\broot\b|\bexample\b|\bteam\b|"
    r"\bsubmission\b|\bpipeline\b|\bscript\b|\bdouble[- ]blind\b"
    r"|^todo\b|^\W*x{2,}\W*$|^self\b|^args?\b|^str\b|^\W*name\W*$|^public\b"
    r"|^localhost\b|^default\b",
    re.I,
)
_TOOLS = re.compile(
    r"^(?:matplotlib|tex|latex|pdftex|xetex|luatex|inkscape|adobe|microsoft|libreoffice|openoffice|ghostscript"
    r"|cairo|skia|chrom\w+|"
    r"mozilla|python|pandas|openpyxl|python-(?:docx|pptx)|quarto|pandoc|jupyter\w*|nbconvert|plotly|seaborn"
    r"|ggplot\w*|r|gimp|imagemagick|"
    r"huggingface|hugging face|google|facebook|meta|the \w+|apple|canon|nikon|sony|fujifilm|samsung|assay|pypdf\w*"
    r"|reportlab|gradio)\b",
    re.I,
)
_LINES = near(
    r"^[ \t>#%*/;!<'\"+-]{0,12}(?:@|__)?(?P<key>authors?|author_name|author_email|created[ _]by|written[ _]by"
    r"|maintainers?|maintained by|contact(?: person)?|"
    r"corresponding author|prepared by|developed[ _]by|modified by|last modified by|principal investigators?"
    r"|advisors?|supervisors?|"
    r"owner|given-names|family-names|affiliations?|institutions?)(?:__)?[\"']?[ \t]*[:=][ \t]*(?P<value>[^\n]{2,120})",
    "author|ed by|ed_by|maintainer|contact|principal inv|advisor|supervisor|owner|-names|affiliation|institution",
    before=40,
    after=180,
    flags=re.I | re.M,
)
_SIGNED = near(
    r"\b(?:[Ii]mplemented|[Ww]ritten|[Cc]reated|[Dd]eveloped|[Cc]ontributed|[Mm]aintained|[Pp]rovided|[Cc]ollected"
    r"|[Aa]nnotated)\s+by\s+(?P<value>[A-Z][\w'-]+ (?:[A-Z]\.? )?[A-Z][\w'-]+)(?!\w)",
    " by ",
    before=16,
    after=80,
)
_AUTHORS = near(
    r"^(?:#{1,4}\s*|\\section\*?\{)(?:authors?|contact|team|contributors"
    r"|maintainers)\W*\n+(?P<value>(?:[^\n#\\]+\n?){1,6})",
    "author|contact|team|contributors|maintainers",
    before=16,
    after=700,
    flags=re.I | re.M,
)
_PROJECT = near(
    r"\b(?:authors|maintainers)\s*=\s*\[(?P<value>[^\]]{4,400})\]", "authors|maintainers", before=1, after=460
)
_COPYRIGHT = near(
    r"(?:\bcopyright\b|©|\(c\) (?=\d{4}))[ \t]*(?:\(c\)|©)?[ \t:]*(?:(?:19"
    r"|20)\d\d[\s,–-]*)*(?:by\s+)?(?P<value>[A-Z][^\n.,;:*\"'<>\\{}]{3,60})",
    "copyright|©|(c)",
    before=1,
    after=120,
    flags=re.I,
)
_HOLDERS = re.compile(
    r"^(?:holders?|owners?|notice|laws?|and|the|is|or|license\w*|protect\w*|info\w*|interest\w*|statement\w*|year"
    r"|infringe\w*|free software)\b",
    re.I,
)
_COMPANIES = re.compile(
    r"\b(?:inc|llc|ltd|corp\w*|gmbh|foundation|google|huggingface|hugging face|nvidia|microsoft|facebook|meta"
    r"|openai|team|acm|ieee|association|press|publishers?)\b",
    re.I,
)


def find_fields(text: str, role: Role) -> Iterator[Match]:
    """Author fields in text of the given role; a PERSON piece is one whole field."""
    if role is Role.PERSON:
        if names_somebody(text):
            yield Match("author field", 0, len(text), LIKELY, "Anonymous")
        return
    if role in (Role.BINARY, Role.PATH, Role.DATA, Role.BIBLIOGRAPHY, Role.GIT):
        return
    for pattern in (_LINES, _PROJECT, _AUTHORS, _SIGNED):
        for match in pattern.finditer(text):
            if _is_value(match, role):
                yield Match("author field", *_inner(match), LIKELY, "Anonymous")
    for match in _COPYRIGHT.finditer(text):
        value = match["value"].strip()
        if names_somebody(value) and not _HOLDERS.match(value) and re.match(r"[A-Z]", value):
            certainty = POSSIBLE if _COMPANIES.search(value) else LIKELY
            if certainty is LIKELY or role is not Role.PROSE:
                yield Match("copyright", *match.span("value"), certainty, "the authors")


def _inner(match: re.Match[str]) -> tuple[int, int]:
    """Where the value stands without quotes and brackets around it."""
    value, around = match["value"], " \t\n\"'[]{}(),;*"
    start = match.start("value") + len(value) - len(value.lstrip(around))
    return start, start + len(value.strip(around))


def _is_value(match: re.Match[str], role: Role) -> bool:
    """Whether what stands behind the key is a name, and not code or a sentence."""
    value = match["value"].strip().strip("\"'[]{}(),;* ")
    if not names_somebody(value):
        return False
    if "key" not in match.groupdict():
        return re.search(r"[A-Z][a-z]+", value) is not None
    words = value.split()
    if role is Role.PAGE and len(words) > 8:
        return False
    looks = re.match(r"[A-Z][\w'’.-]+,? (?:[A-Z]\.? )?[A-Z][\w'’-]+", value) or "@" in value
    single = (
        len(words) == 1
        and role is not Role.PAGE
        and re.fullmatch(r"[A-Za-z][\w.-]+", value)
        and "__author__" in match[0]
    )
    return bool(looks or single)


def names_somebody(value: str) -> bool:
    """Whether a value of an author's field is more than a tool, a placeholder or 'Anonymous'."""
    bare = value.strip().strip("\"'")
    return len(bare) > 1 and any(c.isalpha() for c in bare) and not _NOBODY.search(bare) and not _TOOLS.match(bare)


_JSON_PEOPLE = re.compile(
    r"^(?:authors?|creators?|maintainers?|author_name|contributors?|owner_name|full_?name|last_?modified_?by"
    r"|display_?name|artist|annotators?|(?:created|developed|written|uploaded|labell?ed|annotated)_?by)$",
    re.I,
)
_JSON_ACCOUNTS = re.compile(
    r"^(?:user|user_?name|login|host|host_?name|entity|owner|account|email|machine_name|wandb_entity|hf_user"
    r"|hub_user|node_?name|"
    r"submitted_?by|run_?by|started_?by|created_?by|executed_?by|nodelist|sudo_user|logname)$",
    re.I,
)


def json_field(key: str, value: str) -> str | None:
    """The kind of finding that a key and its value are; None for data."""
    if (
        _JSON_PEOPLE.match(key)
        and names_somebody(value)
        and re.match(r"[A-ZÀ-Þ][\w'’.-]+,? (?:[A-Z]\.? )?[A-ZÀ-Þ]", value)
        and len(value) < 80
    ):
        return "author field"
    if (
        _JSON_ACCOUNTS.match(key)
        and re.fullmatch(r"[A-Za-z][\w.@-]{1,60}", value)
        and names_somebody(value)
        and somebody(value)
    ):
        return "host name" if re.search("host|node|machine", key, re.I) else "account"
    return None
