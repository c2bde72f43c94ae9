"""Intervals, tests and corrections. Each gives a value that prints itself and knows its method."""

from assay.stats.bootstrap import Units, bootstrap, bootstrap_difference, bootstrap_statistic
from assay.stats.correction import bonferroni_level, holm
from assay.stats.estimate import Estimate, TestResult
from assay.stats.permutation import paired_permutation
from assay.stats.proportion import wilson

__all__ = [
    "Estimate",
    "TestResult",
    "bootstrap",
    "bootstrap_difference",
    "bootstrap_statistic",
    "Units",
    "wilson",
    "paired_permutation",
    "holm",
    "bonferroni_level",
]
