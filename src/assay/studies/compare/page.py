"""The comparison as one HTML file that opens without a network: the same look as a run's report, and no script at all."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from assay.core.files import write_text
from assay.studies.compare.comparison import Claim, Comparison
from assay.studies.compare.forest import forest
from assay.studies.conclusion import Number
from assay.studies.report.palette import colours, rules

TEMPLATES = Path(__file__).parents[1] / "templates"
SIGNS = {"supported": "✓", "refuted": "✗", "inconclusive": "?"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def write_comparison(comparison: Comparison, path: Path) -> Path:
    """Write the page, whole or not at all."""
    write_text(path, comparison_page(comparison))
    return path


def comparison_page(comparison: Comparison) -> str:
    """The page as HTML."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"condition": _condition}
    pictures = {each.hypothesis: _picture(each, comparison) for each in comparison.claims}
    text: str = made.get_template("compare.html.j2").render(
        comparison=comparison,
        pictures=pictures,
        signs=SIGNS,
        style=Markup(_style()),
        policy=_POLICY,
        tally=_tally(comparison),
    )
    return text


def _picture(claim: Claim, comparison: Comparison) -> Markup:
    rows = [(run.name, cell.number) for run, cell in zip(comparison.runs, claim.cells, strict=True) if cell is not None]
    seeds = comparison.over_seeds(claim.hypothesis)
    rows += [(f"over {each.effect.seeds} seeds", Number.of(each.effect.mean)) for each in seeds]
    return forest(rows, claim.prediction)


def _tally(comparison: Comparison) -> list[tuple[str, int]]:
    where = [each.where for each in comparison.claims]
    return [(word, where.count(word)) for word in ("everywhere", "somewhere", "nowhere") if word in where]


def _condition(text: str) -> str:
    return text.replace(">=", "≥").replace("<=", "≤")


def _style() -> str:
    text = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    themes = text.replace("/*light-steps*/", colours(dark=False)).replace("/*dark-steps*/", colours(dark=True))
    return themes + rules()
