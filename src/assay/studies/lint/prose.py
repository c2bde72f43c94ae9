"""The sentences of a text with their lines: Markdown without code, LaTeX without commands and formulas, plain text.

What is taken out is replaced by as many blanks, so that a sentence's place in the file stays known. Code marks and macros
of a sentence are kept beside it: they say which hypotheses it is about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import StudyError

_END = re.compile(r"(?<=[.!?])[\"”’)]*\s+(?=[A-Z“\"‘(\\$0-9`])|\n\s*\n|\n(?=\s*(?:[-*+]|\d+\.|#+|\||>)\s)")
_MACRO = re.compile(r"\\(num[A-Za-z]+)")
_CODE = re.compile(r"`([^`\n]+)`|\\(?:texttt|code)\{([^{}]*)\}")
_NO_TEX_WORDS = (
    r"cite\w*|ref|eqref|autoref|[cC]ref|label|url|input|include|includegraphics|bibliography|bibliographystyle|usepackage"
    r"|documentclass|begin|end|texttt|newcommand|renewcommand|href"
)


@dataclass(frozen=True)
class Sentence:
    """A sentence, the line that it begins in, and the codes and macros in it."""

    text: str
    line: int
    codes: frozenset[str] = frozenset()
    macros: frozenset[str] = frozenset()


def sentences_of(path: Path) -> list[Sentence]:
    """The sentences of a file, read as its ending says.

    Raises:
        StudyError: it is not .md, .tex or .txt, or can't be read as UTF-8.
    """
    clean = _READERS.get(path.suffix.lower())
    if clean is None:
        raise StudyError(f"{path}: claims are looked for in {', '.join(_READERS)}; export it as one of these.")
    try:
        raw = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} can't be read as text: {error}.") from None
    return list(sentences(clean(raw), raw=raw))


def sentences(text: str, *, raw: str | None = None) -> Iterator[Sentence]:
    """The sentences of a text; codes and macros are looked for in `raw`, which has the same places."""
    whole, start = text if raw is None else raw, 0
    for stop in [*(match.start() for match in _END.finditer(text)), len(text)]:
        part = text[start:stop]
        words = " ".join(part.split())
        if words:
            begins = start + len(part) - len(part.lstrip())
            source = whole[start:stop]
            codes = {first or second for first, second in _CODE.findall(source)}
            line = text.count("\n", 0, begins) + 1
            yield Sentence(words, line, frozenset(codes), frozenset(_MACRO.findall(source)))
        start = stop


def _markdown(text: str) -> str:
    for pattern in (
        r"^(?P<f>```|~~~).*?^(?P=f)[^\n]*$",
        r"`[^`\n]+`",
        r"<!--.*?-->",
        r"\]\([^)\s]*\)",
        r"https?://\S+",
    ):
        text = _blanked(text, pattern)
    return re.sub(r"[*_#>|\[\]]", " ", text)


def _latex(text: str) -> str:
    text = _blanked(text, r"(?<!\\)%[^\n]*")
    for name in ("verbatim", "lstlisting", "equation", "align", "tabular", "thebibliography"):
        text = _blanked(text, rf"\\begin\{{{name}\*?\}}.*?\\end\{{{name}\*?\}}")
    text = _blanked(text, r"(?<!\\)\$\$.*?(?<!\\)\$\$|(?<!\\)\$[^$]*(?<!\\)\$|\\\[.*?\\\]|\\\(.*?\\\)")
    text = _blanked(text, rf"\\(?:{_NO_TEX_WORDS})\*?(?:\[[^\]]*\])?\{{[^{{}}]*\}}")
    text = _blanked(text, r"\\[A-Za-z]+\*?(?:\[[^\]\n]*\])?")
    return re.sub(r"[{}~\\]", " ", text)


def _plain(text: str) -> str:
    return text


def _blanked(text: str, pattern: str) -> str:
    flags = re.DOTALL | re.MULTILINE
    return re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match.group(0)), text, flags=flags)


_READERS: dict[str, Callable[[str], str]] = {".md": _markdown, ".tex": _latex, ".txt": _plain}
