"""One hypothesis over runs that differ in their seeds only: the verdict that another seed would be expected to give.

Seeds are a random effect (`stats.seed_effect`): the interval holds the mean over all seeds, not that of these few. Three runs
at least. Where the quantity is a mean over examples, the spread between seeds and that between examples are told apart;
otherwise each seed counts as one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.stats import SeedEffect, seed_effect
from assay.studies.compare.difference import per_example
from assay.studies.compare.runs import Compared
from assay.studies.evaluate import Outcome, outcome
from assay.studies.schema import Hypothesis

FEWEST = 3


@dataclass(frozen=True)
class AcrossSeeds:
    """A hypothesis over the seeds of one group of runs."""

    hypothesis: str
    runs: tuple[str, ...]
    effect: SeedEffect
    outcome: Outcome
    by_seed: tuple[Outcome, ...]

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "hypothesis": self.hypothesis,
            "runs": list(self.runs),
            "effect": self.effect.to_json(),
            "outcome": self.outcome,
            "by_seed": list(self.by_seed),
            "text": str(self.effect),
        }


def across_seeds(runs: Sequence[Compared]) -> tuple[AcrossSeeds, ...]:
    """Every hypothesis over every group of runs that differ in seeds only."""
    groups: dict[str, list[Compared]] = {}
    for run in runs:
        if all(run.contents.plan.hash != each.contents.plan.hash for each in groups.get(run.apart_from_seeds, [])):
            groups.setdefault(run.apart_from_seeds, []).append(run)
    found = []
    for group in (each for each in groups.values() if len(each) >= FEWEST):
        for asked in group[0].contents.study.hypotheses:
            if (effect := _effect(asked, group)) is not None:
                by_seed = tuple(judged.outcome for run in group if (judged := run.judged(asked.id)) is not None)
                names = tuple(run.name for run in group)
                found.append(AcrossSeeds(asked.id, names, effect, outcome(asked, effect.mean), by_seed))
    return tuple(found)


def _effect(asked: Hypothesis, group: Sequence[Compared]) -> SeedEffect | None:
    judged = [run.judged(asked.id) for run in group]
    values = [each.number.value for each in judged if each is not None and each.number.value is not None]
    if len(values) < len(group) or judged[0] is None:
        return None
    level = judged[0].number.level
    rows = [per_example(asked.quantity, run.numbers) for run in group]
    whole = [row for row in rows if row is not None]
    if len(whole) == len(group) and len({len(row) for row in whole}) == 1 and np.isfinite(whole).all():
        prompts = [run.contents.prompts for run in group]
        shared = all(each == prompts[0] for each in prompts)
        return seed_effect(np.stack(whole), examples="shared" if shared else "own", level=level)
    return seed_effect([[value] for value in values], level=level)
