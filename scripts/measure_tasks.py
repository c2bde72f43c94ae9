"""Measure what the embedded model scores on every task family, and write docs/tasks.md and the package's measured.json.

    python scripts/measure_tasks.py            all families: a few minutes on two cores
    python scripts/measure_tasks.py ioi plural these only, printed and not written

Correct: the likeliest of the right answers beats every wrong answer that the example lists. Families for probing have no
answer to complete: there the model is asked (a question is appended), and a probe is fitted: the difference of the two
class means of the residual stream at the last token, on train, at the layer that does best on validation, scored on test.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from measured_page import page

from assay.core.files import write_text
from assay.data import Measured, Measurement, Pairs, Tokens, task
from assay.data.example import Example
from assay.data.family import Family, families
from assay.data.lexicon import SPLITS, Split
from assay.data.measurement import Verdict
from assay.data.vocabulary import fingerprint
from assay.models.loading import load_native
from assay.stats.proportion import wilson

ROOT = Path(__file__).resolve().parent.parent
PAGE, RECORD = ROOT / "docs" / "tasks.md", ROOT / "src" / "assay" / "data" / "measured.json"
SIZES: dict[Split, int] = {"train": 60, "validation": 60, "test": 200}
TOKENS_AT_ONCE = 1024
GOOD, FAIR = 0.9, 0.7


@dataclass(frozen=True)
class Outcome:
    """What the model did with one prompt."""

    template: str
    correct: bool
    logit_diff: float
    top1: bool
    probability: float


@dataclass
class Study:
    """All outcomes of one family."""

    family: Family
    examples: dict[Split, Example] = field(default_factory=dict)
    clean: dict[Split, list[Outcome]] = field(default_factory=dict)
    corrupt: dict[Split, list[Outcome]] = field(default_factory=dict)
    probe: tuple[int, int, int] | None = None
    """Layer, right, tested."""


class Subject:
    """The model under measurement: last-position logits, and the residual stream at the last token."""

    def __init__(self) -> None:
        """Load the embedded model, which is float32 once it is unpacked."""
        self.loaded = load_native()
        self.native: Any = self.loaded.native
        self.tokenizer: Any = self.loaded.tokenizer

    @torch.inference_mode()
    def outcomes(self, pairs: Pairs) -> list[Outcome]:
        """One for each clean prompt, in the order of the pairs."""
        tokens = pairs.aligned_tokens()
        found: dict[int, Outcome] = {}
        for rows in _batches([len(t.clean) for t in tokens]):
            ids = torch.tensor([tokens[i].clean for i in rows])
            logits = self.native(input_ids=ids, logits_to_keep=1, use_cache=False).logits[:, -1].float()
            for row, i in zip(logits, rows, strict=True):
                found[i] = _outcome(pairs[i].template, tokens[i], row)
        return [found[i] for i in range(len(pairs))]

    @torch.inference_mode()
    def residuals(self, pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
        """The residual stream at the last token of both prompts (prompt, layer, d_model), and which are true."""
        rows = [t.clean for t in pairs.aligned_tokens()] + [t.corrupt for t in pairs.aligned_tokens()]
        labels = [e.label for e in pairs] + [e.corrupt_label for e in pairs]
        states: dict[int, torch.Tensor] = {}
        for batch in _batches([len(row) for row in rows]):
            ids = torch.tensor([rows[i] for i in batch])
            hidden = self.native.model(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
            states |= dict(zip(batch, torch.stack([h[:, -1].float() for h in hidden[:-1]], dim=1), strict=True))
        yes = torch.tensor([label in (True, "positive") for label in labels])
        return torch.stack([states[i] for i in range(len(rows))]), yes


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of prompts of one length, so many that a batch has about TOKENS_AT_ONCE tokens."""
    groups: dict[int, list[int]] = defaultdict(list)
    for i, length in enumerate(lengths):
        groups[length].append(i)
    for length, rows in sorted(groups.items()):
        size = max(TOKENS_AT_ONCE // length, 1)
        yield from (rows[i : i + size] for i in range(0, len(rows), size))


def _outcome(template: str, tokens: Tokens, logits: torch.Tensor) -> Outcome:
    right, wrong = [a[0] for a in tokens.answers], [a[0] for a in tokens.wrong]
    return Outcome(
        template,
        bool(logits[right].max() > logits[wrong].max()),
        float(logits[right[0]] - logits[wrong[0]]),
        int(logits.argmax()) in right,
        float(logits.softmax(-1)[right].sum()),
    )


def measure(family: Family, subject: Subject) -> Study:
    """Every split of one family; of the test split the counterfactual prompts too."""
    study = Study(family)
    made = {split: _pairs(family, split, subject) for split in SPLITS}
    for split, pairs in made.items():
        study.examples[split] = pairs[0]
        asked = pairs if family.judge is None else _asked(pairs, family.judge, subject)
        study.clean[split] = subject.outcomes(asked)
        if split == "test" and all(example.corrupt_answers for example in asked):
            study.corrupt[split] = subject.outcomes(asked[:60].swapped())
    if family.use == "probing":
        study.probe = _probe(made, subject)
    return study


def _pairs(family: Family, split: Split, subject: Subject) -> Pairs:
    pairs = task(family.name, split=split, tokenizer=subject.tokenizer)
    return pairs[: SIZES[split]]


def _asked(pairs: Pairs, judge: tuple[str, str, str], subject: Subject) -> Pairs:
    """The statements with a question appended."""
    question, yes, no = judge

    def ask(example: Example) -> Example:
        right, wrong = (((yes,), (no,)) if _is_yes(label) else ((no,), (yes,)) for label in _labels(example))
        update = {"clean": f"{example.clean}{question}", "corrupt": f"{example.corrupt}{question}"}
        answers = {"answers": right[0], "wrong": right[1], "corrupt_answers": wrong[0], "corrupt_wrong": wrong[1]}
        return example.model_copy(update={**update, **answers})

    return Pairs(tuple(ask(example) for example in pairs)).align(subject.tokenizer)


def _labels(example: Example) -> tuple[object, object]:
    return example.label, example.corrupt_label


def _is_yes(label: object) -> bool:
    return label in (True, "positive")


def _probe(made: dict[Split, Pairs], subject: Subject) -> tuple[int, int, int]:
    """Difference of means on train, layer by validation, and how many of the test statements it gets right."""
    states, labels = zip(*(subject.residuals(made[split]) for split in SPLITS), strict=True)
    yes, no = states[0][labels[0]].mean(0), states[0][~labels[0]].mean(0)
    direction, middle = yes - no, (yes + no) / 2
    right = [(((s - middle) * direction).sum(-1) > 0) == y[:, None] for s, y in zip(states, labels, strict=True)]
    layer = int(right[1].float().mean(0).argmax())
    return layer, int(right[2][:, layer].sum()), len(right[2])


def rows_of(study: Study) -> list[Measurement]:
    """One measurement for each split, and one for all."""
    every = [outcome for split in SPLITS for outcome in study.clean[split]]
    return [_row(study.family.name, split, study.clean[split]) for split in SPLITS] + [
        _row(study.family.name, "all", every)
    ]


def _row(family: str, split: str, outcomes: Sequence[Outcome]) -> Measurement:
    share = wilson(sum(o.correct for o in outcomes), len(outcomes))
    count = len(outcomes)
    return Measurement(
        family=family,
        split=split,
        n=count,
        accuracy=round(share.value, 4),
        interval=(round(share.low, 4), round(share.high, 4)),
        logit_diff=round(sum(o.logit_diff for o in outcomes) / count, 3),
        top1=round(sum(o.top1 for o in outcomes) / count, 3),
        probability=round(sum(o.probability for o in outcomes) / count, 3),
    )


def verdict(rows: Sequence[Measurement]) -> Verdict:
    """Can do: the interval over all splits starts at GOOD or above, and no split's lies below it. Partly: at FAIR."""
    splits, everything = rows[:-1], rows[-1]
    for level, name in ((GOOD, "can do"), (FAIR, "partly")):
        if everything.interval[0] >= level and all(row.interval[1] >= level for row in splits):
            return name  # type: ignore[return-value]
    return "cannot"


def main(names: Sequence[str]) -> None:
    """Measure, print, and write when all families were measured."""
    started = time.perf_counter()
    subject = Subject()
    known = families()
    studies = []
    for name in names or tuple(known):
        studies.append(measure(known[name], subject))
        rows = rows_of(studies[-1])
        print(f"{time.perf_counter() - started:6.1f}s  {name:22s} {verdict(rows):7s}", *map(_brief, rows), flush=True)
        if names:
            _print_templates(studies[-1])
    if names:
        return
    rows = [row for study in studies for row in rows_of(study)]
    verdicts = {study.family.name: verdict(rows_of(study)) for study in studies}
    record = Measured(
        model=subject.loaded.source.name,
        fingerprint=subject.loaded.fingerprint,
        tokenizer=fingerprint(subject.tokenizer),
        rows=tuple(rows),
        verdicts=verdicts,
    )
    write_text(RECORD, record.model_dump_json(indent=1) + "\n")
    write_text(PAGE, page(studies, record, levels=(GOOD, FAIR)))


def _brief(row: Measurement) -> str:
    return f"{row.split} {row.accuracy:.2f} ({row.n})"


def _print_templates(study: Study) -> None:
    for split in SPLITS:
        for template in dict.fromkeys(o.template for o in study.clean[split]):
            chosen = [o for o in study.clean[split] if o.template == template]
            row = _row(study.family.name, template, chosen)
            print(f"    {template:20s} {row.accuracy:.2f} ({row.n}) top1 {row.top1:.2f} diff {row.logit_diff:.2f}")
    if study.probe is not None:
        print(f"    probe: layer {study.probe[0]}, {study.probe[1]} of {study.probe[2]}")


if __name__ == "__main__":
    main(sys.argv[1:])
