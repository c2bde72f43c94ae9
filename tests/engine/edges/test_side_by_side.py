"""Two streams side by side (Reformer): edges between its layers against native code with torch's own hooks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.engine.edges.test_blocks import some_of
from tests.engine.edges.test_whole import EXACT, cut, off, prompts
from tests.tiny_pairs import pairs_of_ids
from torch import Tensor, nn

from assay.circuits import acdc, eap, edge_patching, information_flow, run_circuits
from assay.circuits.graph import Graph
from assay.circuits.layers import why_whole
from assay.core.errors import SiteError
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model, load
from assay.models.ports import get_input, get_output, put_input, put_output

HOW = {"ablation": "counterfactual", "metric": "logit_diff"}
NAMES = ("prev_attn_output", "hidden_states")


@lru_cache(maxsize=1)
def built() -> tuple[Model, Any]:
    native = zoo.build("reformer")[0]
    return load(native), native


def through(native: Any, ids: Tensor, layer: int, x: Tensor | None) -> tuple[Tensor, Tensor]:
    """Both streams in front of a layer and behind it on these tokens, with others put into it."""
    seen: list[Tensor] = []

    def before(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        kwargs = kwargs if x is None else kwargs | dict(zip(NAMES, x.chunk(2, -1), strict=True))
        seen.append(torch.cat([kwargs[name] for name in NAMES], -1))
        return args, kwargs

    block = native.reformer.encoder.layers[layer]
    handles = [
        block.register_forward_pre_hook(before, with_kwargs=True),
        block.register_forward_hook(lambda m, a, out: seen.append(torch.cat([out.attn_output, out.hidden_states], -1))),
    ]
    with torch.no_grad():
        native(input_ids=ids)
    for handle in handles:
        handle.remove()
    return seen[0], seen[1]


def by_hand(native: Any, ids: Tensor, reads: Any, other: dict[str, Tensor] | None) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and what each sender wrote, 2 · d_model wide; `other` is that in the other run."""
    wrote = {"embed": through(native, ids, 0, None)[0]}

    def input_of(receiver: str) -> Tensor:
        return sum(wrote[s] if other is None or reads(s, receiver) else other[s] for s in wrote)  # type: ignore[return-value]

    for layer in range(2):
        x = input_of(f"L{layer}.block")
        wrote[f"L{layer}.block"] = through(native, ids, layer, x)[1] - x
    last = input_of("logits")
    hook = native.reformer.encoder.layer_norm.register_forward_pre_hook(lambda m, a: (last,))
    with torch.no_grad():
        logits = native(input_ids=ids).logits
    hook.remove()
    return logits, wrote


def test_both_streams_are_one() -> None:
    model, native = built()
    graph, block = Graph.of(model), wiring(model.network).block(1)
    assert graph.blocks == (0, 1) and set(why_whole(model)) == {0, 1}
    assert block.port.site.sizes["d_model"] == 2 * native.config.hidden_size and not block.port.given


@pytest.mark.parametrize("share", [0.7, 0.3])
def test_any_circuit_is_what_native_code_makes_of_its_inputs(share: float) -> None:
    (model, native), (here, there) = built(), prompts(built()[0])
    graph = Graph.of(model)
    _, other = by_hand(native, there, None, None)
    masks = [some_of(graph, share)]
    for edge in graph.edges:
        masks.append(graph.allowed.copy())
        masks[-1][graph.index(edge)] = False
    for mask in masks:
        wanted, _ = by_hand(native, here, lambda s, r, m=mask: bool(m[graph.sender(s), graph.receiver(r)]), other)
        assert off(cut(model, graph, mask, here=here, there=there), wanted) < EXACT
        assert off(wanted, model.run(here.tolist()).logits) > 1e-4


def test_nothing_cut_is_the_plain_run_and_everything_cut_the_other() -> None:
    (model, _), (here, there) = built(), prompts(built()[0])
    graph = Graph.of(model)
    plain, other = model.run(here.tolist()).logits, model.run(there.tolist()).logits
    assert torch.equal(cut(model, graph, graph.allowed, here=here, there=there), plain)
    assert off(cut(model, graph, np.zeros_like(graph.allowed), here=here, there=there), other) < EXACT
    parts = np.zeros_like(graph.allowed)
    parts[1:, -1] = True
    assert off(cut(model, graph, parts, here=here, there=there), other) < 10 * EXACT


def test_what_is_measured_and_what_is_refused() -> None:
    model, pairs = built()[0], pairs_of_ids()
    exact = edge_patching(model, pairs, **HOW)  # type: ignore[arg-type]
    assert [edge for edge, value in zip(exact.components, exact.values, strict=True) if value == 0] == ["embed->logits"]
    assert acdc(model, pairs, tau=1e-4, **HOW).edge_count > 0  # type: ignore[arg-type]
    with pytest.raises(SiteError, match=r"its own code runs there under torch\.no_grad"):
        eap(model, pairs, **HOW, check=0)  # type: ignore[arg-type]
    with pytest.raises(SiteError, match=r"two streams go past L0\.block, .* take the counterfactual"):
        run_circuits(
            model, pairs, [Graph.of(model).allowed], graph=Graph.of(model), ablation="zero", metrics="logit_diff"
        )
    with pytest.raises(SiteError, match="streams are joined between layers, or go side by side or past them"):
        information_flow(model, pairs, level="edge")


def test_several_tensors_at_one_port() -> None:
    a, b, c = torch.ones(1, 2), torch.zeros(1, 3), torch.full((1, 1), 2.0)
    args, kwargs = put_input((a, c), {"b": b}, (0, "b"), torch.arange(5.0)[None])
    assert get_input(args, kwargs, (0, "b")).tolist() == [[0, 1, 2, 3, 4]] and args[1] is c
    assert args[0].shape == (1, 2) and a.tolist() == [[1, 1]]
    out = put_output((a, b), (1, 0), torch.arange(5.0)[None])
    assert get_output(out, (1, 0)).tolist() == [[0, 1, 2, 3, 4]] and out[0].tolist() == [[3, 4]]
