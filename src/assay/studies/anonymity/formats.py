"""Where formats and tools put a person or an account: R packages, EPS, subtitles, office comments, trackers, containers.

Each is one place that a format has for it, so that a name is known without a list of names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.studies.anonymity.fields import names_somebody
from assay.studies.anonymity.machine import somebody
from assay.studies.anonymity.match import LIKELY, Match
from assay.studies.anonymity.names import is_word
from assay.studies.anonymity.nearby import near
from assay.studies.anonymity.piece import Role

_NAME = r"[^\W\d_a-z][\w'’.-]+(?: [^\W\d_a-z]\.)?(?: [^\W\d_a-z][\w'’-]+){1,3}"
_CALLED = near(
    rf"\bperson\(\s*(?:given\s*=\s*)?[\"'](?P<who>[A-Z][\w'-]+[\"']\s*,\s*(?:family\s*=\s*)?[\"'][A-Z][\w'-]+)[\"']"
    rf"|^%%(?:For|Routing):[ \t]*(?P<eps>[A-Za-z][^\n]{{2,60}})|/Author[ \t]*\((?P<pdf>[^()\n]{{2,80}})\)"
    rf"|^[ \t]*user_?name[ \t]*=[ \t]*(?P<hg>{_NAME})|\bname[ \t]*=[ \t]*\{{(?P<change>{_NAME})\}}[^\n]{{0,40}}\]"
    rf"|\\begin\{{(?:IEEE)?biography(?:nophoto)?\}}(?:\[[^\]]*\])?\{{(?P<life>{_NAME})"
    rf"|\{{\\(?:author|operator|manager)[ ]+(?P<rtf>[^{{}}\\\n]{{2,60}})\}}|<v(?:\.[\w.]+)? (?P<voice>{_NAME})>"
    rf"|^author:[ \t]*\n[ \t]+name:[ \t]*[\"']?(?P<site>{_NAME})"
    rf"|\\todo\[[^\]\n]{{0,60}}?author=\{{?(?P<todo>[A-Za-z][\w'’. -]{{2,30}})"
    r"|<person\s[^<>]{0,80}displayName=\"(?P<office>[^\"<>]{2,80})\"",
    "person(|%%for|%%routing|/author|user_name|username|name=|name =|biography|\\author|\\operator|\\manager|<v|author:"
    "|author=|<person",
    before=40,
    after=200,
    flags=re.M,
)
"""Where formats put a person: R packages, EPS, PDF info in LaTeX, Mercurial, tracked changes, lives, RTF, subtitles, sites."""
_USED = near(
    r"\b(?:useradd|adduser)\s+(?:-{1,2}[\w-]+(?:[= ]\d+)?\s+)*(?P<who>[a-z_][\w-]{1,30})"
    r"|^USER\s+(?P<docker>[a-z_][\w-]{1,30})\s*$"
    r"|^[ \t]*[\"']?(?:user_id|mlflow\.user)[\"']?\s*:\s*[\"']?(?P<flow>[a-z_][\w.-]{1,30})[\"']?,?\s*$"
    r"|\b(?:comet_ml|comet)\.\w+\([^)]{0,160}?workspace\s*=\s*[\"'](?P<comet>[\w.-]{2,40})[\"']"
    r"|\bneptune\.init\w*\([^)]{0,160}?project\s*=\s*[\"'](?P<neptune>[\w.-]{2,40})/"
    r"|\barn:aws:\w+:[\w-]*:\d{12}:(?:user|role)/(?P<aws>[\w./-]{2,60})"
    r"|\b[Uu]ser(?:name)?:\s*(?P<log>[a-z_][\w.-]{2,30})\s+[Hh]ost(?:name)?:",
    "useradd|adduser|user|comet|neptune|arn:aws",
    before=40,
    after=260,
    flags=re.M,
)
_EVENTS = re.compile(r"^events\.out\.tfevents\.\d+\.(?P<who>[A-Za-z][\w-]*(?:\.[A-Za-z][\w-]*)*)(?=\.\d|$)")
"""TensorBoard puts the machine into the name of each file."""


def find_formats(text: str, role: Role) -> Iterator[Match]:
    """People and accounts in the places that formats have for them, in a folded text."""
    if role is Role.PATH:
        event = _EVENTS.match(text)
        if event is not None and somebody(event["who"]):
            yield Match("host name", *event.span("who"), LIKELY, "localhost")
    elif role not in (Role.BINARY, Role.BIBLIOGRAPHY, Role.PERSON):
        yield from _people(text)
        yield from _accounts(text, role)


def _people(text: str) -> Iterator[Match]:
    for match in _CALLED.finditer(text):
        group = str(match.lastgroup)
        if names_somebody(match[group]) and not match[group].startswith(("Reviewer", "Speaker")):
            yield Match("author field", *match.span(group), LIKELY, "Anonymous")


def _accounts(text: str, role: Role) -> Iterator[Match]:
    """Accounts; a `user_id` of data is a user of a data set."""
    for match in _USED.finditer(text):
        group = str(match.lastgroup)
        who = match[group]
        if (group != "flow" or role is not Role.DATA) and somebody(who) and not is_word(who) and names_somebody(who):
            yield Match("account", *match.span(group), LIKELY)
