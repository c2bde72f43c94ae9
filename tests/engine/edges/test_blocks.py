"""Layers that are one part: edges between them against native code with torch's own hooks, and what must hold."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.engine.edges.block_reference import BlocksByHand
from tests.engine.edges.test_whole import EXACT, cut, off, prompts
from torch import Tensor, nn

from assay.circuits.graph import Graph
from assay.circuits.layers import why_whole
from assay.core.errors import DataError, SiteError
from assay.engine.edges.blocks import find_blocks
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model, load
from assay.experiments import edit

UNKNOWN = {
    "minimax": "model.layers",
    "longcat_flash": "model.layers",
    "doge": "model.layers",
    "beam": "model.layers",
}
"""Streams that are normed or multiplied on their way, two attentions in one layer."""
KNOWN = {"llama": "model.layers", "gpt_neox": "gpt_neox.layers", "gemma2": "model.layers", "bert": "bert.encoder.layer"}


@lru_cache(maxsize=4)
def built(name: str) -> tuple[Model, nn.Module]:
    native = zoo.build(name)[0]
    return load(native), native


def by_hand(name: str, path: str) -> BlocksByHand:
    native = built(name)[1]
    return BlocksByHand(native, list(native.get_submodule(path)))  # type: ignore[arg-type]


def some_of(graph: Graph, share: float) -> np.ndarray:
    """A circuit of so many of the edges, at least two cut; the first layer's own input is among them."""
    chosen = np.random.default_rng(int(100 * share)).permutation(graph.edge_count) < share * (graph.edge_count - 1)
    mask = graph.allowed.copy()
    mask[graph.allowed] = chosen
    mask[0, 0] = True
    return mask


@pytest.mark.parametrize("share", [0.6, 0.3])
@pytest.mark.parametrize("name", [*UNKNOWN, *KNOWN])
def test_any_circuit_is_what_native_code_makes_of_its_inputs(name: str, share: float) -> None:
    (model, _), path = built(name), (UNKNOWN | KNOWN)[name]
    graph, (here, there) = Graph.of(model, grouped="block"), prompts(model)
    mask = some_of(graph, share)
    hand = by_hand(name, path)
    _, other = hand.run(there, lambda s, r: True)
    wanted, _ = hand.run(here, lambda s, r: bool(mask[graph.sender(s), graph.receiver(r)]), None, other)
    assert off(cut(model, graph, mask, here=here, there=there), wanted) < EXACT
    assert off(wanted, model.run(here.tolist()).logits) > 1e-3


@pytest.mark.parametrize("name", UNKNOWN)
def test_layers_whose_parts_are_not_known_are_one_node_each(name: str) -> None:
    model, _ = built(name)
    graph = Graph.of(model)
    assert graph.blocks == tuple(range(model.n_layers)) and graph == Graph.of(model, grouped="block")
    assert graph.senders[1] == graph.receivers[0] == "L0.block"
    assert set(why_whole(model)) == set(graph.blocks) and all(why_whole(model).values())
    assert "is one node in every layer" in graph.facts[0]


def test_only_the_layer_that_is_not_known_is_one_node() -> None:
    """RWKV norms the embedding in its first layer; GPT-NeoX Japanese adds a bias of its own in its last."""
    graph = Graph.of(built("gpt_neox_japanese")[0])
    assert graph.blocks == (1,) and graph.layers[0].heads == 4 and graph.layers[0].mlp
    assert graph.receivers[-2:] == ("L1.block", "logits")


@pytest.mark.parametrize(
    "name", ["gpt_neox_japanese", "rwkv", "zamba", "zamba2", "zaya", "gemma3n_text", "deepseek_v4", "gemma4_text"]
)
def test_nothing_cut_is_the_plain_run_and_everything_cut_the_other(name: str) -> None:
    model, _ = built(name)
    graph = Graph.of(model, grouped="block" if name == "gemma4_text" else False)
    here, there = prompts(model)
    plain, other = model.run(here.tolist()).logits, model.run(there.tolist()).logits
    assert graph.blocks and off(plain, other) > 0.01
    assert torch.equal(cut(model, graph, graph.allowed, here=here, there=there), plain)
    assert off(cut(model, graph, np.zeros_like(graph.allowed), here=here, there=there), other) < EXACT
    parts = np.zeros_like(graph.allowed)
    parts[1:, -1] = True  # logits read what each part makes of the other run's inputs, which is what it makes there
    assert off(cut(model, graph, parts, here=here, there=there), other) < 10 * EXACT


@pytest.mark.parametrize("share", [0.8, 0.4])
def test_an_embedding_that_is_read_again_goes_with_its_edge(share: float) -> None:
    """Zamba's shared blocks read the embedding beside the stream: what embed -> L1.block carries holds both."""
    model, native = built("zamba")
    graph, (here, there) = Graph.of(model, grouped="block"), prompts(model)
    mask = some_of(graph, share)
    for reads in (True, False):
        mask[graph.index("embed->L1.block")] = reads
        hand, far = (BlocksByHand(native, list(native.model.layers), extras=(1,)) for _ in range(2))  # type: ignore[arg-type]
        _, other = far.run(there, lambda s, r: True)
        wanted, _ = hand.run(here, lambda s, r: bool(mask[graph.sender(s), graph.receiver(r)]), far, other)
        assert off(cut(model, graph, mask, here=here, there=there), wanted) < EXACT


def test_what_a_layer_is_given_has_an_owner() -> None:
    """Gemma 4: an embedding for each layer, and in the last two layers keys and values of the first two."""
    given = {
        layer: {str(each.site).split(".")[1]: each.sender.name for each in block.port.given}  # type: ignore[union-attr]
        for layer, block in wiring(built("gemma4_text")[0].network).blocks.items()
    }
    assert given[0] == given[1] == {"given_1": "embed"}
    assert given[2] == {"given_1": "embed", "k_rot": "L0.block", "v_rot": "L0.block"}
    assert given[3] == {"given_1": "embed", "k_rot": "L1.block", "v_rot": "L1.block"}


def test_keys_of_an_earlier_layer_go_with_its_edge() -> None:
    """Cut, they are the other run's, in that layer alone; kept, they follow what that layer computes in the circuit."""
    model, _ = built("gemma4_text")
    graph, (here, there) = Graph.of(model, grouped="block"), prompts(model)
    mask = graph.allowed.copy()
    mask[graph.index("L0.block->L2.block")] = False
    sites = ["L0.k_rot", "L1.resid_post", "L2.k_rot", "L2.resid_pre", "L2.resid_post"]
    edges = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(mask))
    plain, other = (model.run(ids.tolist(), capture=sites) for ids in (here, there))
    changed = model.run(here.tolist(), capture=sites, sources={"other": there.tolist()}, edits=edges)
    assert [torch.equal(changed[site], plain[site]) for site in sites] == [True, True, False, False, False]
    assert off(changed["L2.k_rot"], other["L2.k_rot"]) < EXACT


def test_several_streams_are_one_wide_stream() -> None:
    """Gemma 3n keeps four streams in front of the examples, DeepSeek V4 behind the positions: a circuit of whole layers."""
    for name in ("gemma3n_text", "deepseek_v4"):
        model, native = built(name)
        here, there = prompts(model)
        graph, width = Graph.of(model), native.config.hidden_size
        assert graph.blocks and model.site("L0.resid_pre").sizes["d_model"] == 4 * width
        cut_last = graph.allowed.copy()
        cut_last[:, -1] = False  # logits read the other run's last stream, whatever else is computed
        wanted = model.run(there.tolist()).logits
        assert off(cut(model, graph, cut_last, here=here, there=there), wanted) < EXACT


def test_a_block_is_felt_only_where_its_edge_leads() -> None:
    model, _ = built("minimax")
    graph, (here, there) = Graph.of(model), prompts(model)
    mask = graph.allowed.copy()
    mask[graph.index("L0.block->L1.block")] = False
    found = cut(model, graph, mask, here=here, there=there)
    mask[graph.index("L0.block->logits")] = False
    both = cut(model, graph, mask, here=here, there=there)
    plain = model.run(here.tolist()).logits
    assert min(off(found, plain), off(both, plain), off(both, found)) > 1e-3


def test_a_layer_is_not_named_both_ways() -> None:
    model, _ = built("llama")
    here, there = prompts(model)
    edges = edit.edges("other", senders=["L0.mlp", "L0.block"], receivers=["logits"], kept=torch.zeros(2, 1))
    with pytest.raises(DataError, match=r"L0\.block and parts of layer 0 are named together"):
        model.run(here.tolist(), sources={"other": there.tolist()}, edits=edges)


class Gossip(nn.Module):
    """A layer that reads what another layer read."""

    def __init__(self, inner: nn.Module, heard: list[Tensor]) -> None:
        super().__init__()
        self.inner, self.heard = inner, heard

    def forward(self, hidden_states: Tensor, *args: object, **rest: object) -> Tensor:
        self.heard.append(hidden_states)
        out: Tensor = self.inner(hidden_states, *args, **rest)
        return out + 0.5 * self.heard[0]


def test_a_layer_that_reads_another_layers_input_is_none() -> None:
    native, heard = zoo.build("mistral")[0], list[Tensor]()
    layers = native.model.layers  # type: ignore[union-attr]
    for number, layer in enumerate(list(layers)):  # type: ignore[arg-type]
        layers[number] = Gossip(layer, heard)  # type: ignore[operator, index]
    native.register_forward_pre_hook(lambda *_: heard.clear())
    model = load(native)
    assert find_blocks(model.network, 2)[1] == "it reads something else than the stream that enters it"
    with pytest.raises(SiteError, match=r"Layer 1 has no parts to name .* reads something else than the stream"):
        Graph.of(model)
