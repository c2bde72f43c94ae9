"""Information-flow routes: how much of what a receiver reads comes from each sender, from one forward pass.

A part c of a sum y has the overlap max(0, ‖y‖₁ − ‖y − c‖₁): how far c alone goes towards y. Its importance is its share of
the overlaps of all parts. No metric, no counterfactual, no gradient: it says what a stream is made of, not what the
behaviour depends on.

    edges   the share of each sender in what each receiver reads, averaged over positions and prompts; for `logits` at the
            last position. All queries, keys and values of a layer read one stream, and get the same shares
    nodes   the flow that passes a head or MLP when 1 is sent from the last position's final stream down to the embeddings,
            splitting in each layer by these shares: into the MLP's part and the rest, which both go on from the same
            position, and into what each head brought from each position, which goes on from there. Every layer that
            mixes positions must have heads

Norms are held at their scales; biases count for nothing. A post-norm stream (BERT) is no sum, and is refused. Cost: one
forward pass of all examples; for edges layers² · heads · tokens · d_model operations, for nodes layers · heads · tokens² ·
d_model. Source: Ferrando & Voita 2024, arXiv:2403.00824.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from assay.circuits.contributions import SITES, Layer, overlap
from assay.circuits.graph import ARROW, Graph
from assay.circuits.layers import layers_of
from assay.core.errors import SiteError
from assay.core.protocols import Scores, head_name
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model

ROWS = 4
"""Prompts in one pass: all heads' outputs at all positions are in memory together."""


@method(
    gives=Scores,
    cites="arXiv:2403.00824",
    cost="one forward pass of all clean prompts",
    assumes="that a part which goes far towards a sum matters for what reads the sum",
    fails_when="a large part is ignored by what reads it, or a small one decides: nothing causal is measured",
)
def information_flow(
    model: Model, pairs: Pairs, *, level: Annotated[Literal["node", "edge"], "heads and MLPs, or edges between them"]
) -> Scores:
    """What streams are made of: the share of each sender in what is read, or the flow through each head and MLP."""
    if "post-norm" in model.network.structure.kinds.values() or model.network.structure.rescaled:
        raise SiteError(
            "information flow shares out sums, and this model norms or multiplies its stream on its way: use eap or "
            "edge_patching."
        )
    if level == "node" and any(layer.keys is not None for layer in layers_of(model, "heads")):
        raise SiteError(
            "information flow of nodes follows each layer's own values, and here some are an earlier layer's."
        )
    graph = Graph.of(model) if level == "edge" else Graph(layers_of(model, "heads"))
    if not _one_sum(model, graph):
        raise SiteError(
            "information flow shares out one sum, and this model's streams are joined between layers, or go side by side or "
            "past them: use edge_patching."
        )
    names: list[str] = []
    parts: list[tuple[list[int], np.ndarray]] = []
    for numbers, layers in _runs(model, pairs):
        names, found = _edges(layers, graph) if level == "edge" else _nodes(layers, graph)
        parts.append((numbers, found))
    rows = np.empty((len(names), len(pairs)))
    for numbers, found in parts:
        rows[:, numbers] = found
    what = (
        "share of the receiver's input (L1 overlap)" if level == "edge" else "flow from the last position (L1 overlap)"
    )
    facts = [f"clean prompts, n = {len(pairs)}", "norms held at their scales; nothing causal is measured"]
    return Scores.over_examples(names, rows, what, facts)


def _one_sum(model: Model, graph: Graph) -> bool:
    """Whether a layer's stream is the one before it and what it adds, where the sites of the two say so."""
    wires = wiring(model.network)
    past = wires.beside and len(graph.layers) - 1 not in graph.blocks
    ends = {(block.port.site.name.name, block.leaves.name.name) for block in map(wires.block, graph.blocks)}
    return ends <= {("resid_pre", "resid_post")} and not any(norm.between for norm in wires.norms) and not past


def _runs(model: Model, pairs: Pairs) -> Iterator[tuple[list[int], list[Layer]]]:
    """Some prompts of one length at a time: their numbers, and their layers."""
    sites = [
        str(site)
        for name in (*SITES, "ssm_out")
        for site in model.sites
        if site.name.name == name and site.name.stack is None
    ]
    lengths = np.array(pairs.lengths)
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length).tolist()
        for start in range(0, len(alike), ROWS):
            numbers = alike[start : start + ROWS]
            run = model.run(pairs.take(numbers).clean_tokens, capture=sites)
            yield numbers, [Layer(model, run, layer) for layer in range(model.n_layers)]


def _edges(layers: list[Layer], graph: Graph) -> tuple[list[str], np.ndarray]:
    """The share of each edge on each prompt."""
    senders: list[tuple[str, Tensor]] = [("embed", layers[0]["resid_pre"])]
    shares: dict[str, np.ndarray] = {}
    for layer, shape in zip(layers, graph.layers, strict=True):
        own = list(layer.senders(whole=shape.whole)) if not shape.block else [layer.all()]
        entering = _shares(senders, layer["resid_pre"])
        shares |= {f"L{layer.number}.attn": entering, f"L{layer.number}.block": entering}
        before = senders if shape.parallel else [*senders, *(each for each in own if not each[0].endswith("mlp"))]
        if shape.mlp:
            stream = layer["resid_pre"] if shape.parallel or not layer.has("resid_mid") else layer["resid_mid"]
            shares[f"L{layer.number}.mlp"] = _shares(before, stream)
        senders = [*senders, *own]
    shares["logits"] = _shares([(name, value[:, -1:]) for name, value in senders], layers[-1]["resid_post"][:, -1:])
    names, rows = [], []
    for edge in graph.edges:
        sender, receiver = edge.split(ARROW)
        read = receiver if receiver in shares else f"{receiver.split('.')[0]}.attn"
        names.append(edge)
        rows.append(shares[read][graph.sender(sender)])
    return names, np.stack(rows)


def _shares(parts: list[tuple[str, Tensor]], whole: Tensor) -> np.ndarray:
    """[part, example]: each part's share of all overlaps, averaged over positions."""
    found = torch.stack([overlap(value, whole) for _, value in parts])
    shares: np.ndarray = _normal(found).mean(-1).double().cpu().numpy()
    return shares


def _normal(overlaps: Tensor) -> Tensor:
    """Shares along the first axis; zero where nothing overlaps."""
    total = overlaps.sum(0, keepdim=True)
    return torch.where(total > 0, overlaps / total.clamp(min=torch.finfo(total.dtype).tiny), torch.zeros_like(overlaps))


def _nodes(layers: list[Layer], graph: Graph) -> tuple[list[str], np.ndarray]:
    """The flow through each head and MLP, for each prompt."""
    batch, length = layers[0]["resid_pre"].shape[:2]
    flow = torch.zeros(batch, length).to(layers[0]["resid_pre"])
    flow[:, -1] = 1
    through: dict[str, Tensor] = {}
    for layer, shape in zip(reversed(layers), reversed(graph.layers), strict=True):
        if shape.parallel:
            flow = _split(layer, layer["resid_post"], flow, through, with_mlp=True)
            continue
        if shape.mlp:
            mlp = _normal(torch.stack([overlap(layer[s], layer["resid_post"]) for s in ("mlp_out", "resid_mid")]))
            through[f"L{layer.number}.mlp"] = (flow * mlp[0]).sum(1)
        if layer.has("head_out"):
            whole = layer["resid_mid"] if shape.mlp else layer["resid_post"]
            flow = _split(layer, whole, flow, through, with_mlp=False)
    names = [name for name in graph.senders if name in through]
    return names, np.stack([through[name].double().cpu().numpy() for name in names])


def _split(layer: Layer, whole: Tensor, flow: Tensor, through: dict[str, Tensor], *, with_mlp: bool) -> Tensor:
    """Send the flow at each position on to the positions that its stream was made from."""
    stays = overlap(layer["resid_pre"], whole)
    mlp = overlap(layer["mlp_out"], whole) if with_mlp else torch.zeros_like(stays)
    count = layer["z"].shape[2]
    brought = [overlap(layer.moved(head), whole[:, :, None]) for head in range(count)]
    total = (stays + mlp + torch.stack(brought).sum((0, -1))).clamp(min=torch.finfo(stays.dtype).tiny)
    weight = flow / total
    if with_mlp:
        through[f"L{layer.number}.mlp"] = (weight * mlp).sum(1)
    down = weight * (stays + mlp)
    for head, each in enumerate(brought):
        moved = weight[:, :, None] * each
        through[head_name(layer.number, head)] = moved.sum((1, 2))
        down = down + moved.sum(1)
    return down
