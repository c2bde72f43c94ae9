"""Are the intervals, tests and verdicts what they claim to be? Simulated data sets with known truths, counted.

Writes the tables between the marks of docs/studies/statistics.md; a small version of the same is a test.
`python scripts/measure_statistics.py` takes about twenty minutes on one core.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from assay.core.files import write_text
from assay.stats import (
    Estimate,
    benjamini_hochberg,
    bootstrap,
    bootstrap_difference,
    cliffs_delta,
    cohen_d,
    holm,
    mean,
    paired_permutation,
    permutation,
    seed_effect,
    tost,
    wilcoxon,
    wilson,
)
from assay.studies.conclusion import concluded
from assay.studies.folder import StepResult
from assay.studies.plan import Frozen, Plan
from assay.studies.run import judged
from assay.studies.schema import Study

PAGE = Path(__file__).parent.parent / "docs" / "studies" / "statistics.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
Rng = np.random.Generator


@dataclass(frozen=True)
class Rate:
    """How often something happened, and what was claimed of it."""

    name: str
    where: str
    claimed: str
    hits: int
    n: int

    @property
    def found(self) -> Estimate:
        """The rate with its interval."""
        return wilson(self.hits, self.n)


# -- intervals --------------------------------------------------------------------------------------------------------


def intervals(resamples: int) -> dict[tuple[str, str], tuple[Callable[[Rng], Estimate], float]]:
    """By name and data: how one interval is made from a fresh data set, and the true value."""
    few: dict[str, Any] = {"resamples": resamples}
    labels = [i // 5 for i in range(75)]

    def clustered(rng: Rng) -> np.ndarray:
        return np.repeat(rng.normal(0, 1, 15), 5) + rng.normal(0, 1, 75)

    def pairs(rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        shared = rng.normal(0, 3, 40)
        return shared + rng.normal(0.5, 1, 40), shared + rng.normal(0, 1, 40)

    def share(rng: Rng) -> Estimate:
        """Restored over total, as patching reports it, both of the same examples."""
        total = rng.normal(4, 1, 60)
        return judged_estimate(0.6 * total + rng.normal(0, 0.8, 60), total, resamples)

    def seeds(rng: Rng) -> Estimate:
        return seed_effect(rng.normal(0, 0.5, (5, 1)) + rng.normal(0, 1, (1, 40)) + rng.normal(0, 1, (5, 40))).mean

    delta = float(2 * stats.norm.cdf(0.5 / np.sqrt(2)) - 1)
    return {
        ("t", "mean, normal, n = 10"): (lambda rng: mean(rng.normal(0, 1, 10)), 0.0),
        ("bootstrap, BCa", "mean, normal, n = 10"): (lambda rng: bootstrap(rng.normal(0, 1, 10), **few), 0.0),
        ("bootstrap, BCa", "mean, normal, n = 20"): (lambda rng: bootstrap(rng.normal(0, 1, 20), **few), 0.0),
        ("bootstrap, BCa", "mean, normal, n = 60"): (lambda rng: bootstrap(rng.normal(0, 1, 60), **few), 0.0),
        ("bootstrap, percentile", "mean, normal, n = 60"): (
            lambda rng: bootstrap(rng.normal(0, 1, 60), kind="percentile", **few),
            0.0,
        ),
        ("bootstrap, BCa", "mean, exponential, n = 20"): (lambda rng: bootstrap(rng.exponential(1, 20), **few), 1.0),
        ("bootstrap, BCa", "mean, exponential, n = 100"): (lambda rng: bootstrap(rng.exponential(1, 100), **few), 1.0),
        ("bootstrap, BCa", "paired difference, n = 40"): (lambda rng: bootstrap_difference(*pairs(rng), **few), 0.5),
        ("bootstrap, BCa, clustered", "mean, 15 templates of 5"): (
            lambda rng: bootstrap(clustered(rng), clusters=labels, **few),
            0.0,
        ),
        ("bootstrap, BCa, *not* clustered", "mean, 15 templates of 5"): (
            lambda rng: bootstrap(clustered(rng), **few),
            0.0,
        ),
        ("a study's quantity", "ratio of means, n = 60"): (share, 0.6),
        ("Wilson", "share of .9, n = 40"): (lambda rng: wilson(int(rng.binomial(40, 0.9)), 40), 0.9),
        ("Wilson", "share of .5, n = 40"): (lambda rng: wilson(int(rng.binomial(40, 0.5)), 40), 0.5),
        ("Cohen's d", "d = .5, n = 25 + 25"): (
            lambda rng: cohen_d(rng.normal(0.5, 1, 25), rng.normal(0, 1, 25)),
            0.5,
        ),
        ("Cliff's delta", "same data"): (
            lambda rng: cliffs_delta(rng.normal(0.5, 1, 25), rng.normal(0, 1, 25)),
            delta,
        ),
        ("variance components", "mean, 5 seeds × 40 examples"): (seeds, 0.0),
    }


def coverage(n: int, *, resamples: int = 500, only: Sequence[str] = ()) -> list[Rate]:
    """How often 95 % intervals hold the truth, over n data sets each."""
    found = []
    for (name, where), (make, truth) in intervals(resamples).items():
        if only and name not in only:
            continue
        rng = np.random.default_rng(abs(hash_of(name + where)))
        made = [make(rng) for _ in range(n)]
        found.append(Rate(name, where, "95 %", sum(each.low <= truth <= each.high for each in made), n))
        note(found[-1])
    return found


# -- tests ------------------------------------------------------------------------------------------------------------


def false_positives(n: int, *, resamples: int = 500) -> list[Rate]:
    """How often something is found where nothing is, over n families of tests."""
    labels = ([i // 5 for i in range(30)], [i // 5 for i in range(30)])

    def clustered(rng: Rng) -> np.ndarray:
        return np.repeat(rng.normal(0, 1, 6), 5) + rng.normal(0, 0.5, 30)

    def family(rng: Rng) -> list[float]:
        shared = rng.normal(0, 2, 20)
        return [
            paired_permutation(
                shared + rng.normal(0, 1, 20), shared + rng.normal(0, 1, 20), resamples=resamples, seed=i
            ).p
            for i in range(10)
        ]

    def some_real(rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        real = np.arange(50) < 10
        z = rng.normal(size=50) + 3.5 * real
        return real, np.array(benjamini_hochberg(list(2 * stats.norm.sf(np.abs(z))))) <= 0.05

    cases: dict[tuple[str, str, str], Callable[[Rng], float]] = {
        ("permutation, clustered", "6 + 6 templates of 5, no difference", "5 %"): lambda rng: (
            permutation(clustered(rng), clustered(rng), clusters=labels, resamples=resamples).p <= 0.05
        ),
        ("permutation, *not* clustered", "same data", "5 %"): lambda rng: (
            permutation(clustered(rng), clustered(rng), resamples=resamples).p <= 0.05
        ),
        ("Wilcoxon", "20 pairs, no difference", "5 %"): lambda rng: (
            wilcoxon(rng.normal(size=20), rng.normal(size=20)).p <= 0.05
        ),
        ("Holm", "any of 10 paired permutation tests, no difference", "≤ 5 %"): lambda rng: (
            min(holm(family(rng))) <= 0.05
        ),
        ("*no* correction", "same tests", "5 % each"): lambda rng: min(family(rng)) <= 0.05,
        ("Benjamini-Hochberg", "false among the findings: 40 nulls, 10 effects", "≤ 4 %"): lambda rng: (
            lambda real, found: float((found & ~real).sum()) / max(1, int(found.sum()))
        )(*some_real(rng)),
        ("TOST", "called equivalent, the difference at the margin, n = 40", "5 %"): lambda rng: (
            tost(rng.normal(0.5, 1, 40), margin=0.5).equivalent
        ),
    }
    found = []
    for (name, where, claimed), once in cases.items():
        rng = np.random.default_rng(abs(hash_of(name)))
        found.append(Rate(name, where, claimed, round(sum(float(once(rng)) for _ in range(n))), n))
        note(found[-1])
    return found


# -- verdicts ---------------------------------------------------------------------------------------------------------

TRUTHS = {
    # name: (mean of its numbers, number of examples, the verdict that it deserves)
    "true": (0.8, 80, "supported"),
    "false": (-0.2, 80, "refuted"),
    "underpowered": (0.5, 10, "inconclusive"),
    "at_the_edge": (0.3, 80, "inconclusive"),
}
EDGE = 0.3


def planted_study(resamples: int) -> Study:
    """Four hypotheses, each that a mean is at least .3, about simulated numbers."""
    return Study.model_validate(
        {
            "title": "Simulated",
            "question": "Do verdicts come out as often as they should?",
            "data": {name: {"task": "ioi", "n": n, "split": "test"} for name, (_, n, _) in TRUTHS.items()},
            "steps": {name: {"method": "task_accuracy", "data": name} for name in TRUTHS},
            "hypotheses": [
                {
                    "id": name,
                    "statement": f"The mean is at least {EDGE}.",
                    "quantity": {"step": name, "variable": "value"},
                    "prediction": f">= {EDGE}",
                    "smallest_effect": 0.4,
                }
                for name in TRUTHS
            ],
            "analysis": {"resamples": resamples},
        }
    )


def verdicts(n: int, *, resamples: int = 600) -> dict[str, dict[str, int]]:
    """How often each hypothesis gets each verdict, over n data sets, as a run's conclusion says it."""
    study = planted_study(resamples)
    plan = Plan((Frozen("sha256:simulated", "", {}, study.model_dump(mode="json", by_alias=True)),))
    counts = {name: {"supported": 0, "refuted": 0, "inconclusive": 0} for name in TRUTHS}
    rng = np.random.default_rng(0)
    for _ in range(n):
        results = {name: _step(name, rng.normal(truth, 1, size)) for name, (truth, size, _) in TRUTHS.items()}
        found = concluded(study, plan, results=results, verdicts=judged(study, results), about={})
        for each in found.judgements:
            counts[each.id][each.outcome] += 1
    for name, each in counts.items():
        note(f"{name}: {each}")
    return counts


def stated(name: str) -> dict[str, float]:
    """The rates by theory: a t interval at the corrected level lies above, below or around the edge."""
    truth, n, _ = TRUTHS[name]
    wide = stats.t.ppf(1 - 0.05 / len(TRUTHS) / 2, n - 1)
    shift = (truth - EDGE) * np.sqrt(n)
    above, below = float(stats.nct.sf(wide, n - 1, shift)), float(stats.nct.cdf(-wide, n - 1, shift))
    return {"supported": above, "refuted": below, "inconclusive": 1 - above - below}


def judged_estimate(of: np.ndarray, total: np.ndarray, resamples: int) -> Estimate:
    """A ratio of means as a study works it out."""
    study = Study.model_validate(
        {
            "title": "T",
            "question": "Q",
            "data": {"d": {"task": "ioi", "n": len(of), "split": "test"}},
            "steps": {"s": {"method": "task_accuracy", "data": "d"}},
            "hypotheses": [
                {
                    "id": "h",
                    "statement": "S",
                    "quantity": {"ratio": [{"step": "s", "variable": "value"}, {"step": "s", "variable": "total"}]},
                    "prediction": "> 0",
                    "smallest_effect": 0.1,
                }
            ],
            "analysis": {"resamples": resamples},
        }
    )
    return judged(study, {"s": _step("d", of, total=total)})[0].estimate


def _step(data: str, values: np.ndarray, **more: np.ndarray) -> StepResult:
    variables = {name: (("example",), each) for name, each in {"value": values, **more}.items()}
    return StepResult(
        step=data, key="", method="simulated", settings={}, examples=data, gives="Result", seconds=0.0, created="",
        data=xr.Dataset(variables),
    )  # fmt: skip


# -- the page ---------------------------------------------------------------------------------------------------------


def table(rows: Sequence[Rate], what: str) -> str:
    """Rates as a table."""
    lines = [f"| | on | claimed | {what} | data sets |", "|---|---|---|---|--:|"]
    for row in rows:
        found = row.found
        shown = f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]".replace("%", " %")
        lines.append(f"| {row.name} | {row.where} | {row.claimed} | {shown} | {row.n} |")
    return "\n".join(lines)


def verdict_table(counts: dict[str, dict[str, int]]) -> str:
    """Verdicts as a table, those that are deserved in bold, beside the rates by theory."""
    lines = ["| the hypothesis is | mean, n | supported | refuted | inconclusive |", "|---|---|---|---|---|"]
    for name, found in counts.items():
        truth, n, deserved = TRUTHS[name]
        total, theory = sum(found.values()), stated(name)
        cells = []
        for outcome, count in found.items():
            text = f"{count / total:.1%} (theory {theory[outcome]:.1%})".replace("%", " %")
            cells.append(f"**{text}**" if outcome == deserved else text)
        lines.append(f"| {name.replace('_', ' ')} | {truth:g}, {n} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measured(n_intervals: int, n_tests: int, n_verdicts: int) -> str:
    """The part of the page that is counted."""
    parts = [
        "### Coverage of 95 % intervals\n",
        table(coverage(n_intervals), "hold the truth"),
        "\n### False positives\n",
        table(false_positives(n_tests), "found"),
        f"\n### Verdicts over {n_verdicts} data sets\n",
        verdict_table(verdicts(n_verdicts)),
    ]
    return "\n".join(parts)


def note(what: object) -> None:
    """Progress, on the error stream."""
    shown = f"{what.name}, {what.where}: {what.found}" if isinstance(what, Rate) else what
    print(f"{time.strftime('%H:%M:%S')} {shown}", file=sys.stderr, flush=True)


def hash_of(text: str) -> int:
    """A number that is the same in every process."""
    return int.from_bytes(text.encode()[-8:], "big") % 2**32


def main() -> None:
    """Count, and write the page's tables."""
    tables = measured(2000, 2000, 200)
    page = PAGE.read_text(encoding="utf-8")
    head, tail = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
    write_text(PAGE, f"{head}\n\n{tables}\n\n{tail}")


if __name__ == "__main__":
    main()
