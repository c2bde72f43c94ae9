"""One hypothesis' number in two runs: by how much they differ, and whether they are as good as the same.

The whole quantity is worked out in both runs for every resample. Where a data set has the same prompts in both runs, its
examples are drawn together, so that the difference is paired; otherwise they are drawn apart, and the interval is wider.
Prompts that only some examples share are taken for different ones: the interval is then too wide, never too narrow.

Equivalence: the interval at 2 · level − 1 lies within the smallest effect that would matter (two one-sided tests). Where the
quantity is a mean over examples and these are the same, the test has a p. Right and wrong answers that agree on every
example don't have an interval of width 0: that a difference would have been seen is a matter of how many there are, so the
exact binomial bound on the share of examples that differ is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from assay.stats import Estimate, tost_bootstrap
from assay.studies.compare.runs import Compared
from assay.studies.evaluate import estimate
from assay.studies.pick import StepData, pick
from assay.studies.quantity import Difference, Quantity, Ratio, Selector, Share, ShareOf, parts, selectors
from assay.studies.schema import Hypothesis


@dataclass(frozen=True)
class Equivalent:
    """Whether a difference lies within the smallest effect that would matter."""

    estimate: Estimate
    margin: float
    inside: bool
    p: float | None

    def __str__(self) -> str:
        p = "" if self.p is None else f", p = {self.p:.3f}" if self.p >= 0.001 else f", p = {self.p:.1e}"
        word = "equivalent" if self.inside else "not shown to be equivalent"
        return f"{word} within ±{self.margin:g} ({self.estimate.text_of_interval()}{p})"


@dataclass(frozen=True)
class Apart:
    """The second run's number minus the first one's."""

    hypothesis: str
    first: str
    second: str
    estimate: Estimate | None
    paired: bool
    equivalent: Equivalent | None
    why_not: str = ""

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out nothing: 0."""
        return self.estimate is not None and not self.estimate.low <= 0 <= self.estimate.high

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        same = self.equivalent
        return {
            "hypothesis": self.hypothesis,
            "first": self.first,
            "second": self.second,
            "difference": None if self.estimate is None else self.estimate.to_json(),
            "differs": self.differs,
            "paired": self.paired,
            "equivalence": None if same is None else vars(same) | {"estimate": same.estimate.to_json()},
            "why_not": self.why_not,
        }


def apart(hypothesis: str, first: Compared, second: Compared) -> Apart:
    """The difference of a hypothesis' number between two runs; without a number where it isn't the same question."""
    one, other = first.asked(hypothesis), second.asked(hypothesis)
    nothing = Apart(hypothesis, first.name, second.name, None, False, None)
    if one is None or other is None:
        return replace(nothing, why_not=f"only {(first if other is None else second).name} asks it")
    if one.quantity != other.quantity:
        return replace(nothing, why_not="the two runs measure different quantities")
    results, paired = _together(one.quantity, first, second)
    both = Difference(difference=(_renamed(other.quantity, "2"), _renamed(one.quantity, "1")))
    analysis = first.contents.study.analysis
    found = estimate(both, results, analysis)
    if not np.isfinite([found.value, found.low, found.high]).all():
        return replace(nothing, why_not="one of the numbers can't be worked out")
    if found.n == 0:
        return replace(nothing, estimate=found, why_not="no examples are behind it, so it has no interval")
    margin = min(one.smallest_effect, other.smallest_effect)
    same = _equivalent(one, results, paired=paired, margin=margin, first=first)
    return Apart(hypothesis, first.name, second.name, found, paired, same)


def _equivalent(
    asked: Hypothesis, results: Mapping[str, StepData], *, paired: bool, margin: float, first: Compared
) -> Equivalent:
    analysis = first.contents.study.analysis
    rows = [per_example(_renamed(asked.quantity, which), results) for which in ("2", "1")]
    if paired and rows[0] is not None and rows[1] is not None:
        change = rows[0] - rows[1]
        if not change.any() and set(np.unique([*rows[0], *rows[1]])) <= {0.0, 1.0}:
            return _never_differing(len(change), margin, analysis.level)
        clusters = pick(_selector(_renamed(asked.quantity, "1")), results, cluster=analysis.cluster).clusters
        found = tost_bootstrap(
            rows[0], rows[1], margin=margin, clusters=clusters, level=analysis.level, seed=analysis.seed,
            resamples=analysis.resamples,
        )  # fmt: skip
        return Equivalent(found.estimate, margin, found.equivalent, found.p)
    both = Difference(difference=(_renamed(asked.quantity, "2"), _renamed(asked.quantity, "1")))
    narrow = estimate(both, results, analysis, level=2 * analysis.level - 1)
    return Equivalent(narrow, margin, -margin < narrow.low and narrow.high < margin, None)


def _never_differing(n: int, margin: float, level: float) -> Equivalent:
    """No example differs: so many that differ could have been missed, at most."""
    bound = 1 - (1 - level) ** (1 / n)
    found = Estimate(0.0, -bound, bound, n, "exact binomial bound: no example differs", 2 * level - 1)
    return Equivalent(found, margin, bound < margin, None)


def per_example(quantity: Quantity, results: Mapping[str, StepData]) -> np.ndarray | None:
    """The numbers whose mean over examples the quantity is; None where it is no such mean."""
    if not isinstance(quantity, Selector):
        return None
    found = pick(quantity, results)
    if found.group is None or (len(found.values) > 1 and quantity.over not in ("mean", "sum")):
        return None
    values = found.values.sum(0) if quantity.over == "sum" else found.values.mean(0)
    return np.asarray(values, dtype=float)


def _selector(quantity: Quantity) -> Selector:
    return next(selectors(quantity))


def _together(quantity: Quantity, first: Compared, second: Compared) -> tuple[dict[str, StepData], bool]:
    """Both runs' results side by side; data sets with the same prompts are one group of examples, the others two."""
    read = {each.step for each in selectors(quantity)}
    shared = {name: _same_prompts(name, first, second) for name in first.contents.study.data}
    together: dict[str, StepData] = {}
    for which, run in (("1", first), ("2", second)):
        for name in read:
            step = run.numbers[name]
            group = step.examples if shared.get(step.examples) else f"{which}/{step.examples}"
            together[f"{which}/{name}"] = StepData(f"{run.name}/{name}", step.data, group)
    return together, all(shared.get(first.numbers[name].examples, False) for name in read)


def _same_prompts(name: str, first: Compared, second: Compared) -> bool:
    one, other = first.contents.prompts.get(name), second.contents.prompts.get(name)
    same = one is not None and other is not None and bool(one.examples) and one.examples == other.examples
    sizes = {
        run.contents.results[step].data.sizes.get("example")
        for run in (first, second)
        for step, result in run.contents.results.items()
        if result.examples == name and "example" in result.data.sizes
    }
    return same and len(sizes) <= 1


def _renamed(quantity: Quantity, which: str) -> Quantity:
    """The same quantity of one of the two runs."""
    match quantity:
        case Selector():
            return quantity.model_copy(update={"step": f"{which}/{quantity.step}"})
        case Difference():
            one, other = (_renamed(each, which) for each in quantity.difference)
            return Difference(difference=(one, other))
        case Ratio():
            one, other = (_renamed(each, which) for each in quantity.ratio)
            return Ratio(ratio=(one, other))
        case Share():
            of, zero, full = (_renamed(each, which) for each in parts(quantity))
            return Share(share=ShareOf(of=of, zero=zero, one=full))
