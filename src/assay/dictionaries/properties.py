"""Which of two texts has a property: what a feature is asked to tell apart.

labelled pairs             the second of the two labels, in order (`positive` of negative and positive; True)
two answers in all pairs   the prompt whose right answer is the second of the two, in order
anything else              the clean prompt against its counterfactual
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from assay.data.pairs import Pairs


@dataclass(frozen=True)
class Property:
    """What is told apart, and for each pair whether it is the clean prompt that has it."""

    name: str
    clean_has_it: Bool[np.ndarray, " example"]

    def parted(
        self, clean: Float[np.ndarray, "*any example"], corrupt: Float[np.ndarray, "*any example"]
    ) -> tuple[Float[np.ndarray, "*any example"], Float[np.ndarray, "*any example"]]:
        """The numbers of the texts that have it, and of those that do not."""
        return np.where(self.clean_has_it, clean, corrupt), np.where(self.clean_has_it, corrupt, clean)


def property_of(pairs: Pairs) -> Property:
    """What these pairs tell apart."""
    labels = [(str(each.label), str(each.corrupt_label)) for each in pairs if each.label is not None]
    if len(labels) == len(pairs) and (found := _two(labels)):
        return Property(f"{found[1]} against {found[0]}", np.array([first == found[1] for first, _ in labels]))
    answers = [(str(each.answers[0]), str(each.wrong[0])) for each in pairs if each.answers and each.wrong]
    if len(answers) == len(pairs) and (found := _two(answers)):
        name = f"answer {found[1]!r} against {found[0]!r}"
        return Property(name, np.array([first == found[1] for first, _ in answers]))
    return Property("clean against counterfactual", np.ones(len(pairs), dtype=bool))


def _two(sides: list[tuple[str, str]]) -> tuple[str, str] | None:
    """Both labels, if there are two and the sides of each pair differ."""
    every = sorted({each for pair in sides for each in pair})
    return (every[0], every[1]) if len(every) == 2 and all(a != b for a, b in sides) else None


def auroc_values(
    having: Float[np.ndarray, "*any example"], lacking: Float[np.ndarray, "*any example"]
) -> Float[np.ndarray, "*any example"]:
    """A number for each pair whose mean is the AUROC, and whose spread is that of the AUROC over pairs.

    v_i = p_i + q_i − A, with p_i the share of texts without the property that the text with it of pair i is above (ties
    count half), q_i the share of texts with it that are above the one without it, A the AUROC: the mean of each of them
    (DeLong et al. 1988). So a bootstrap of means over pairs gives the AUROC's interval.

    >>> auroc_values(np.array([2.0, 1.0]), np.array([0.0, 1.0])).tolist()
    [1.125, 0.625]
    """
    n = having.shape[-1]
    both = rankdata(np.concatenate([having, lacking], axis=-1), axis=-1)
    above = (both[..., :n] - rankdata(having, axis=-1)) / n
    below = 1 - (both[..., n:] - rankdata(lacking, axis=-1)) / n
    return np.asarray(above + below - above.mean(-1, keepdims=True))


def paired_values(
    having: Float[np.ndarray, "*any example"], lacking: Float[np.ndarray, "*any example"]
) -> Float[np.ndarray, "*any example"]:
    """1 where the text with the property is above the other text of its pair, ½ where they are equal."""
    return np.asarray((having > lacking) + (having == lacking) / 2)
