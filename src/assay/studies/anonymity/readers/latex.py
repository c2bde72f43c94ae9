"""LaTeX: the author's block, options that print the authors, comments, and text that is not shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from assay.studies.anonymity.fields import names_somebody
from assay.studies.anonymity.piece import Found, Item, Piece, Role
from assay.studies.anonymity.readers.comments import LATEX, comments, only, without

MOST = 300
"""Author blocks, and things that are told by their line, that are looked at in one source."""
_BLOCK = re.compile(
    r"\\(?P<name>author|authors|affiliation|affil|institute|institution|address|email|ead|icmlauthor"
    r"|icmlaffiliation|icmlcorrespondingauthor|"
    r"correspondingauthor|corresp|IEEEauthorblock[NA]|thanks|orcid|orcidID|authorrunning|authornote|shortauthors"
    r"|addauthor|homepage|"
    r"lhead|rhead|runningauthor|runauthor|markboth|city|department|advisor|supervisor)\*?\s*(?:\[[^\]]*\]\s*)?\{"
)
_PDF = re.compile(r"(?:pdfauthor\s*=\s*\{?|/Author\s*\()(?P<value>[^{},)\n]*)")
_FINAL = re.compile(
    r"\\usepackage\s*\[(?P<options>[^\]]*\b(?:final|preprint|accepted|camera[_-]?ready|nonanonymous"
    r"|deanonymi[sz]ed)\b[^\]]*)\]\s*\{(?P<style>[^}]*)\}"
    r"|\\(?P<macro>iclrfinalcopy|aclfinalcopy|cvprfinalcopy|eccvfinalcopy|emnlpfinalcopy|naaclfinalcopy"
    r"|colmfinalcopy|tmlrfinalcopy)\b"
    r"|\\documentclass\s*\[(?P<class>[^\]]*\b(?:final|accepted|nonanonymous)\b[^\]]*)\]"
)
_VENUES = re.compile(
    r"neurips|nips|icml|iclr|acl|emnlp|naacl|eacl|colm|cvpr|iccv|eccv|aaai|ijcai|tmlr|jmlr|corl|aistats|uai|rlc"
    r"|wacv|conference",
    re.I,
)
_WHITE = re.compile(
    r"\\(?:textcolor\{white\}|color\{white\}|textcolor\[[^\]]*\]\{(?:1\s*,\s*1\s*,\s*1|FFFFFF|ffffff|1(?:\.0)?)\}"
    r"|(?:h|v)?phantom|transparent\{0\}|texttransparent\{0\})\s*\{?(?P<text>[^{}\n]{4,200})"
)
_MACRO = re.compile(
    r"\\(?:(?:re)?newcommand|providecommand|DeclareRobustCommand|def|newrobustcmd"
    r"|definechangesauthor(?:\[[^\]]*\])?)\*?\s*\{?\\?(?P<name>[A-Za-z]+)"
)
_TELLING = re.compile(r"@|universit|institut|support|grant|fund|department|\binc\b|intern", re.I)
_HEADS = ("lhead", "rhead", "runningauthor", "runauthor", "markboth")
_EMPTY = re.compile(
    r"(?:first|last)\s?-?name|your |author ?\d|equal(?:ly)? contribut|corresponding author|alphabetical|^[\s*†‡\d]*$",
    re.I,
)


def read_latex(text: str, *, template: bool) -> Iterator[Item]:
    """A LaTeX source; a template (.sty, .cls) is others' work, so its author macros say nothing."""
    yield Piece(text, Role.CODE if template else Role.PROSE, lines=True)
    spans = comments(text, LATEX)
    yield Piece(only(text, spans), Role.COMMENT, lines=True)
    for match in islice(_MACRO.finditer(text), MOST):
        yield Piece(f"@{match['name']}", Role.COMMENT, f"{_line(text, match.start())}, the macro's name")
    if template:
        return
    shown = without(text, spans)
    yield from _blocks(shown)
    for match in islice(_PDF.finditer(shown), MOST):
        yield Piece(match["value"], Role.PERSON, _line(shown, match.start()))
    for match in islice(_FINAL.finditer(shown), MOST):
        if match["macro"] or match["class"] or _VENUES.search(match["style"] or ""):
            yield Found("style option", match[0], _line(shown, match.start()), 3)
    for match in islice(_WHITE.finditer(shown), MOST):
        if re.search(r"[A-Za-z]{4}", match["text"]):
            yield Found("hidden text", match[0], _line(shown, match.start()), 2)
    end = shown.find("\\end{document}")
    if end >= 0 and len(rest := text[end + 14 :].strip()) > 20:
        yield Found("hidden text", rest, f"{_line(text, end)}, after \\end{{document}}", 1)


def read_bibliography(text: str) -> Iterator[Item]:
    """A .bib or .bbl file: names in it are citations."""
    yield Piece(text, Role.BIBLIOGRAPHY, lines=True)


def _blocks(text: str) -> Iterator[Item]:
    for match in islice(_BLOCK.finditer(text), MOST):
        if re.search(r"(?:command\*?\s*\{?|def)$", text[max(0, match.start() - 16) : match.start()]):
            continue  # a definition
        content = balanced(text, match.end())
        bare = _bare(content)
        if match["name"] == "thanks" and not _TELLING.search(bare):
            continue
        if match["name"] in _HEADS and not re.search(r"et al|[A-Z]\w+ (?:and|&) [A-Z]\w+", bare):
            continue
        if not names_somebody(bare) or "#" in content or _EMPTY.search(bare):
            continue
        yield Found("author block", f"\\{match['name']}{{{bare}}}", _line(text, match.start()), 2)


def balanced(text: str, start: int) -> str:
    """What stands from a place to the brace that closes it, at most 3000 letters."""
    depth, end = 1, min(len(text), start + 3000)
    for i in range(start, end):
        if text[i] == "\\" or text[i - 1] == "\\":
            continue
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return text[start:i]
    return text[start:end]


def _bare(text: str) -> str:
    """Without commands."""
    text = re.sub(
        r"\\(?:thanks|footnotemark|textsuperscript|inst|orcidID|vspace|hspace)\*?(?:\[[^\]]*\])?\{[^{}]*\}", " ", text
    )
    text = re.sub(
        r"\\(?:and|AND|And|quad|qquad|small|large|textbf|texttt|textit|emph|bf|it|tt|rm|sc|normalsize|newline|hfill"
        r"|centering|email|url|href)\b",
        " ",
        text,
    )
    return " ".join(re.sub(r"[{}~&$]|\\\\(?:\[[^\]]*\])?|\^\S+", " ", text).split())


def _line(text: str, at: int) -> str:
    return f"line {text.count(chr(10), 0, at) + 1}"
