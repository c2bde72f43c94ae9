"""Which pairs are held out together: whole wordings, so that no fit is judged on a wording that it has seen."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from assay.core.seeds import child_seed
from assay.directions.labels import Prompts

FOLDS = 5


def folds(prompts: Prompts, *, seed: int) -> tuple[Int[np.ndarray, " prompt"], str]:
    """A fold for each prompt, and how they were made: a wording in turn, or pairs at random where there is one wording."""
    templates = [example.template for example in prompts.pairs]
    names = list(dict.fromkeys(templates))
    if len(names) > 1:
        of = np.array([names.index(each) % FOLDS for each in templates])
        return of[prompts.unit], f"held out by wording ({len(names)} wordings)"
    order = np.random.default_rng(child_seed(seed, "folds")).permutation(prompts.n)
    return (order % min(FOLDS, prompts.n))[prompts.unit], "held out at random, since there is one wording"
