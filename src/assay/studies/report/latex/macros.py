"""The numbers of a run as LaTeX macros, so that a paper holds none that was typed by hand.

For a hypothesis `few_heads`: `\\numFewHeads` (the number with its interval), `…Value`, `…Low`, `…High`, `…N`, `…Level`,
`…Predicted`, `…Verdict`, `…P` (the corrected p), `…BaselineA`, `…BaselineB` for what stands beside it, and `…UnderA`,
`…UnderAVerdict` for other declared choices; what a number without an interval doesn't have is `--`. For a data set `test`:
`\\numExamplesTest`. Names hold letters only, as TeX wants; digits are written out.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.svg import number
from assay.studies.conclusion import Judgement, Number
from assay.studies.lint.claims import macro_name
from assay.studies.report.costs import duration
from assay.studies.report.latex.text import escape
from assay.studies.report.page import chance, condition
from assay.studies.report.shown import Shown

NOTHING = "--"


def macros(shown: Shown) -> dict[str, str]:
    """Every macro's name with what it stands for, in the order of the report.

    Two hypotheses whose ids differ only in signs that TeX has no room for get a further letter.
    """
    found: dict[str, str] = {}
    names = prefixes(shown)
    for judged in shown.contents.conclusion.judgements:
        found |= {names[judged.id] + name: value for name, value in _of_hypothesis(judged)}
    contents = shown.contents
    for name, prompts in contents.prompts.items():
        found["numExamples" + macro_name(name).removeprefix("num")] = str(
            len(prompts.examples) or contents.study.data[name].n
        )
    found |= {f"numCount{name.capitalize()}": str(count) for name, count in _counts(shown).items()}
    found |= {
        "numHypotheses": str(len(shown.hypotheses)),
        "numSteps": str(len(shown.steps)),
        "numSeconds": escape(duration(contents.conclusion.seconds)),
        "numPasses": str(contents.conclusion.passes),
        "numPlan": contents.conclusion.plan.removeprefix("sha256:")[:12],
        "numModel": escape(contents.environment.get("model", {}).get("name") or contents.study.model),
    }
    return found


def macro_file(shown: Shown) -> str:
    """macros.tex."""
    lines = [f"\\newcommand{{\\{name}}}{{{value}}}" for name, value in macros(shown).items()]
    return "\n".join(
        [
            "% Made by assay from the run's stored numbers: run `assay study report` again, edit nothing here.",
            *lines,
            "",
        ]
    )


def _of_hypothesis(judged: Judgement) -> Iterator[tuple[str, str]]:
    found = judged.number
    yield "", with_interval(found)
    yield "Value", _plain(found.value)
    yield "Low", _plain(found.low)
    yield "High", _plain(found.high)
    yield "N", examples(found)
    yield "Level", f"{100 * found.level:.4g}\\,\\%" if found.has_interval else NOTHING
    yield "Predicted", escape(condition(judged.prediction))
    yield "Verdict", judged.outcome
    yield "P", escape(chance(judged))
    for i, beside in enumerate(judged.baselines):
        yield "Baseline" + letters(i), with_interval(beside.number)
    for i, other in enumerate(judged.otherwise):
        yield "Under" + letters(i), with_interval(other.number)
        yield f"Under{letters(i)}Verdict", other.outcome


def with_interval(found: Number) -> str:
    """A number with its interval, as LaTeX."""
    return escape(found.short.replace("-", "−"))


def examples(found: Number) -> str:
    """How many examples are behind a number."""
    return str(found.n) if found.n else NOTHING


def _plain(value: float | None) -> str:
    return NOTHING if value is None else escape(number(value))


def _counts(shown: Shown) -> dict[str, int]:
    return {name: dict(shown.counts).get(name, 0) for name in ("supported", "refuted", "inconclusive")}


def letters(i: int) -> str:
    """A, B, …, Z, AA, AB …"""
    return (letters(i // 26 - 1) if i >= 26 else "") + chr(ord("A") + i % 26)


def prefixes(shown: Shown) -> dict[str, str]:
    """The macro of each hypothesis by its id."""
    found: dict[str, str] = {}
    for judged in shown.contents.conclusion.judgements:
        name = macro_name(judged.id)
        while name in found.values():
            name += "X"
        found[judged.id] = name
    return found
