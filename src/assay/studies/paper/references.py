"""References that lead nowhere: `Section ??`, `[?]`, links without a target, and what LaTeX's log complains of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.studies.paper.report import Problem

_BROKEN = re.compile(
    r"(?P<before>(?:[\w.§()~-]+\s+|[§(]))?(?<![\w?!'\"])(?P<mark>\?\?)(?![?!])|(?P<cite>\[\s*(?:[\w, "
    r".–-]*[,;]\s*)?\?+(?:\s*[,;]\s*[\w?]+)*\s*\]|\(\?+(?:[,;]\s*\?+)*\))"
)
_LOG = re.compile(
    r"(?:LaTeX|Package natbib) Warning: (?P<what>Citation|Reference) [`'](?P<key>[^'`]{1,200})' on page "
    r"(?P<page>\d+) undefined"
)
_ADVICE = "Run BibTeX and LaTeX again, and look for a key that is misspelt."


def broken_marks(text: str, page: int) -> Iterator[Problem]:
    """Question marks that LaTeX puts in place of what it doesn't know."""
    for match in _BROKEN.finditer(text):
        shown = " ".join(text[max(0, match.start() - 20) : match.end() + 12].split())
        kind = "undefined citation" if match["cite"] else "broken reference"
        yield Problem(kind, page, f"'{shown}'", _ADVICE)


def broken_links(page: Any, number: int, targets: set[str]) -> Iterator[Problem]:
    """Links inside the paper to a place that it doesn't have."""
    for annotation in page.get("/Annots") or []:
        link = annotation.get_object()
        if link.get("/Subtype") != "/Link":
            continue
        action = link.get("/A")
        action = {} if action is None else action.get_object()
        target = link.get("/Dest") if "/Dest" in link else action.get("/D") if action.get("/S") == "/GoTo" else None
        if isinstance(target, str) and target not in targets and target.lstrip("/") not in targets:
            yield Problem(
                "broken reference", number, f"a link to '{target[:60]}', which the paper does not have", _ADVICE
            )


def logged(pdf: Path) -> Iterator[Problem]:
    """What the log of LaTeX beside the paper says of undefined citations and references."""
    log = pdf.with_suffix(".log")
    if not log.is_file() or log.stat().st_size > 1 << 25:
        return
    text = log.read_text(encoding="utf-8", errors="replace").replace("\n", "")  # LaTeX breaks lines at 79 letters
    for what, key, page in dict.fromkeys((m["what"], m["key"], int(m["page"])) for m in _LOG.finditer(text)):
        kind = "undefined citation" if what == "Citation" else "broken reference"
        yield Problem(kind, page, f"'{key}' is undefined, says {log.name}", _ADVICE)
