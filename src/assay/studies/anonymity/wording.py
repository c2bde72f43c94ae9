"""Sentences that tell: thanks and funding, "our previous work [3]", and where the authors are at home."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from assay.studies.anonymity.match import LIKELY, POSSIBLE, Match
from assay.studies.anonymity.nearby import near
from assay.studies.anonymity.piece import Role

_HEADING = near(
    r"(?:\\(?:sub)*(?:section|paragraph|chapter)\*?\{\s*|\\begin\{(?=ack)"
    r"|^[#\s\d.*_]{0,12})(?P<head>(?:ack(?:nowled?gements?|nowledg(?:e)?ments?(?: and [\w ]+)?)?|funding|author "
    r"contributions?)(?=\s*[}.:*_]|\s*$))(?P<rest>[^\n]*)",
    "ack|funding|author contribution",
    before=40,
    after=300,
    flags=re.I | re.M,
)
_MOST = 200
_OMITTED = re.compile(
    r"\b(?:omitted|removed|withheld|blind\w*|anonym\w*|review|camera[- ]ready|hidden|redacted)\b", re.I
)
_THANKS = near(
    r"\b(?:we|the authors?|I)\s+(?:would (?:also )?like to |want to |wish to |gratefully |also |sincerely |are "
    r"(?:very |deeply )?)*"
    r"(?:thank(?:ful)?|acknowledge|grateful to|indebted to)\b(?! (?:that|this|these|the limit|limit|possible"
    r"|potential|some|an? ))[^.\n]{0,80}"
    r"|\bthis (?:work|research|project|material|study) (?:was|is|has been)(?: also| partially| partly| in part| "
    r"generously)* "
    r"(?:supported|funded|sponsored|financed|made possible|based upon work supported|conducted (?:at|while"
    r"|during))\b[^.\n]{0,60}"
    r"|(?:^|(?<=[.!?] ))(?:supported|funded|sponsored) (?:in (?:part|full) )?by\b[^.\n]{0,60}"
    r"|\b(?:work|research) (?:was )?(?:done|performed|conducted|carried out) (?:while|during) "
    r"[^.\n]{0,60}(?:intern|visit|at )[^.\n]{0,30}",
    "thank|acknowledge|supported|funded|sponsored|grateful|indebted|this work|this research|this project|this "
    "material|this study|work |research ",
    before=100,
    after=200,
    flags=re.I | re.M,
)
_REVIEWERS = re.compile(r"thank (?:the )?(?:anonymous )?reviewers\b", re.I)
_GRANT = near(
    r"\b(?i:grant|award|contract|fellowship|project|scholarship)(?:s| agreement)?(?:\s+(?:no|nos|number|numbers"
    r"|id)\b\.?|\s*#|\s*:)?\s*(?P<a>(?=[\w/-]*\d{3})[A-Z0-9][\w/-]{4,24})",
    "grant|award|contract|fellowship|project|scholarship",
    before=1,
    after=60,
)
_CODED_GRANT = re.compile(
    r"\b(?P<a>(?:IIS|CCF|CNS|DMS|BCS|DGE|SES|OAC|CMMI|ECCS|DBI|PHY)[- ]?\d{7}|(?:W911NF|FA\d{4}|HR0011"
    r"|N00014)-?\d[\w-]{4,14}|EP/[A-Z]\d{6}/\d|[RUKFTP]\d{2}[- ]?[A-Z]{2}\d{6})\b",
)
_PAPER = (
    r"(?:work|works|paper|papers|study|studies|research|publications?|results?|findings?|method|approach|framework"
    r"|experiments?|analys[ie]s|preprint|article|report)"
)
_CITE = (
    r"(?:\[\d[\d,\s–-]*\]|\\[cC]ite\w*\s*(?:\[[^\]]*\])*\s*\{[^}]+\}|\([A-Z][^()]{2,60}(?:19|20)\d\d[a-z]?\)"
    r"|\(?(?:doi:|arXiv:|https?://(?:dx\.)?(?:doi|arxiv)\.org/)[\w./-]+"
    r"|[A-Z][\w'’-]+ (?:and|&) [A-Z][\w'’-]+,? \(?(?:19|20)\d\d"
    r"|\[[A-Z][^\[\]]{1,40}\d{2,4}[a-z]?\]|[A-Z]\w+ et al\.?(?:,? \(?\d{4}\)?)?)"
)
_OWN = near(
    rf"\b(?:our|my)\s+(?:own\s+)?(?:previous(?:ly published)?|prior|earlier|past|recent|preceding|former|companion"
    rf"|concurrent)\s+(?:[\w-]+\s+){{0,3}}{_PAPER}(?:\s+(?:on|in|with|by|of|at"
    rf"|about)\s+[^.\[\\(]{{0,60}}?)?[\s~,(]*{_CITE}"
    rf"|\b(?:our|my)\s+(?:own\s+)?(?:previous(?:ly published)?|prior|earlier|past"
    rf"|former)\s+(?:[\w-]+\s+){{0,2}}(?:works?|papers?|study|studies|publications?|preprints?|articles?)\b"
    rf"|\bwe\s+(?:have\s+)?(?:previously|earlier|already|recently)\s+(?:show(?:ed|n)|propos\w+|introduc\w+"
    rf"|report\w+|publish\w+|demonstrat\w+|found|develop\w+|present\w+|argu\w+|stud\w+)\b[^.]{{0,90}}?{_CITE}"
    rf"|\b(?:as|like)\s+we\s+(?:show(?:ed|n)?|propos\w+|report\w+|demonstrat\w+|argued|did"
    rf"|found)\s+(?:previously\s+|earlier\s+|before\s+)?(?:in\s+)?[\s~(]*{_CITE}"
    rf"|{_CITE}\)?\s*,?\s+(?:where|in\s+which)\s+we\s+(?:first\s+)?(?:show\w*|propos\w+|introduc\w+|demonstrat\w+|found)"
    rf"|\bin\s+{_CITE}\s*,?\s+we\s+(?:show\w*|propos\w+|introduc\w+|demonstrat\w+|found|studied|argued|developed)"
    rf"|\b(?:our|my)\s+(?:own\s+)?(?:arxiv\s+)?(?:preprint|(?:master|bachelor|doctoral|phd)(?:['’]?s)?\s+(?:thesis|dissertation))[\s~,(]*{_CITE}"
    rf"|\b(?:first|second|third|last|lead|senior|corresponding)\s+authors?['’]s?\s+(?:own\s+)?(?:master|bachelor|phd|doctoral|thesis"
    rf"|dissertation|previous|earlier|blog|home)\w*"
    rf"|\b(?:follow(?:ing|s)?|extend(?:s|ing)?|build(?:s|ing)? "
    rf"(?:up)?on)\s+our\s+(?:own\s+)?(?:[\w-]+\s+){{0,3}}{_CITE}",
    "our |our\n|my |we |we\n|our~|we~|author's|author’s|authors'|authors’",
    before=140,
    after=280,
    flags=re.I,
)
_HOME = near(
    r"\b(?:at|in|from) our (?:university|institut\w+|company|department|lab(?:oratory)?|institution)\b|\bour "
    r"(?:university|institution|company|department|lab)['’]s\b",
    " our|our ",
    before=8,
    after=60,
    flags=re.I,
)
_ETHICS = near(
    r"\b(?:approv\w+|reviewed|exempt\w*|waived|granted)\b[^.\n]{0,60}\b(?:ethic\w*|institutional review|IRB)\b[^.\n]{0,50}"
    r"\b(?:at|of|from)\s+(?:the\s+)?(?P<who>[A-Z][^.,;()\n]{3,60})",
    "ethic|institutional review|irb",
    before=90,
    after=150,
)
_NOTE = near(
    r"\bnote\s*=\s*[{\"][^}\"\n]{0,60}\b(?:our|ours|the (?:present )?authors['’]?)\b[^}\"\n]{0,60}",
    "note",
    before=1,
    after=160,
    flags=re.I,
)
_PLACE = re.compile(
    r"\b(?:Universit(?:y|ies|é|e|at|aet|à|a|eit)|Instituto?|Institut[eo]?|Department of|Dept\.|Laborator(?:y|ies)"
    r"|School of|Facult[yé]|College|Inc\.|GmbH|Ltd\.?|Polytechnic|ETH|EPFL|MIT|Academy of|Research Cent(?:er"
    r"|re))\b"
)


def find_wording(text: str, role: Role) -> Iterator[Match]:
    """Thanks, funding, grants, and references to own work in a folded text."""
    if role in (Role.BINARY, Role.PATH, Role.DATA):
        return
    for match in _OWN.finditer(text):
        cited = re.search(_CITE, match[0]) is not None
        yield Match("own work", *match.span(), LIKELY if cited else POSSIBLE, "previous work")
    if role is Role.BIBLIOGRAPHY:
        yield from (Match("own work", *match.span(), LIKELY, "removed") for match in _NOTE.finditer(text))
        return
    for match in _ETHICS.finditer(text):
        if not _OMITTED.search(match[0].replace("review board", "").replace("reviewed", "")) and _PLACE.search(
            match["who"]
        ):
            yield Match("affiliation", *match.span("who"), LIKELY, "our institution")
    for match in islice(_HEADING.finditer(text), _MOST):
        if _says_something(text, match):
            yield Match("acknowledgement", *match.span("head"), LIKELY, "Omitted for review")
    for match in _THANKS.finditer(text):
        if not _OMITTED.search(match[0]) and not _REVIEWERS.search(match[0]):
            yield Match("acknowledgement", *match.span(), LIKELY, "Acknowledgements are omitted for review")
    for match in (*_GRANT.finditer(text), *_CODED_GRANT.finditer(text)):
        yield Match("grant", *match.span("a"), LIKELY, "omitted for review")
    for match in _HOME.finditer(text):
        yield Match("affiliation", *match.span(), POSSIBLE, "removed")


def _says_something(text: str, match: re.Match[str]) -> bool:
    """Whether a section of thanks has content that is not 'omitted for review'."""
    after = match["rest"] + "\n" + text[match.end() : match.end() + 600]
    after = re.sub(r"^[\s}*_#:.]+|%[^\n]*", "", after)
    content = re.split(
        r"\\(?:section|end|bibliography|appendix|begin)\b|^#|^\s*(?:References|Bibliography)\b|\n\s*\d+\s+[A-Z]",
        after,
        maxsplit=1,
        flags=re.M,
    )[0]
    return len(content.strip(" {}*.:_\n")) > 15 and _OMITTED.search(content[:200]) is None


def find_affiliations(text: str) -> Iterator[Match]:
    """Universities, companies and departments, where only authors would name theirs: a title's block, a field."""
    for match in _PLACE.finditer(text):
        start = text.rfind("\n", 0, match.start()) + 1
        end = text.find("\n", match.end())
        yield Match("affiliation", start, len(text) if end < 0 else end, LIKELY, "Anonymous Institution")
