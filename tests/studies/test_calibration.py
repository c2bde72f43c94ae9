"""Verdicts, intervals and corrected tests on simulated data: a small version of the tables in docs/studies/statistics.md."""

from __future__ import annotations

import pytest
from scipy import stats
from scripts import measure_statistics as simulated


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "note", lambda what: None)


def test_verdicts_come_out_at_the_stated_rates() -> None:
    """True, false, underpowered and borderline hypotheses: each count lies where a binomial of the stated rate puts it."""
    n = 40
    counts = simulated.verdicts(n, resamples=300)
    for name, (_, _, deserved) in simulated.TRUTHS.items():
        stated = simulated.stated(name)
        assert stated[deserved] >= 0.93, f"{name} is not what its name says"
        for outcome, count in counts[name].items():
            low, high = stats.binom.interval(0.9999, n, stated[outcome])
            assert low - 1 <= count <= high + 1, (name, outcome)  # one more or less: a bootstrap is not quite t
    wrong = counts["true"]["refuted"] + counts["false"]["supported"]
    assert wrong == 0


@pytest.mark.parametrize(
    "name", ["t", "Wilson", "bootstrap, BCa, clustered", "a study's quantity", "variance components"]
)
def test_coverage(name: str) -> None:
    for rate in simulated.coverage(100, resamples=200, only=[name]):
        assert 0.88 <= rate.found.value <= 0.995, rate  # 95 % ± 3 standard errors of .022


def test_ignoring_clusters_does_not_cover() -> None:
    (rate,) = simulated.coverage(60, resamples=200, only=["bootstrap, BCa, *not* clustered"])
    assert rate.found.value <= 0.85


def test_false_positives_stay_below_five_percent_after_correction() -> None:
    found = {rate.name: rate.found.value for rate in simulated.false_positives(100, resamples=200)}
    for name in ("permutation, clustered", "Wilcoxon", "Holm", "TOST"):
        assert found[name] <= 0.13, name  # 5 %: 14 of 100 or more has a chance of .0005
    assert found["Benjamini-Hochberg"] <= 0.1
    assert found["*no* correction"] >= 0.25  # 40 % expected
    assert found["permutation, *not* clustered"] >= 0.25
