"""What a classifier of words makes of the texts: the rival of every feature that is said to mean something."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from assay.data.pairs import Pairs
from assay.dictionaries.properties import Property
from assay.stats.controls.texts import FOLDS, Labelled, ngrams


def word_readings(
    pairs: Pairs, about: Property, *, seed: int
) -> tuple[Float[np.ndarray, " example"], Float[np.ndarray, " example"]]:
    """How much the words of each clean prompt, and of each counterfactual, speak for the property.

    A ridge classifier on word counts; each pair is read by one that was fitted on the other folds. Texts of token ids have
    the ids for words.
    """
    n = len(pairs)
    texts = (*(each.clean for each in pairs), *(each.corrupt for each in pairs))
    labels = (*about.clean_has_it.tolist(), *(~about.clean_has_it).tolist())
    data = Labelled(texts, labels, ((False, True),) * (2 * n), tuple(range(n)) * 2)
    fold = (np.random.default_rng(seed).permutation(n) % min(FOLDS, n))[list(data.groups)]
    found = np.zeros(2 * n)
    for each in range(min(FOLDS, n)):
        scores = ngrams(1)(data, fold != each)
        found[fold == each] = (scores[:, 1] - scores[:, 0])[fold == each]
    return found[:n], found[n:]
