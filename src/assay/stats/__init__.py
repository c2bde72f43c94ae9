"""Intervals, tests, effect sizes, agreement, power and controls. Each gives a value that prints itself and knows its method."""

from assay.stats.agreement import cohen_kappa, krippendorff_alpha
from assay.stats.bayes import BayesFactor, binomial_bayes, jzs
from assay.stats.bootstrap import Resampled, Units, bootstrap, bootstrap_difference, bootstrap_statistic
from assay.stats.correction import benjamini_hochberg, bonferroni_level, holm
from assay.stats.effect_size import cliffs_delta, cohen_d, hedges_g, odds_ratio, paired_dz
from assay.stats.equivalence import Equivalence, tost, tost_bootstrap
from assay.stats.estimate import Estimate, TestResult
from assay.stats.mean import mean, mean_difference
from assay.stats.overlap import jaccard, kendall, rank_biased_overlap, spearman, top_overlap
from assay.stats.paired import mcnemar, paired_t, wilcoxon
from assay.stats.permutation import paired_permutation, permutation
from assay.stats.power import Needed, needed_n, normal_differences, power, t_decision
from assay.stats.proportion import wilson
from assay.stats.seeds import SeedEffect, seed_effect
from assay.stats.value import Value, read_value

__all__ = [
    "Value",
    "Estimate",
    "TestResult",
    "Equivalence",
    "BayesFactor",
    "Needed",
    "SeedEffect",
    "read_value",
    "Units",
    "Resampled",
    "bootstrap",
    "bootstrap_difference",
    "bootstrap_statistic",
    "mean",
    "mean_difference",
    "wilson",
    "permutation",
    "paired_permutation",
    "paired_t",
    "wilcoxon",
    "mcnemar",
    "cohen_d",
    "hedges_g",
    "paired_dz",
    "cliffs_delta",
    "odds_ratio",
    "holm",
    "benjamini_hochberg",
    "bonferroni_level",
    "cohen_kappa",
    "krippendorff_alpha",
    "spearman",
    "kendall",
    "top_overlap",
    "rank_biased_overlap",
    "jaccard",
    "power",
    "needed_n",
    "normal_differences",
    "t_decision",
    "seed_effect",
    "tost",
    "tost_bootstrap",
    "jzs",
    "binomial_bayes",
]
