"""LaTeX: the author's block, options that print the authors, comments, and text that is not shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.studies.anonymity.fields import names_somebody
from assay.studies.anonymity.piece import Found, Item, Piece, Role

_COMMENT = re.compile(r"(?<!\\)%[^\n]*|\\begin\{comment\}.*?\\end\{comment\}|\\iffalse\b.*?\\fi\b", re.S)
_BLOCK = re.compile(
    r"\\(?P<name>author|authors|affiliation|affil|institute|institution|address|email|ead|icmlauthor"
    r"|icmlaffiliation|icmlcorrespondingauthor|"
    r"correspondingauthor|corresp|IEEEauthorblock[NA]|thanks|orcid|orcidID|authorrunning|authornote|shortauthors"
    r"|addauthor|homepage|"
    r"city|department|advisor|supervisor)\*?\s*(?:\[[^\]]*\]\s*)?\{"
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
_SHARED_NOTES = re.compile(r"equal(?:ly)? contribut|corresponding author|alphabetical|^[\s*†‡\d]*$", re.I)


def read_latex(text: str, *, template: bool) -> Iterator[Item]:
    """A LaTeX source; a template (.sty, .cls) is others' work, so its author macros say nothing."""
    yield Piece(text, Role.CODE if template else Role.PROSE, lines=True)
    comments = _only(text, _COMMENT)
    yield Piece(comments, Role.COMMENT, lines=True)
    for match in _MACRO.finditer(text):
        yield Piece(f"@{match['name']}", Role.COMMENT, f"{_line(text, match.start())}, the macro's name")
    if template:
        return
    shown = _without(text, _COMMENT)
    yield from _blocks(shown)
    for match in _PDF.finditer(shown):
        yield Piece(match["value"], Role.PERSON, _line(shown, match.start()))
    for match in _FINAL.finditer(shown):
        if match["macro"] or match["class"] or _VENUES.search(match["style"] or ""):
            yield Found("style option", match[0], _line(shown, match.start()), 3)
    for match in _WHITE.finditer(shown):
        if re.search(r"[A-Za-z]{4}", match["text"]):
            yield Found("hidden text", match[0], _line(shown, match.start()), 2)
    end = shown.find("\\end{document}")
    if end >= 0 and len(rest := text[end + 14 :].strip()) > 20:
        yield Found("hidden text", rest, f"{_line(text, end)}, after \\end{{document}}", 1)


def read_bibliography(text: str) -> Iterator[Item]:
    """A .bib or .bbl file: names in it are citations."""
    yield Piece(text, Role.BIBLIOGRAPHY, lines=True)


def _blocks(text: str) -> Iterator[Item]:
    for match in _BLOCK.finditer(text):
        if re.search(r"(?:command\*?\s*\{?|def)$", text[max(0, match.start() - 16) : match.start()]):
            continue  # a definition
        content = balanced(text, match.end())
        bare = _bare(content)
        if match["name"] == "thanks" and not re.search(
            r"@|[Uu]niversit|[Ii]nstitut|support|grant|fund|[Dd]epartment|Inc\b|intern", bare
        ):
            continue
        if (
            not names_somebody(bare)
            or "#" in content
            or _SHARED_NOTES.search(bare)
            or re.search(r"(?:First|Last)\s?-?[Nn]ame|Your |Author ?\d", bare)
        ):
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


def _only(text: str, pattern: re.Pattern[str]) -> str:
    from assay.studies.anonymity.readers.text import only

    return only(text, pattern)


def _without(text: str, pattern: re.Pattern[str]) -> str:
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
