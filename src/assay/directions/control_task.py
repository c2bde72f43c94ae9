"""A control task: does the probe learn anything it is told? Hewitt and Liang 2019, arXiv:1909.03368.

Every content (the names in an example, and which of its prompts it is) gets a fixed random label, whatever its wording. A probe
that reaches these labels on held-out wordings has memorised contents. Selectivity is its accuracy on the true labels minus
that on random ones. Contents that occur once can't be memorised; how many of the held-out ones were seen is said beside it.

Cost: one more fit for each fold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from assay.core.seeds import child_seed
from assay.directions.labels import Prompts
from assay.directions.measuring import right

Guess = Callable[[Int[np.ndarray, " prompt"]], Int[np.ndarray, " prompt"]]
"""From labels to what a probe guesses of each prompt when it is held out."""


@dataclass(frozen=True, eq=False)
class ControlTask:
    """Accuracy on random labels, and the share of held-out contents that were seen in training."""

    accuracy: float
    seen: float


def control_task(prompts: Prompts, fold: Int[np.ndarray, " prompt"], guess: Guess, *, seed: int) -> ControlTask:
    """How well the probe learns a fixed random label for each content."""
    contents = _contents(prompts)
    rng = np.random.default_rng(child_seed(seed, "control task"))
    drawn = {content: int(rng.integers(len(prompts.labels))) for content in dict.fromkeys(contents)}
    random = replace(prompts, y=np.array([drawn[content] for content in contents]))
    found: Float[np.ndarray, " pair"] = right(guess(random.y), random)
    seen = [any(contents[j] == each for j in np.flatnonzero(fold != fold[i])) for i, each in enumerate(contents)]
    return ControlTask(float(found.mean()), float(np.mean(seen)))


def _contents(prompts: Prompts) -> list[tuple[object, ...]]:
    """What an example is about, whatever its wording; its tokens where that is not said."""
    examples = prompts.pairs.examples
    return [
        (examples[unit].names or prompts.tokens[i], int(prompts.y[i])) for i, unit in enumerate(prompts.unit.tolist())
    ]
