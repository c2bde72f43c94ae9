"""Keys and values that a later layer takes over, and MLPs that are all the rest of a layer: Gemma 4's small models."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from tests.circuits.test_edge_attribution import mask_derivative
from tests.conformance import zoo
from tests.engine.edges.test_whole import EXACT, cut, off, prompts
from tests.tiny_pairs import pairs_of_ids

from assay.circuits import eap, edge_patching
from assay.circuits.circuit import Circuit
from assay.circuits.graph import Graph
from assay.circuits.layers import Layer
from assay.circuits.mib_format import to_mib
from assay.core.errors import DataError, SiteError
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model, load
from assay.experiments import edit

HOW = {"ablation": "counterfactual", "metric": "logit_diff"}
TAKES = Graph((Layer(4, 2), Layer(4, 2, keys=0)))


@lru_cache(maxsize=1)
def gemma() -> Model:
    """Four layers; the last two take over keys and values, and each has an embedding and a number of its own."""
    return load(zoo.build("gemma4_text")[0])


def cutting(model: Model, graph: Graph, *edges: str) -> np.ndarray:
    mask = graph.allowed.copy()
    for edge in edges:
        mask[graph.index(edge)] = False
    return mask


def test_layers_that_take_over_keys_read_only_their_queries() -> None:
    """By hand: 12 slots that read 1, an MLP 5; 4 queries that read 6, an MLP 10, and logits 11."""
    assert TAKES.receivers[-6:] == ("L1.H0.q", "L1.H1.q", "L1.H2.q", "L1.H3.q", "L1.mlp", "logits")
    assert TAKES.edge_count == 12 + 5 + 4 * 6 + 10 + 11
    assert TAKES.heads_of("L0.H1.k") == ("L0.H1", "L1.H1") and TAKES.heads_of("L0.H1.q") == ("L0.H1",)
    grouped = Graph(TAKES.layers, grouped=True)
    assert grouped.heads_of("L0.KV1.v") == ("L0.H2", "L0.H3", "L1.H2", "L1.H3")
    assert Graph.from_json(TAKES.to_json()) == TAKES
    with pytest.raises(DataError, match="layer 1's are another's"):
        to_mib(Circuit.of_edges(TAKES, ["embed->logits"]), d_model=32)


def test_a_value_that_is_taken_over_keeps_its_path() -> None:
    """What layer 0's value brings reaches the logits through a head of layer 1."""
    path = ("embed->L0.H2.v", "L1.H2->logits")
    assert set(TAKES.names(TAKES.prune(TAKES.mask((*path, "embed->L0.H1.v"))))) == set(path)


def test_a_graph_of_heads() -> None:
    graph = Graph.of(gemma())
    assert not graph.blocks and [layer.keys for layer in graph.layers] == [None, None, 0, 1]
    assert all(layer.heads and layer.mlp for layer in graph.layers)
    assert [name for name in graph.receivers if name.startswith("L2.")] == [*(f"L2.H{h}.q" for h in range(4)), "L2.mlp"]


@pytest.mark.parametrize("name", ["gemma4_text", "gemma4"])
@pytest.mark.parametrize("grouped", [False, True])
def test_nothing_cut_is_the_plain_run_and_everything_cut_the_other(name: str, grouped: bool) -> None:
    model = gemma() if name == "gemma4_text" else load(zoo.build(name)[0])
    graph, (here, there) = Graph.of(model, grouped=grouped), prompts(model)
    plain, other = (model.run(ids.tolist()).logits for ids in (here, there))
    assert torch.equal(cut(model, graph, graph.allowed, here=here, there=there), plain)
    assert off(cut(model, graph, np.zeros_like(graph.allowed), here=here, there=there), other) < EXACT
    parts = np.zeros_like(graph.allowed)
    parts[1:, -1] = True  # logits read what each part makes of the other run's inputs, which is what it makes there
    assert off(cut(model, graph, parts, here=here, there=there), other) < 10 * EXACT
    assert off(plain, other) > 0.01


def test_a_key_is_felt_in_both_layers_and_nothing_else_is() -> None:
    model = gemma()
    graph, (here, there) = Graph.of(model, grouped=True), prompts(model)
    mask = cutting(model, graph, "embed->L0.KV0.k")
    edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(mask))
    sites = ["L0.q", "L0.v", "L0.k_rot", "L2.k_rot"]
    plain, other = (model.run(ids.tolist(), capture=sites) for ids in (here, there))
    changed = model.run(here.tolist(), capture=sites, sources={"other": there.tolist()}, edits=edges)
    assert torch.equal(changed["L0.q"], plain["L0.q"]) and torch.equal(changed["L0.v"], plain["L0.v"])
    assert torch.equal(changed["L0.k_rot"], changed["L2.k_rot"])
    assert off(changed["L2.k_rot"][:, :, 0], other["L2.k_rot"][:, :, 0]) < EXACT
    assert torch.equal(changed["L2.k_rot"][:, :, 1:], plain["L2.k_rot"][:, :, 1:])


def test_keys_of_all_heads_that_share_one_are_the_shared_one() -> None:
    """A key of its own for each query head, in the layer that makes it and in the one that takes it over."""
    model, (here, there) = gemma(), prompts(gemma())
    single, shared = Graph.of(model), Graph.of(model, grouped=True)
    size = single.layers[0].heads // single.layers[0].kv_heads
    own = cutting(model, single, *(f"embed->L0.H{head}.k" for head in range(size)))
    found = cut(model, single, own, here=here, there=there)
    wanted = cut(model, shared, cutting(model, shared, "embed->L0.KV0.k"), here=here, there=there)
    assert off(found, wanted) < EXACT and off(wanted, model.run(here.tolist()).logits) > 1e-4
    one = cut(model, single, cutting(model, single, "embed->L0.H0.k"), here=here, there=there)
    assert off(one, wanted) > 1e-5


def test_the_rest_of_a_layer_reads_what_it_is_given() -> None:
    """L1's MLP with another value of L0's: what it writes with that stream put behind attention; the stream itself stays."""
    model = gemma()
    graph, (here, there) = Graph.of(model), prompts(model)
    sites = ["L0.mlp_out", "L1.resid_mid", "L1.mlp_out", "L1.resid_post"]
    plain, other = (model.run(ids.tolist(), capture=sites) for ids in (here, there))
    first, second = (float(model.network.multiplier(layer)) for layer in (0, 1))  # type: ignore[arg-type]
    moved = plain["L1.resid_mid"] + first * (other["L0.mlp_out"] - plain["L0.mlp_out"])
    wanted = model.run(here.tolist(), capture=["L1.mlp_out"], edits=[edit.set("L1.resid_mid", moved)])["L1.mlp_out"]
    mask = cutting(model, graph, "L0.mlp->L1.mlp")
    edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(mask))
    found = model.run(here.tolist(), capture=sites, sources={"other": there.tolist()}, edits=edges)
    assert off(found["L1.mlp_out"], wanted) < EXACT and off(wanted, plain["L1.mlp_out"]) > 1e-3
    assert off(found["L1.resid_post"], second * (plain["L1.resid_mid"] + wanted)) < EXACT


def test_an_mlp_with_every_edge_cut_does_what_it_does_in_the_other_run() -> None:
    """Also what it is given beside its stream is the other run's then; with one edge kept it is not."""
    model = gemma()
    graph, (here, there) = Graph.of(model), prompts(model)
    mask = graph.allowed.copy()
    mask[:, graph.receiver("L1.mlp")] = False
    other = model.run(there.tolist(), capture=["L1.mlp_out"])["L1.mlp_out"]

    def written(kept: np.ndarray) -> torch.Tensor:
        edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(kept))
        run = model.run(here.tolist(), capture=["L1.mlp_out"], sources={"other": there.tolist()}, edits=edges)
        return run["L1.mlp_out"]

    assert off(written(mask), other) < EXACT
    mask[graph.index("embed->L1.mlp")] = True
    assert off(written(mask), other) > 1e-3


def test_what_an_mlp_is_given_beside_its_stream_is_the_embeddings() -> None:
    ports = wiring(gemma().network).ports
    for layer in range(4):
        port = ports[layer, None]
        assert not isinstance(port, str) and [each.sender.name for each in port.given] == ["embed"]
        assert str(port.site) == f"L{layer}.resid_mid" and str(port.leaves) == f"L{layer}.resid_post"


@pytest.mark.parametrize("grouped", [False, True])
def test_eap_is_the_derivative_of_the_cut(grouped: bool) -> None:
    """All is fp32 here: 1e-3 of the largest. (What a single head changes goes through a norm whole, not to first order.)"""
    graph = Graph.of(gemma(), grouped=grouped)
    found = eap(gemma(), pairs_of_ids(), **HOW, grouped=grouped, check=0)  # type: ignore[arg-type]
    wanted = mask_derivative(gemma(), graph, "counterfactual")
    others = [at for at, edge in enumerate(graph.edges) if ".H" not in edge.split("->")[0]]
    np.testing.assert_allclose(found.values[others], wanted[others], atol=1e-3 * np.abs(wanted).max())
    assert np.abs(wanted[others]).max() > 0.1


def test_each_edge_can_be_cut_alone() -> None:
    found = edge_patching(gemma(), pairs_of_ids(), **HOW, grouped=True, receivers=r"L0\.KV0\.v|L2\.mlp")  # type: ignore[arg-type]
    assert found["embed->L0.KV0.v"] != 0 and np.isfinite(found.values).all()


def test_a_key_that_is_taken_over_is_no_receiver_of_the_later_layer() -> None:
    here, there = prompts(gemma())
    edges = edit.edges("other", senders=["embed"], receivers=["L2.H0.k"], kept=torch.zeros(1, 1))
    with pytest.raises(SiteError, match="these heads take over L0's"):
        gemma().run(here.tolist(), sources={"other": there.tolist()}, edits=edges)
