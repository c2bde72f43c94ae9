"""The methods of localisation that are scored on planted truth, each called as a user would, at three levels.

edges: every edge of the graph. nodes: heads and MLPs. readers: queries and keys of heads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from assay.circuits import (
    ablate,
    acdc,
    activation_norms,
    atp_star,
    attribution_patching,
    eap,
    eap_ig,
    edge_baseline,
    edge_mask,
    edge_patching,
    gradient_norms,
    information_flow,
    random_scores,
    relevance_patching,
    weight_norms,
)
from assay.circuits.ablation import AnyAblation, Mean, as_ablation
from assay.circuits.edge_mask import MaskTraining
from assay.core.protocols import Scores
from assay.stats.ranking import Found, found
from assay.training.planted import Situation

Contestant = Callable[[Situation, str, int], Scores]
"""A situation, an ablation by name, and a seed, to scores."""
METRIC = "logit_diff"
ACDC_SHARE = 0.02
"""ACDC keeps an edge whose cut moves the logit difference by this share of the whole effect, either way."""
MASK = MaskTraining(steps=80, rate=0.2)
"""Enough for these graphs of a few dozen edges, which start with all of them kept."""


def ablation_of(name: str) -> AnyAblation:
    """Ablations as the truths mean them: a mean is taken at each position."""
    return Mean(over="counterfactual", positions="each") if name == "mean" else as_ablation(name)


def settings(ablation: str) -> dict[str, object]:
    return {"ablation": ablation_of(ablation), "metric": METRIC}


# -- edges --------------------------------------------------------------------------------------------------------------


def _random_edges(planted: Situation, ablation: str, seed: int) -> Scores:
    edges = information_flow(planted.model, planted.pairs[:2], level="edge").components
    return Scores(edges, np.random.default_rng(seed).random(len(edges)), "random")


def _norms(planted: Situation, ablation: str, seed: int) -> Scores:
    nodes = joined(planted, partial(activation_norms, planted.model, planted.pairs))
    return edge_baseline(planted.model, planted.pairs, scores=nodes, combine="product")


def _acdc(planted: Situation, ablation: str, seed: int) -> Scores:
    model, pairs = planted.model, planted.pairs
    empty = edge_patching(model, pairs, **settings(ablation), senders="embed")  # type: ignore[arg-type]
    tau = ACDC_SHARE * float(np.abs(empty.values).max())
    found = acdc(model, pairs, tau=tau, absolute=True, **settings(ablation))  # type: ignore[arg-type]
    kept = set(found.graph.names(found.mask))
    return Scores.of({edge: float(edge in kept) for edge in found.graph.edges}, "is in ACDC's circuit")


def _mask(kind: str) -> Contestant:
    def run(planted: Situation, ablation: str, seed: int) -> Scores:
        size = len(planted.truth(ablation).edges)
        more = {"size": size, "kind": kind, "seed": seed, "training": MASK}
        # as probabilities: what is kept or not is told from 0, not by the size of a log odds below it
        found = edge_mask(planted.model, planted.pairs, **settings(ablation), **more)  # type: ignore[arg-type]
        return Scores(found.components, 1 / (1 + np.exp(-found.values)), "probability to be kept")

    return run


def _edges(method: Callable[..., Scores], **more: object) -> Contestant:
    return lambda planted, ablation, seed: method(planted.model, planted.pairs, **settings(ablation), **more)


EDGES: Mapping[str, Contestant] = {
    "random": _random_edges,
    "activation norms": _norms,
    "information flow": lambda planted, ablation, seed: information_flow(planted.model, planted.pairs, level="edge"),
    "EAP": _edges(eap, check=0),
    "EAP-IG, inputs": _edges(eap_ig, path="inputs", check=0),
    "EAP-IG, activations": _edges(eap_ig, path="activations", check=0),
    "learned mask, top k": _mask("top_k"),
    "learned mask, hard concrete": _mask("hard_concrete"),
    "ACDC": _acdc,
    "exact edge patching": _edges(edge_patching),
}


# -- nodes --------------------------------------------------------------------------------------------------------------


def joined(planted: Situation, method: Callable[..., Scores]) -> Scores:
    """A method's scores of heads, and of MLPs where the model has any, in one."""
    kinds = ("head", "mlp") if planted.model.why_not("L0.mlp_out") is None else ("head",)
    return _all(method(granularity=kind) for kind in kinds)


def _all(parts: object) -> Scores:
    found: dict[str, float] = {}
    for scores in parts:  # type: ignore[attr-defined]
        found |= dict(zip(scores.components, scores.values.tolist(), strict=True))
    return Scores.of(found, scores.quantity)


def _nodes(method: Callable[..., Scores], **more: object) -> Contestant:
    def run(planted: Situation, ablation: str, seed: int) -> Scores:
        return joined(planted, partial(method, planted.model, planted.pairs, **more))

    return run


def _attributed(method: Callable[..., Scores], kinds: tuple[str, ...] = (), **more: object) -> Contestant:
    """Methods that take an ablation; `kinds` instead of heads and MLPs."""

    def run(planted: Situation, ablation: str, seed: int) -> Scores:
        chosen = partial(method, planted.model, planted.pairs, **settings(ablation), **more)
        return _all(chosen(granularity=kind) for kind in kinds) if kinds else joined(planted, chosen)

    return run


def _random_nodes(planted: Situation, ablation: str, seed: int) -> Scores:
    return joined(planted, partial(random_scores, planted.model, planted.pairs, seed=seed))


FIRST_ORDER = {"direction": "noise", "check": 0}
NODES: Mapping[str, Contestant] = {
    "random": _random_nodes,
    "weight norms": _nodes(weight_norms),
    "activation norms": _nodes(activation_norms),
    "gradient norms": _nodes(gradient_norms, metric=METRIC),
    "information flow": lambda planted, ablation, seed: information_flow(planted.model, planted.pairs, level="node"),
    "AtP": _attributed(attribution_patching, **FIRST_ORDER),
    "relevance": _attributed(relevance_patching, **FIRST_ORDER, frozen=("patterns",)),
    "AtP with GradDrop": _attributed(atp_star, **FIRST_ORDER, qk_fix=False),
    "exact ablation": _attributed(ablate),
}
READERS: Mapping[str, Contestant] = {
    "AtP": _attributed(attribution_patching, ("q", "k"), **FIRST_ORDER),
    "AtP with QK fix": _attributed(atp_star, ("q", "k"), **FIRST_ORDER, grad_drop=False),
    "AtP*: both": _attributed(atp_star, ("q", "k"), **FIRST_ORDER),
    "exact ablation": _attributed(ablate, ("q", "k")),
}
LEVELS: Mapping[str, Mapping[str, Contestant]] = {"edges": EDGES, "nodes": NODES, "readers": READERS}


def wanted(planted: Situation, ablation: str, level: str) -> frozenset[str]:
    """The truth at a level."""
    truth = planted.truth(ablation)
    if level == "edges":
        return truth.edges
    if level == "nodes":
        return truth.nodes - {"embed"}
    return frozenset(to for edge in truth.edges if (to := edge.partition("->")[2])[-2:] in (".q", ".k"))


def scored(scores: Scores, truth: frozenset[str]) -> Found:
    """AUROC and average precision by size. What is below a billionth of the largest score is rounding, and no score."""
    sizes = np.abs(scores.values)
    kept = np.where(sizes > 1e-9 * sizes.max(), sizes, 0.0)
    return found(Scores(scores.components, kept, scores.quantity), truth)
