"""Blocks that multiply their whole stream at the end: edges against a network written out by hand, and what must hold."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from tests.circuits.test_edge_attribution import mask_derivative
from tests.circuits.test_edge_patching import whole_passes
from tests.conformance import zoo
from tests.engine.edges.reference import by_hand
from tests.engine.edges.test_whole import EXACT, cut, off, prompts
from tests.tiny_pairs import pairs_of_ids
from torch import Tensor, nn

from assay.circuits import eap, edge_patching, information_flow
from assay.circuits.graph import Graph
from assay.core.errors import SiteError
from assay.engine.edges.stream_scales import StreamScale
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model, load
from assay.readouts.attribution import direct_logit_attribution

NUMBERS = (0.6, 1.7)
HOW = {"ablation": "counterfactual", "metric": "logit_diff"}


@lru_cache(maxsize=1)
def built() -> tuple[Model, nn.Module]:
    """Llama, each of whose blocks multiplies what it hands on by a number of its own."""
    native = zoo.build("llama")[0]
    for layer, number in zip(native.model.layers, NUMBERS, strict=True):  # type: ignore[union-attr, arg-type]
        layer.register_buffer("loudness", torch.tensor([number]))
        layer.forward = _louder(layer, layer.forward)  # type: ignore[method-assign]
    return load(native), native


def _louder(layer: nn.Module, plain: object) -> object:
    return lambda *args, **rest: plain(*args, **rest) * layer.loudness  # type: ignore[operator]


@pytest.mark.parametrize("share", [0.95, 0.5, 0.05])
@pytest.mark.parametrize("grouped", [False, True])
def test_any_circuit_is_what_is_written_out_by_hand(grouped: bool, share: float) -> None:
    model, native = built()
    graph, (here, there) = Graph.of(model, grouped=grouped), prompts(model)
    mask = graph.allowed & (np.random.default_rng(int(100 * share)).random(graph.allowed.shape) < share)
    found, hand = cut(model, graph, mask, here=here, there=there), by_hand("llama", native, grouped=grouped)
    hand.behind = lambda layer, stream: stream * NUMBERS[layer]  # type: ignore[method-assign]
    for example in range(len(here)):
        _, other = hand.run(there[example], lambda sender, receiver: True)
        wanted, _ = hand.run(here[example], lambda s, r: bool(mask[graph.sender(s), graph.receiver(r)]), other)
        assert off(found[example], wanted) < EXACT


def test_the_stream_is_a_multiple_of_its_sum() -> None:
    """What is added is what it was before the block multiplied it, and the number is read from the model each time."""
    model, native = built()
    here, _ = prompts(model)
    run = model.run(here.tolist(), capture=["resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"])
    for layer, number in enumerate(NUMBERS):
        at = {name: run[f"L{layer}.{name}"] for name in ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")}
        assert off(at["resid_pre"] + at["attn_out"], at["resid_mid"]) < EXACT
        assert off(number * (at["resid_mid"] + at["mlp_out"]), at["resid_post"]) < EXACT
    step = wiring(model.network).norms[0]
    assert isinstance(step, StreamScale) and float(step.factor(model.network, here)) == 0
    native.model.layers[0].loudness.fill_(2.0)  # type: ignore[union-attr, index]
    assert float(step.factor(model.network, torch.ones(1))) == 2.0
    native.model.layers[0].loudness.fill_(NUMBERS[0])  # type: ignore[union-attr, index]


def test_each_edge_by_itself_is_what_whole_passes_give() -> None:
    """Native code rounds to fp32 here: 2e-5 of logits near 1."""
    model, _ = built()
    graph = Graph.of(model, grouped=True)
    found = edge_patching(model, pairs_of_ids(), **HOW, grouped=True, receivers=r"L1\.mlp|logits|L1\.H0\.q")  # type: ignore[arg-type]
    wanted = whole_passes(model, graph, list(found.components), "counterfactual")
    assert any("scheduled" in fact for fact in found.facts) and float(np.abs(wanted).max()) > 0.01
    np.testing.assert_allclose(found.per_example, wanted, atol=2e-5 * max(1.0, float(np.abs(wanted).max())))


def test_eap_is_the_derivative_of_the_cut() -> None:
    """All is fp32 here: 1e-3 of the largest."""
    model, _ = built()
    found = eap(model, pairs_of_ids(), **HOW, check=0)  # type: ignore[arg-type]
    wanted = mask_derivative(model, Graph.of(model), "counterfactual")
    np.testing.assert_allclose(found.values, wanted, atol=1e-3 * np.abs(wanted).max())


def test_direct_attribution_adds_up() -> None:
    """What a part wrote is multiplied with all else behind its own layer and each later one: within 1e-4 of logits near 1."""
    facts = direct_logit_attribution(built()[0], pairs_of_ids()).facts
    assert float(facts[0].split("within ")[1].split(" ")[0]) < 1e-4


def test_what_shares_out_plain_sums_is_refused() -> None:
    with pytest.raises(SiteError, match="norms or multiplies its stream"):
        information_flow(built()[0], pairs_of_ids(3), level="edge")


def test_gemma_4_has_heads_with_such_numbers() -> None:
    """Nothing cut is the plain run, and with everything cut it does what it does in the other run."""
    model = load(zoo.build("gemma4_unified_text")[0])
    graph, (here, there) = Graph.of(model), prompts(model)
    assert not graph.blocks and [layer.heads for layer in graph.layers] == [4, 4]
    assert [type(step) for step in wiring(model.network).norms] == [StreamScale, StreamScale]
    plain, other = (model.run(ids.tolist()).logits for ids in (here, there))
    assert torch.equal(cut(model, graph, graph.allowed, here=here, there=there), plain)
    empty: Tensor = cut(model, graph, np.zeros_like(graph.allowed), here=here, there=there)
    assert off(empty, other) < EXACT and off(plain, other) > 0.01
