"""What makes a truth true, by exact ablation of edges."""

from __future__ import annotations

from tests.truth.exact import Parts, logit_diffs, without

from assay.training.planted import Situation

SHOWS = 0.05
"""The least that an edge of a circuit moves the logit difference, as a share of the whole effect; the weakest here is 0.1."""


def effect(planted: Situation, ablation: str) -> float:
    """What there is to lose: everything against nothing kept."""
    whole, nothing = logit_diffs(planted, [Parts.of(planted.model.native).edges, ()], ablation)
    return float((whole - nothing).abs().mean())


def the_circuit_alone_is_enough(planted: Situation, ablation: str) -> None:
    whole, kept = logit_diffs(planted, [Parts.of(planted.model.native).edges, planted.truth(ablation).edges], ablation)
    assert float((whole - kept).abs().mean()) <= planted.tolerance * effect(planted, ablation)


def an_edge_outside_does_nothing(planted: Situation, ablation: str) -> None:
    outside = sorted(set(Parts.of(planted.model.native).edges) - planted.truth(ablation).edges)
    whole = logit_diffs(planted, [Parts.of(planted.model.native).edges], ablation)
    moved = (without(planted, [[edge] for edge in outside], ablation) - whole).abs().mean(1)
    assert float(moved.max()) <= planted.tolerance * effect(planted, ablation)


def every_edge_does_something(planted: Situation, ablation: str) -> None:
    """By itself, or, where parts stand in for one another, once the others of its group are gone."""
    least = SHOWS * effect(planted, ablation)
    edges = sorted(planted.truth(ablation).edges)
    whole = logit_diffs(planted, [Parts.of(planted.model.native).edges], ablation)
    alone = (without(planted, [[edge] for edge in edges], ablation) - whole).abs().mean(1)
    silent = [edge for edge, moved in zip(edges, alone, strict=True) if float(moved) < least]
    for edge in silent:
        groups = [group & planted.truth(ablation).edges for group in planted.redundant if edge in group]
        assert groups, f"{edge} does nothing by itself, and no group has it"
        after = without(planted, [*groups, *(group - {edge} for group in groups)], ablation)
        moved = (after[: len(groups)] - after[len(groups) :]).abs().mean(1)
        assert float(moved.max()) >= least, f"{edge} does nothing even where its group is gone"


def a_smaller_circuit_is_not_enough(planted: Situation) -> None:
    """Under the counterfactual: without any one edge, the rest of the circuit alone falls short."""
    ablation = "counterfactual"
    truth = planted.truth(ablation).edges
    edges = sorted(truth - frozenset().union(*planted.redundant))
    whole = logit_diffs(planted, [truth], ablation)
    moved = (without(planted, [[edge] for edge in edges], ablation, kept=truth) - whole).abs()
    assert float(moved.mean(1).min()) >= SHOWS * effect(planted, ablation)
