"""The page: everything that the templates show, gathered and handed over."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from assay.core.svg import number
from assay.studies.conclusion import Judgement
from assay.studies.corrected import what_holds
from assay.studies.read import study_yaml
from assay.studies.report.costs import duration
from assay.studies.report.palette import colours, rules
from assay.studies.report.shown import Shown

TEMPLATES = Path(__file__).parents[1] / "templates"
SIGNS = {"supported": "✓", "refuted": "✗", "inconclusive": "?"}
_ARXIV = re.compile(r"^arXiv:(\d{4}\.\d{4,5})(v\d+)?$")
_DOI = re.compile(r"^doi:(10\.\S+)$")


def page(shown: Shown) -> str:
    """The whole report as HTML."""
    script, contents = (TEMPLATES / "report.js").read_text(encoding="utf-8"), shown.contents
    template = _templates().get_template("report.html.j2")
    return template.render(
        contents=contents,
        study=contents.study,
        conclusion=contents.conclusion,
        hypotheses=shown.hypotheses,
        counts=shown.counts,
        steps=shown.steps,
        limits=shown.limits,
        prompts=shown.prompts,
        study_file=study_yaml(contents.study),
        style=Markup(style()),
        script=Markup(script),
        policy=_policy(script),
    )


def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": number, "data": as_json, "link": address, "seconds": duration, "plain": plain}
    made.filters |= {"condition": condition, "chance": chance}
    made.globals |= {"signs": SIGNS, "what_holds": what_holds}
    return made


def as_json(value: Any) -> Markup:
    """JSON that can stand inside a script element whatever text it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def address(cited: str) -> str | None:
    """Where a citation leads, if it says so in a known way."""
    if match := _ARXIV.match(cited):
        return f"https://arxiv.org/abs/{match[1]}"
    if match := _DOI.match(cited):
        return f"https://doi.org/{match[1]}"
    return None


def plain(value: Any) -> str:
    """A setting's value in words."""
    if isinstance(value, list | tuple):
        return ", ".join(plain(each) for each in value) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def condition(text: str) -> str:
    """A condition as it is written on paper."""
    return text.replace(">=", "≥").replace("<=", "≤")


def chance(judged: Judgement) -> str:
    """The corrected p for a column that says so; a number without an interval has none."""
    return judged.p_text.removeprefix("p ").removeprefix("= ") or "–"


def style() -> str:
    """The style sheet with the colours of figures."""
    text = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    themes = text.replace("/*light-steps*/", colours(dark=False)).replace("/*dark-steps*/", colours(dark=True))
    return themes + rules()


def _policy(script: str) -> str:
    """No request, no script but this one."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; base-uri 'none'"
    )
