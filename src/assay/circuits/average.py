"""Two scores of the same components as one, so that a ranking can weigh being enough and being needed alike."""

from __future__ import annotations

import numpy as np

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
)
def average_scores(model: Model, pairs: Pairs, *, first: Scores, second: Scores) -> Scores:
    """The mean of two scores of the same components on the same examples."""
    if first.components != second.components:
        raise DataError("Only scores of the same components in the same order can be averaged.")
    facts = tuple(dict.fromkeys((*first.facts, *second.facts)))
    quantity = f"mean of: {first.quantity}; {second.quantity}"
    if first.per_example is None or second.per_example is None:
        return Scores(first.components, (first.values + second.values) / 2, quantity, facts=facts)
    rows = np.mean([first.per_example, second.per_example], axis=0)
    return Scores.over_examples(first.components, rows, quantity, facts)
