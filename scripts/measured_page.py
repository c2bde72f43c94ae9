"""The page docs/tasks.md, from what `measure_tasks.py` found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from assay.data import Measured, Measurement
from assay.data.example import Prompt
from assay.data.measurement import Verdict

if TYPE_CHECKING:
    from measure_tasks import Outcome, Study

INTRODUCTION = """# Tasks

Every family gives contrast pairs with named positions, from several wordings, with a seed, in three splits that share
neither a wording nor a name. How to make and select them is in [Data](data.md).

This page is written by `scripts/measure_tasks.py`, which asks the embedded model every question below. **A task that the
model can't do is not evidence about how it does it**: such tasks are marked, and every `Pairs` of one says so in `facts`.

- **accuracy**: share of prompts whose likeliest right answer beats every wrong answer that the example lists; 95 % Wilson
  interval over prompts, all splits together. Prompts share wordings and names, so the interval speaks of prompts like
  these; the next column shows how much the wording matters.
- **by wording**: the lowest and the highest accuracy of a wording with at least {least} prompts.
- **top-1**: share of prompts whose likeliest next token of all is a right answer.
- **logit difference**: the first right answer's logit minus that of the first wrong one (the contrast), mean.
- **counterfactual**: accuracy on the counterfactual prompts of the test split, by their own answers.
- **verdict**: *can do*: the interval starts at {good:.0%} or above, and no split alone has an interval that lies below it.
  *Partly*: the same at {fair:.0%}; read results with care, and only where the model answers right. *Cannot*: all others;
  not used as evidence. With two candidate answers a guess is right half of the time.

Model: {model}, float32, `{fingerprint}`. Seed 0.
"""
COMPLETION = """## Tasks to complete

| family | n | accuracy | by wording | top-1 | logit difference | counterfactual | verdict |
|---|--:|---|---|--:|--:|--:|---|
"""
PROBING = """## Statements for probing

These have labels and no answer. The model is asked about them (a question is appended), and a probe is fitted: the
difference of the two class means of the residual stream at the last token, fitted on train, its layer chosen on
validation, scored on test. Asked and probed are different questions: a model may represent what it can't say. The verdict
is on what it says when asked.

| family | n | asked: accuracy | by wording | top-1 | verdict | probe on test | layer |
|---|--:|---|---|--:|---|---|--:|
"""
REMARK: dict[Verdict, str] = {
    "can do": "**can do**",
    "partly": "partly",
    "cannot": "cannot: not used as evidence",
}
LEAST = 8


def page(studies: Sequence[Study], record: Measured, *, levels: tuple[float, float]) -> str:
    """The whole page."""
    short = record.fingerprint[:23] + "…"
    head = INTRODUCTION.format(least=LEAST, good=levels[0], fair=levels[1], model=record.model, fingerprint=short)
    asked = [s for s in studies if s.family.use == "completion"]
    probed = [s for s in studies if s.family.use == "probing"]
    parts = [
        head,
        COMPLETION + "".join(_completion_row(study, record) for study in asked),
        PROBING + "".join(_probing_row(study, record) for study in probed),
        "## One prompt of each\n\nFrom the training split, with the answer and the contrast.\n",
        *(_sample(study) for study in studies),
    ]
    return "\n".join(parts)


def _completion_row(study: Study, record: Measured) -> str:
    row = _row(study, record)
    other = study.corrupt.get("test")
    flipped = f"{sum(o.correct for o in other) / len(other):.2f}" if other else ""
    cells = [
        _shown(row),
        _wordings(study),
        f"{row.top1:.2f}",
        f"{row.logit_diff:.2f}",
        flipped,
        _verdict(study, record),
    ]
    return _line([f"`{study.family.name}`", str(row.n), *cells])


def _probing_row(study: Study, record: Measured) -> str:
    row = _row(study, record)
    layer, right, tested = study.probe or (0, 0, 0)
    share = f"{right / tested:.2f} ({right} of {tested})" if tested else ""
    cells = [_shown(row), _wordings(study), f"{row.top1:.2f}", _verdict(study, record), share, str(layer)]
    return _line([f"`{study.family.name}`", str(row.n), *cells])


def _row(study: Study, record: Measured) -> Measurement:
    row = record.row(study.family.name)
    assert row is not None
    return row


def _shown(row: Measurement) -> str:
    return f"{row.accuracy:.2f} [{row.interval[0]:.2f}, {row.interval[1]:.2f}]"


def _wordings(study: Study) -> str:
    shares = sorted(_shares(o for outcomes in study.clean.values() for o in outcomes))
    return f"{shares[0]:.2f} … {shares[-1]:.2f}" if shares else ""


def _shares(outcomes: Iterable[Outcome]) -> list[float]:
    """The accuracy of each wording with enough prompts."""
    found: dict[str, list[bool]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.template, []).append(outcome.correct)
    return [sum(each) / len(each) for each in found.values() if len(each) >= LEAST]


def _verdict(study: Study, record: Measured) -> str:
    return REMARK[record.verdicts[study.family.name]]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _sample(study: Study) -> str:
    example = study.examples["train"]
    source = f" Source: {_link(study.family.source)}." if study.family.source else ""
    variants = f" Variants: {', '.join(study.family.variants)}." if len(study.family.variants) > 1 else ""
    rows = [f"clean:   {_text(example.clean)}{_ending(example.answers, example.wrong, example.label)}"]
    rows += [f"corrupt: {_text(example.corrupt)}{_ending(example.corrupt_answers, (), example.corrupt_label)}"]
    places = f"positions: {', '.join([*example.positions, 'end'])}"
    summary = study.family.summary[0].upper() + study.family.summary[1:]
    return "\n".join([f"### {study.family.name}\n\n{summary}.{variants}{source}\n\n```text", *rows, places, "```\n"])


def _link(source: str) -> str:
    kind, _, number = source.partition(":")
    return f"[{source}](https://arxiv.org/abs/{number})" if kind == "arXiv" else source


def _text(prompt: Prompt) -> str:
    if isinstance(prompt, str):
        return prompt.replace("\n", "⏎")
    return " ".join(map(str, prompt[:12])) + (" …" if len(prompt) > 12 else "")


def _ending(answers: Sequence[object], wrong: Sequence[object], label: object) -> str:
    if answers:
        return f"  →  {answers[0]!r}" + (f"  (not {wrong[0]!r})" if wrong else "")
    return f"  [{label}]" if label is not None else ""
