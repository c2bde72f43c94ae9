"""Two scores of the same components as one, so that a ranking can weigh being enough and being needed alike."""

from __future__ import annotations

import numpy as np
from scipy import stats

from assay.circuits.claims import COMPARED
from assay.core.caveats import caveat
from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.engine.model import Model


@method(
    gives=Scores,
    cites="arXiv:2404.15255",
    cost="none",
    assumes="that both scores are on the same scale",
    fails_when="one of the two is mostly noise",
    claim=COMPARED,
)
def average_scores(model: Model, pairs: Pairs, *, first: Scores, second: Scores) -> Scores:
    """The mean of two scores of the same components on the same examples."""
    if first.components != second.components:
        raise DataError("Only scores of the same components in the same order can be averaged.")
    facts = tuple(dict.fromkeys((*first.facts, *second.facts, _agreement(first, second))))
    quantity = f"mean of: {first.quantity}; {second.quantity}"
    if first.per_example is None or second.per_example is None:
        return Scores(first.components, (first.values + second.values) / 2, quantity, facts=facts)
    rows = np.mean([first.per_example, second.per_example], axis=0)
    return Scores.over_examples(first.components, rows, quantity, facts)


def _agreement(first: Scores, second: Scores) -> str:
    """How far the two scores say the same."""
    if len(first) < 3 or np.ptp(first.values) == 0 or np.ptp(second.values) == 0:
        return caveat("the two scores that are averaged can't be compared: too few components, or all alike")
    k = max(1, min(10, len(first) // 2))
    rank = float(stats.spearmanr(first.values, second.values).statistic)
    both = len(set(first.top(k)) & set(second.top(k)))
    return caveat(
        f"the two scores that are averaged share {both} of their top {k} components and correlate at "
        f"r = {float(np.corrcoef(first.values, second.values)[0, 1]):.2f} (ranks: {rank:.2f})"
    )
