"""How good an approximate score is, against the exact one for the same components.

A high R² of a few large components says little about the rest, and a good ranking little about sizes, so all are given:
R² and slope of the straight line approximate ≈ slope · exact + constant (slope below 1: effects are underestimated), the
relative error √(Σ(approximate − exact)² / Σ exact²), rank correlations, and recall at k: the share of the k components with
the largest exact scores that are among the k with the largest approximate ones. Intervals draw components again
(percentile bootstrap), so that they hold for all components when those compared are a random sample of them.

Cost: 500 resamples of each number: well under a second for a hundred components.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int
from scipy import stats as scipy_stats

from assay.core.caveats import caveat
from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.stats import Estimate, Units, bootstrap_statistic

FEWEST = 3
"""Components without which nothing can be said."""
RESAMPLES = 500
Values = Float[np.ndarray, " component"]
Drawn = Int[np.ndarray, " component"]


@dataclass(frozen=True)
class ApproximationError:
    """Approximate against exact scores of the same components: the scatter, and numbers with intervals."""

    components: tuple[str, ...]
    approximate: Values
    exact: Values
    of: int
    """How many components have an approximate score: those compared are among them."""
    r_squared: Estimate
    slope: Estimate
    relative_error: Estimate
    spearman: Estimate
    kendall: Estimate
    recall: Mapping[int, Estimate]
    """By k."""
    absolute: bool = False
    """Whether sizes were compared, signs left out."""

    @property
    def scatter(self) -> tuple[tuple[str, float, float], ...]:
        """(component, approximate, exact) for each."""
        return tuple(zip(self.components, self.approximate.tolist(), self.exact.tolist(), strict=True))

    def __str__(self) -> str:
        what = f"{len(self.components)} of {self.of} components" if len(self.components) < self.of else "all components"
        recall = "".join(f", recall at {k} {_shown(estimate)}" for k, estimate in self.recall.items())
        sizes = " (sizes, signs left out)" if self.absolute else ""
        return (
            f"against exact patching of {what}{sizes}: R² {_shown(self.r_squared)}, slope {_shown(self.slope)}, relative error "
            f"{_shown(self.relative_error)}, Spearman {_shown(self.spearman)}, Kendall {_shown(self.kendall)}{recall}"
        )

    def facts(self) -> tuple[str, ...]:
        """What a result says about it: the numbers, as a caveat where they are poor."""
        poor = self.r_squared.value < 0.5 or self.spearman.value < 0.5
        found = [caveat(str(self)) if poor else str(self)]
        cut = [k for k in self.recall if tied_at(self.exact, k) or tied_at(self.approximate, k)]
        if cut:
            found.append(caveat(f"scores tie at the cut of recall at {', '.join(map(str, cut))}: stored order decided"))
        return tuple(found)


def approximation_error(
    approximate: Scores, exact: Scores, *, absolute: bool = False, at: Sequence[int] | None = None, seed: int = 0
) -> ApproximationError:
    """Compare approximate with exact scores for the components that have both.

    `absolute` compares sizes, for approximate scores without a sign. `at` are the k of recall at k; by default 5, 10 and
    20, as far as they are at most half of the components.

    Raises:
        DataError: fewer than three components have both scores, a score is NaN, or k is out of range.
    """
    known = dict(zip(exact.components, exact.values, strict=True))
    common = [i for i, name in enumerate(approximate.components) if name in known]
    if len(common) < FEWEST:
        raise DataError(f"{len(common)} components have both scores: at least {FEWEST} are needed to compare them.")
    names = tuple(approximate.components[i] for i in common)
    found, wanted = approximate.values[common].astype(float), np.array([known[name] for name in names], dtype=float)
    if absolute:
        found, wanted = np.abs(found), np.abs(wanted)
    for what, values in (("approximate", found), ("exact", wanted)):
        if np.isnan(values).any():
            raise DataError(
                f"the {what} score of {names[int(np.isnan(values).argmax())]} is NaN: nothing can be compared."
            )
    sizes = _sizes(len(names)) if at is None else tuple(at)
    if any(not 0 < k <= len(names) for k in sizes):
        raise DataError(f"recall at {list(sizes)} of {len(names)} components: expected k from 1 to {len(names)}.")

    def estimate(statistic: Callable[[Values, Values], float]) -> Estimate:
        return bootstrap_statistic(
            lambda drawn: statistic(found[drawn], wanted[drawn]),
            [Units(len(names))],
            kind="percentile",
            resamples=RESAMPLES,
            seed=seed,
        )

    return ApproximationError(
        names,
        found,
        wanted,
        len(approximate),
        r_squared=estimate(_r_squared),
        slope=estimate(_slope),
        relative_error=estimate(_relative_error),
        spearman=estimate(_spearman),
        kendall=estimate(_kendall),
        recall={k: estimate(partial(_recall, k=k)) for k in sizes},
        absolute=absolute,
    )


def sampled(components: Sequence[str], count: int, seed: int) -> tuple[str, ...]:
    """A random choice of components without replacement, in their own order; all of them where there are no more."""
    chosen = np.random.default_rng(seed).permutation(len(components))[:count]
    return tuple(components[i] for i in sorted(chosen))


def tied_at(values: Values, k: int) -> bool:
    """Whether the cut after the k highest values parts equal ones."""
    ordered = np.sort(values)[::-1]
    return bool(0 < k < len(ordered) and ordered[k - 1] == ordered[k])


def _sizes(n: int) -> tuple[int, ...]:
    return tuple(k for k in (5, 10, 20) if k <= n // 2) or (max(1, n // 2),)


def _correlation(a: Values, b: Values) -> float:
    """Pearson's; 0 where one of the two does not vary."""
    if not (_varies(a) and _varies(b)):
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b) / float(np.sqrt((a @ a) * (b @ b)))


def _varies(values: Values) -> bool:
    """Whether they differ by more than rounding: a resample may draw one component only."""
    return float(np.ptp(values)) > 1e-12 * float(np.abs(values).max())


def _r_squared(found: Values, wanted: Values) -> float:
    return _correlation(found, wanted) ** 2


def _slope(found: Values, wanted: Values) -> float:
    if not _varies(wanted):
        return 0.0
    centred = wanted - wanted.mean()
    return float(centred @ found) / float(centred @ centred)


def _relative_error(found: Values, wanted: Values) -> float:
    size = float(wanted @ wanted)
    error = float((found - wanted) @ (found - wanted))
    return float(np.sqrt(error / size)) if size > 0 else float(error > 0)


def _spearman(found: Values, wanted: Values) -> float:
    return _correlation(scipy_stats.rankdata(found), scipy_stats.rankdata(wanted))


def _kendall(found: Values, wanted: Values) -> float:
    if not (_varies(found) and _varies(wanted)):
        return 0.0
    return float(scipy_stats.kendalltau(found, wanted).statistic)


def _recall(found: Values, wanted: Values, *, k: int) -> float:
    top = [set(np.argsort(-values, kind="stable")[:k].tolist()) for values in (found, wanted)]
    return len(top[0] & top[1]) / k


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:z.2f} [{estimate.low:z.2f}, {estimate.high:z.2f}]"
