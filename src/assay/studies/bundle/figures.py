"""A result's figures as files of their own: the report's pictures with its colours in them, light."""

from __future__ import annotations

import re

from assay.studies.folder import StepResult
from assay.studies.report.choose import figures
from assay.studies.report.page import TEMPLATES
from assay.studies.report.palette import colours, rules

_SVG_RULE = re.compile(r"(?:^|(?<=}))\s*(?:svg\b|\.k\d)[^{}]*\{[^}]*\}", re.MULTILINE)


def pictures(result: StepResult) -> list[bytes]:
    """SVG files, one for each figure that is a single picture."""
    found = [str(each.picture) for each in figures(result)]
    return [_alone(svg).encode() for svg in found if svg.startswith("<svg")]


def _alone(svg: str) -> str:
    head, _, rest = svg.partition(">")
    shown = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{shown}><style>{_style()}</style>{rest}\n"


def _style() -> str:
    """The report's rules for pictures, and its light colours."""
    text = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    light = re.search(r":root\{color-scheme:light;([^}]*)\}", text)
    values = light[1].replace("/*light-steps*/", colours(dark=False)) if light else ""
    kept = "".join(match[0].strip() for match in _SVG_RULE.finditer(text.partition("@media (max-width")[0]))
    return f"svg{{{values}}}{kept}{rules()}"
