"""The page: everything that the templates show, gathered and handed over."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from assay.core.caveats import caveats_in, plain_facts
from assay.core.svg import number
from assay.studies.conclusion import Judgement, Number
from assay.studies.corrected import what_holds
from assay.studies.folder import StepResult
from assay.studies.quantity import selectors
from assay.studies.read import study_yaml
from assay.studies.report.choose import figures
from assay.studies.report.contents import Contents
from assay.studies.report.evidence import Evidence, evidence, short
from assay.studies.report.heatmap import Drawn
from assay.studies.report.limits import limits
from assay.studies.report.palette import colours, rules
from assay.studies.report.prompts import shown_prompts
from assay.studies.report.strip import small_strip, strip
from assay.studies.report.tables import Table, tables
from assay.studies.schema import Hypothesis, StepSpec

TEMPLATES = Path(__file__).parents[1] / "templates"
SIGNS = {"supported": "✓", "refuted": "✗", "inconclusive": "?"}
_ARXIV = re.compile(r"^arXiv:(\d{4}\.\d{4,5})(v\d+)?$")
_DOI = re.compile(r"^doi:(10\.\S+)$")


@dataclass(frozen=True)
class ShownHypothesis:
    """A hypothesis with all that is said about it."""

    asked: Hypothesis
    judged: Judgement
    evidence: Evidence
    strip: Markup
    small: Markup
    steps: tuple[str, ...]


@dataclass(frozen=True)
class ShownStep:
    """A step with its figures and tables."""

    name: str
    spec: StepSpec
    result: StepResult
    figures: tuple[Drawn, ...]
    tables: tuple[Table, ...]
    facts: tuple[str, ...]
    caveats: tuple[str, ...]
    alone: bool

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width: it has a large figure, several, none, or no neighbour like it."""
        large = any(each.wide for each in self.figures)
        return self.alone or large or len(self.figures) != 1

    @property
    def notes_beside(self) -> bool:
        """Whether there is room beside the figure."""
        return self.wide and len(self.figures) == 1 and not self.figures[0].wide


def page(contents: Contents) -> str:
    """The whole report as HTML."""
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    shown = [_hypothesis(each, contents) for each in contents.conclusion.judgements]
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            contents=contents,
            study=contents.study,
            conclusion=contents.conclusion,
            hypotheses=shown,
            counts=_counts(shown),
            steps=[_step(name, contents) for name in contents.results],
            limits=limits(contents),
            prompts=shown_prompts(contents),
            study_file=study_yaml(contents.study),
            style=Markup(_style()),
            script=Markup(script),
            policy=_policy(script),
        )
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
    made.filters |= {"condition": condition, "interval": interval}
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


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def plain(value: Any) -> str:
    """A setting's value in words."""
    if isinstance(value, list | tuple):
        return ", ".join(plain(each) for each in value) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def condition(text: str) -> str:
    """A condition as it is written on paper."""
    return text.replace(">=", "≥").replace("<=", "≤")


def interval(found: Number) -> str:
    """A number with its interval, without level and n; one count has none."""
    return f"{found.text.split()[0]} (one count)" if found.method.startswith("exact") else short(found)


def _hypothesis(judged: Judgement, contents: Contents) -> ShownHypothesis:
    asked = next(each for each in contents.study.hypotheses if each.id == judged.id)
    read = [each.step for quantity in (asked.quantity, *(b.quantity for b in asked.baselines))
            for each in selectors(quantity)]  # fmt: skip
    steps = tuple(name for name in dict.fromkeys(read) if name in contents.results)
    return ShownHypothesis(asked, judged, evidence(asked, judged, contents), strip(judged), small_strip(judged), steps)


def _step(name: str, contents: Contents) -> ShownStep:
    result = contents.results[name]
    return ShownStep(
        name=name,
        spec=contents.study.steps[name],
        result=result,
        figures=tuple(figures(result)),
        tables=tuple(tables(result)),
        facts=plain_facts(result.facts),
        caveats=caveats_in(result.facts),
        alone=_alone(name, contents),
    )


def _alone(name: str, contents: Contents) -> bool:
    """Whether no neighbour uses the same method: two of a kind stand side by side."""
    names = list(contents.results)
    at = names.index(name)
    beside = [contents.results[each].method for each in names[max(0, at - 1) : at] + names[at + 1 : at + 2]]
    return contents.results[name].method not in beside


def _counts(shown: list[ShownHypothesis]) -> list[tuple[str, int]]:
    outcomes = [each.judged.outcome for each in shown]
    return [(name, outcomes.count(name)) for name in SIGNS if name in outcomes]


def _style() -> str:
    text = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    themes = text.replace("/*light-steps*/", colours(dark=False)).replace("/*dark-steps*/", colours(dark=True))
    return themes + rules()


def _policy(script: str) -> str:
    """No request, no script but this one."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; base-uri 'none'"
    )
