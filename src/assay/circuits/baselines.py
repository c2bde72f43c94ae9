"""Scores that a method must beat: random, sizes of weights, activations and gradients, and depth; for nodes and edges.

None of them replaces anything. What ranks parts no better than these has found that large or late parts matter, or nothing.
An edge gets the product of its ends' scores, or their sum; `embed`, `logits` and parts without a score count for nothing: the
edge has its other end's score.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import torch
from torch import nn

from assay.circuits.ablation import Counterfactual
from assay.circuits.claims import BASELINE
from assay.circuits.first_order import chunks, gradients, positions_first
from assay.circuits.graph import ARROW, Graph
from assay.circuits.intervention import intervene
from assay.circuits.measuring import METRIC, AMetric, as_metric
from assay.circuits.places import GRANULARITY, Granularity, Part, parts_of
from assay.core.errors import SettingsError, SiteError
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.models.offloaded import weight_of
from assay.models.taps import Direct, HeadOut, output_weight

CITES = "none: a baseline"
POINT = "it is right only by chance: that is the point of a baseline"
WEIGHED = ("head", "attn", "mlp", "neuron")


@method(gives=Scores, cites=CITES, cost="none", assumes="nothing", fails_when=POINT, claim=BASELINE)
def random_scores(
    model: Model,
    pairs: Pairs,
    *,
    granularity: Annotated[Granularity, GRANULARITY],
    seed: Annotated[int, "which random numbers"],
) -> Scores:
    """A random order: uniform numbers from a seed."""
    parts = parts_of(model, granularity)
    values = np.random.default_rng(seed).random(len(parts))
    return _of(parts, dict(zip((part.name for part in parts), values, strict=True)), f"random, seed {seed}")


@method(
    gives=Scores, cites=CITES, cost="none", assumes="that later parts matter more", fails_when=POINT, claim=BASELINE
)
def depths(model: Model, pairs: Pairs, *, granularity: Annotated[Granularity, GRANULARITY]) -> Scores:
    """How deep each part lies: its layer's number from 1, over the number of layers."""
    parts = parts_of(model, granularity)
    return _of(parts, {part.name: (part.layer + 1) / model.n_layers for part in parts}, "depth")


@method(
    gives=Scores,
    cites=CITES,
    cost="none: reads the weights",
    assumes="that larger weights matter more",
    fails_when=POINT,
    claim=BASELINE,
)
def weight_norms(model: Model, pairs: Pairs, *, granularity: Annotated[Granularity, GRANULARITY]) -> Scores:
    """The Frobenius norm of the weights with which each head, attention layer, MLP or neuron writes."""
    if granularity not in WEIGHED:
        raise SettingsError(f"{granularity} has no output weights of its own: expected {', '.join(WEIGHED)}.")
    parts = parts_of(model, granularity)
    norms = {layer: _output_norms(model, layer, granularity) for layer in sorted({part.layer for part in parts})}
    found = {
        part.name: float(norms[part.layer].norm() if part.index is None else norms[part.layer][part.index])
        for part in parts
    }
    return _of(parts, found, "Frobenius norm of the output weights")


@method(
    gives=Scores,
    cites=CITES,
    cost="one forward pass of all clean prompts",
    assumes="that larger values matter more",
    fails_when=POINT,
    claim=BASELINE,
)
def activation_norms(model: Model, pairs: Pairs, *, granularity: Annotated[Granularity, GRANULARITY]) -> Scores:
    """The mean norm of each part's value over the positions of the clean prompts (of a neuron: its size)."""
    parts = parts_of(model, granularity)
    sites = _sites(parts)
    made = intervene(model, pairs, parts, ablation=Counterfactual(), direction="noise", metric=as_metric("logit_diff"))
    found = np.zeros((len(parts), len(pairs)))
    for chunk in chunks(made):
        run = model.run(pairs.take(chunk.rows).clean_tokens, capture=sites)
        found[:, list(chunk.rows)] = _norms(parts, {site: positions_first(site, run[site]) for site in sites})
    return Scores.over_examples([part.name for part in parts], found, "mean norm of the value", [f"n = {len(pairs)}"])


@method(
    gives=Scores,
    cites=CITES,
    cost="one forward and one backward pass of all clean prompts",
    assumes="that what the metric is sensitive to matters, whatever its value does",
    fails_when=POINT,
    claim=BASELINE,
)
def gradient_norms(
    model: Model, pairs: Pairs, *, granularity: Annotated[Granularity, GRANULARITY], metric: Annotated[AMetric, METRIC]
) -> Scores:
    """The mean norm of the metric's gradient at each part over the positions of the clean prompts."""
    parts = parts_of(model, granularity)
    made = intervene(model, pairs, parts, ablation=Counterfactual(), direction="noise", metric=as_metric(metric))
    found = np.zeros((len(parts), len(pairs)))
    for chunk in chunks(made):
        found[:, list(chunk.rows)] = _norms(parts, gradients(model, made, chunk, sites=_sites(parts)))
    return Scores.over_examples(
        [part.name for part in parts], found, "mean norm of the gradient", [f"n = {len(pairs)}"]
    )


@method(
    gives=Scores,
    cites=CITES,
    cost="none",
    assumes="that an edge matters as its ends do",
    fails_when=POINT,
    claim=BASELINE,
)
def edge_baseline(
    model: Model,
    pairs: Pairs,
    *,
    scores: Scores,
    combine: Annotated[Literal["product", "sum"], "how an edge's score comes from those of its ends"],
) -> Scores:
    """Scores of edges from scores of heads and MLPs: product, or sum, of both ends'."""
    graph = Graph.of(model)
    known = dict(zip(scores.components, scores.values.tolist(), strict=True))
    neutral = 1.0 if combine == "product" else 0.0
    found: dict[str, float] = {}
    for edge in graph.edges:
        sender, receiver = edge.split(ARROW)
        owner = receiver if receiver.endswith(("mlp", "attn", "logits")) else receiver.rsplit(".", 1)[0]
        ends = [known.get(name, neutral) for name in (sender, owner)]
        found[edge] = ends[0] * ends[1] if combine == "product" else ends[0] + ends[1]
    return Scores.of(found, f"{combine} of both ends' {scores.quantity}", scores.facts)


def _of(parts: tuple[Part, ...], values: Mapping[str, float], quantity: str) -> Scores:
    return Scores.of({part.name: float(values[part.name]) for part in parts}, quantity)


def _sites(parts: tuple[Part, ...]) -> list[str]:
    return list(dict.fromkeys(site for part in parts for site in part.sites))


def _norms(parts: tuple[Part, ...], values: Mapping[str, torch.Tensor]) -> np.ndarray:
    """[part, example]: the norm over a part's entries (of all its sites), averaged over positions."""
    squares = {site: value.detach().double().square().cpu() for site, value in values.items()}
    squares = {site: value if site.endswith(".mlp_post") else value.sum(-1) for site, value in squares.items()}
    cells = []
    for part in parts:
        own = [squares[site] if part.index is None else squares[site][:, :, part.index] for site in part.sites]
        cells.append(torch.stack(own).sum(0).sqrt().mean(1).numpy())
    return np.stack(cells)


def _output_norms(model: Model, layer: int, granularity: str) -> torch.Tensor:
    """The norm of each head's, or each neuron's, output weights."""
    if granularity in ("head", "attn"):
        tap = model.site(f"L{layer}.head_out").tap
        assert isinstance(tap, HeadOut)  # the site exists
        module = model.native.get_submodule(tap.projection)
        weight = output_weight(module, model.site(f"L{layer}.z").sizes["head"], turned=tap.turned)
        by_head: torch.Tensor = weight.detach().float().flatten(1).norm(dim=1)
        return by_head
    tap = model.site(f"L{layer}.mlp_post").tap
    down = weight_of(model.native.get_submodule(tap.port.module), "weight") if isinstance(tap, Direct) else None
    if down is None:
        raise SiteError(f"layer {layer}: the MLP's output projection is not known.")
    linear = isinstance(model.native.get_submodule(tap.port.module), nn.Linear)
    by_neuron: torch.Tensor = down.detach().float().norm(dim=0 if linear else 1)
    return by_neuron
