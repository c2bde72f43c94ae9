"""How much the numbers hang on a choice that was declared: steps of one study that differ in one setting alone.

A study that asks the same with two ablations, two metrics or two directions has two steps with the same method, data and
inputs. Their means are compared place by place: the rank correlation over places, and how far the two are apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from assay.core.svg import number
from assay.studies.folder import StepResult
from assay.studies.report.means import means
from assay.studies.schema import StepSpec

CHOICES = ("ablation", "metric", "direction", "counterfactual", "measure")
"""Settings that say how something is measured, not what is asked."""
UNSTABLE = 0.7
"""A rank correlation below this is called unstable."""


@dataclass(frozen=True)
class Choice:
    """Two steps that differ in one declared choice."""

    setting: str
    steps: tuple[str, str]
    values: tuple[str, str]
    agreement: float | None
    """Spearman's rank correlation over places; None for one place."""
    apart: float
    """The largest difference of means at one place."""
    places: int

    @property
    def text(self) -> str:
        """What a reader should know."""
        one, other = (f"{step} ({value})" for step, value in zip(self.steps, self.values, strict=True))
        said = f"{self.setting}: {one} and {other} differ by up to {number(self.apart)}"
        if self.agreement is None:
            return said
        much = "the ranking hangs on this choice" if self.agreement < UNSTABLE else "the ranking is much the same"
        return f"{said} over {self.places} places; rank correlation {self.agreement:.2f}, so {much}"


def choices(steps: Mapping[str, StepSpec], results: Mapping[str, StepResult]) -> list[Choice]:
    """Every pair of steps that differ in one declared choice."""
    found = []
    for one, other in combinations([name for name in steps if name in results], 2):
        first, second = steps[one], steps[other]
        if (first.method, first.data, first.needs) != (second.method, second.data, second.needs):
            continue
        changed = _changed(results[one].settings, results[other].settings)
        if len(changed) == 1 and changed[0] in CHOICES:
            found += _compared(changed[0], results[one], results[other])
    return found


def _changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]


def _compared(setting: str, one: StepResult, other: StepResult) -> list[Choice]:
    name = next((str(name) for name in one.data.data_vars if name in other.data), None)
    if name is None:
        return []
    first, second = (means(each.data[name]).value for each in (one, other))
    if first.sizes != second.sizes:
        return []
    a, b = (each.transpose(*first.dims).values.reshape(-1) for each in (first, second))
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if not len(a):
        return []
    vary = len(a) > 2 and np.ptp(a) > 0 and np.ptp(b) > 0
    agreement = float(spearmanr(a, b).statistic) if vary else None
    values = (_said(one.settings[setting]), _said(other.settings[setting]))
    return [Choice(setting, (one.step, other.step), values, agreement, float(np.abs(a - b).max()), len(a))]


def _said(value: Any) -> str:
    """A setting in a word or two."""
    if isinstance(value, dict):
        return ", ".join(str(each) for key, each in value.items() if key in ("kind", "type", "name", "op")) or str(
            value
        )
    return str(value)
