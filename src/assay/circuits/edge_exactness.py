"""Approximate scores of edges against exact ones: a random sample of edges, on a random sample of examples.

Cost: a pass of the sample's examples for each of its edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float

from assay.circuits.approximation import FEWEST, approximation_error
from assay.circuits.graph import Graph
from assay.core.caveats import caveat
from assay.core.errors import SettingsError
from assay.core.progress import listening
from assay.core.protocols import Scores
from assay.core.seeds import child_seed
from assay.engine.edges.many import ManyCircuits
from assay.engine.edges.single import cut_each, why_whole

CHECK = "how many edges, drawn at random, are patched exactly to tell the error (0: none, at least 3 otherwise)"
SEED = "which edges and examples are drawn for that"
EXAMPLES = 8
"""Examples on which approximate and exact scores are compared."""


@dataclass
class Sample:
    """Some edges and examples, and the approximate scores there."""

    edges: np.ndarray
    """[edge, (sender, receiver)]."""
    rows: np.ndarray
    graph: Graph
    values: dict[int, np.ndarray] = field(default_factory=dict)
    seed: int = 0

    @classmethod
    def of(cls, graph: Graph, examples: int, check: int, seed: int) -> Sample:
        """A sample of `check` edges. Raises SettingsError for one too small to say anything."""
        if check != 0 and check < FEWEST:
            raise SettingsError(
                f"check={check}: expected 0, or at least {FEWEST} edges to compare with exact patching."
            )
        rng = np.random.default_rng(child_seed(seed, "edges to check"))
        every = np.argwhere(graph.allowed)
        edges = every[np.sort(rng.permutation(len(every))[:check])]
        return cls(edges, np.sort(rng.permutation(examples)[:EXAMPLES]), graph, seed=seed)

    def record(self, rows: Sequence[int], values: np.ndarray) -> None:
        """Approximate scores of some examples, [example, sender, receiver]."""
        for row, found in zip(rows, values, strict=True):
            if row in self.rows:
                self.values[row] = found[self.edges[:, 0], self.edges[:, 1]]

    @property
    def names(self) -> list[str]:
        """The edges' names."""
        return [f"{self.graph.senders[s]}->{self.graph.receivers[r]}" for s, r in self.edges]


def against_exact_edges(made: ManyCircuits, scores: Scores, sample: Sample, *, sign: float) -> Scores:
    """The scores, with how far they are from exact ones on the sample."""
    if len(sample.edges) < FEWEST:
        told = caveat("estimates that were not compared with exact patching")
        return replace(scores, facts=(*scores.facts, told))
    with listening(None):
        exact = sign * exact_effects(made, sample.edges, sample.rows.tolist()).values
    approximate = Scores.over_examples(
        sample.names, np.stack([sample.values[r] for r in sample.rows], 1), "approximate"
    )
    error = approximation_error(approximate, Scores.over_examples(sample.names, exact, "exact"), seed=sample.seed)
    where = f"compared on {len(sample.rows)} examples, {len(sample.edges)} of {len(scores):,} edges"
    return replace(scores, facts=(*scores.facts, where, *error.facts()))


@dataclass(frozen=True)
class Exact:
    """m(clean) − m(one edge cut), [edge, example], and how it was computed."""

    values: Float[np.ndarray, "edge example"]
    engine: str


def exact_effects(made: ManyCircuits, edges: np.ndarray, rows: Sequence[int] | None = None) -> Exact:
    """The exact effect of each edge ([edge, (sender, receiver)]) on each example, or on some of them."""
    allowed = torch.ones(1, len(made.senders), len(made.receivers))
    with listening(None):
        whole = next(iter(made.measure(allowed, rows=rows).values()))
    why = why_whole(made)
    if why is None:
        return Exact(
            whole - cut_each(made, [(int(s), int(r)) for s, r in edges], rows=rows), "scheduled: each from its layer on"
        )
    kept = allowed.repeat(len(edges), 1, 1)
    kept[torch.arange(len(edges)), torch.tensor(edges[:, 0]), torch.tensor(edges[:, 1])] = 0
    values = next(iter(made.measure(kept, rows=rows).values()))
    return Exact(whole - values, f"whole passes: {why}")
