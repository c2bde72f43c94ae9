"""A situation: a model with a known circuit, the prompts that show it, and the truth under each ablation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from assay.core.errors import DataError, nearest
from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.training.planted.wiring import Wiring

Ablation = Literal["zero", "mean", "resample", "counterfactual"]
VARYING: tuple[Ablation, ...] = ("mean", "resample", "counterfactual")
"""Ablations that put another prompt's value, or a mean over prompts at the same position, in place of a part's own: what is
the same in all prompts does not change."""


@dataclass(frozen=True)
class Truth:
    """The true circuit: its edges, named as everywhere in assay."""

    edges: frozenset[str]

    @property
    def nodes(self) -> frozenset[str]:
        """The parts that send over these edges: heads, MLPs, `embed`."""
        return frozenset(edge.partition("->")[0] for edge in self.edges)


@dataclass(frozen=True)
class Situation:
    """A model, pairs of prompts, and which edges carry the behaviour, by construction."""

    name: str
    model: Model = field(repr=False)
    pairs: Pairs = field(repr=False)
    truths: Mapping[str, Truth] = field(repr=False)
    """By ablation: zero, mean (at each position, over the counterfactual prompts), resample, counterfactual."""
    notes: str
    roles: Mapping[str, str] = field(default_factory=dict)
    """What a node does."""
    redundant: tuple[frozenset[str], ...] = ()
    """Groups of edges in which one shows what it does only where the others are missing."""
    tolerance: float = 1e-3
    """How much the edges outside the truth can move the logit difference together, as a share of the whole effect."""

    def truth(self, ablation: str) -> Truth:
        """The true circuit under an ablation.

        Raises:
            DataError: it is not known under this one.
        """
        if ablation not in self.truths:
            known = ", ".join(self.truths)
            raise DataError(
                f"The truth of {self.name!r} is known under {known}; not under {ablation!r}.{nearest(ablation, self.truths)}"
            )
        return self.truths[ablation]


def truths_of(wiring: Wiring) -> dict[str, Truth]:
    """Under zero ablation every edge that something is read over counts; under the others, those over which it varies."""
    varying = Truth(wiring.edges(varying=True))
    return {"zero": Truth(wiring.edges(varying=False)), **dict.fromkeys(VARYING, varying)}


def example(clean: tuple[int, ...], corrupt: tuple[int, ...], *, answer: int, wrong: int) -> Example:
    """A pair of prompts in token ids, asked for at the last position; the counterfactual's answer is the wrong one."""
    return Example(
        clean=clean,
        corrupt=corrupt,
        answers=(answer,),
        wrong=(wrong,),
        corrupt_answers=(wrong,),
        corrupt_wrong=(answer,),
    )
