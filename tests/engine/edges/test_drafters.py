"""Drafters: embeddings instead of tokens, and keys and values of another model. Edges against hooks on the native model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.engine.edges.test_whole import off
from torch import Tensor, nn

from assay.circuits.circuit import Circuit
from assay.circuits.graph import Graph
from assay.circuits.mib_format import to_mib
from assay.core.errors import DataError, SiteError
from assay.engine.edges.twice import OUTSIDE, other_inputs
from assay.engine.model import Model, load
from assay.experiments import edit, metric
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run

NAMES = ("gemma4_assistant", "gemma4_unified_assistant")
EXACT = 1e-6
"""All is fp32: a few roundings of the largest logit."""
Hook = Callable[[Tensor], Tensor | None]


@lru_cache(maxsize=2)
def drafter(name: str) -> tuple[Model, Mapping[str, Any], Mapping[str, Any]]:
    """The model, an input, and one with other embeddings and the same keys and values."""
    native, inputs = zoo.build(name)
    embeds = torch.randn(inputs["inputs_embeds"].shape, generator=torch.Generator().manual_seed(5))
    return load(native, inputs=inputs), inputs, {**inputs, "inputs_embeds": embeds}


def cut(name: str, *edges: str, every: bool = False) -> Tensor:
    """Logits with these edges cut, or with every edge."""
    model, here, there = drafter(name)
    graph = Graph.of(model)
    kept = np.zeros_like(graph.allowed) if every else graph.allowed.copy()
    for edge in edges:
        kept[graph.index(edge)] = False
    edges_cut = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(kept))
    return model.run(here, sources={"other": there}, edits=edges_cut).logits


@contextmanager
def hooks(native: nn.Module, reads: Mapping[str, Hook], gives: Mapping[str, Hook]) -> Iterator[None]:
    """What modules read or give, seen and perhaps replaced."""
    with ExitStack() as stack:
        for path, hook in reads.items():
            before = native.get_submodule(path).register_forward_pre_hook(
                lambda _, args, kwargs, hook=hook: ((hook(args[0]), *args[1:]), kwargs), with_kwargs=True
            )
            stack.callback(before.remove)
        for path, hook in gives.items():
            after = native.get_submodule(path).register_forward_hook(lambda _, args, out, hook=hook: hook(out))
            stack.callback(after.remove)
        yield


def seen(native: nn.Module, inputs: Mapping[str, Any], *paths: str) -> dict[str, Tensor]:
    """What modules read in a native pass."""
    found: dict[str, Tensor] = {}

    def keeper(path: str) -> Hook:
        return lambda value: found.setdefault(path, value)

    with torch.no_grad(), hooks(native, {path: keeper(path) for path in paths}, {}):
        native(**inputs)
    return found


def replaced(native: nn.Module, inputs: Mapping[str, Any], **where: Mapping[str, Hook]) -> Tensor:
    with torch.no_grad(), hooks(native, where.get("reads", {}), where.get("gives", {})):
        return native(**inputs).logits  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_of_heads_that_read_queries_alone(name: str) -> None:
    graph = Graph.of(drafter(name)[0])
    assert {layer.keys for layer in graph.layers} == {OUTSIDE} and not graph.whole and not graph.blocks
    assert [r for r in graph.receivers if r.startswith("L1.")] == [*(f"L1.H{h}.q" for h in range(4)), "L1.mlp"]
    assert Graph.of(drafter(name)[0], grouped=True).receivers == graph.receivers
    assert Graph.from_json(graph.to_json()) == graph
    with pytest.raises(DataError, match="layer 0's are another's"):
        to_mib(Circuit.of_edges(graph, ["embed->logits"]), d_model=32)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_cut_is_the_plain_run_and_everything_cut_the_other(name: str) -> None:
    model, here, there = drafter(name)
    with torch.no_grad():
        plain, other = (model.native(**inputs).logits for inputs in (here, there))
    assert torch.equal(cut(name), plain) and off(cut(name, every=True), other) < EXACT
    assert off(plain, other) > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_the_edge_of_a_head_into_a_query(name: str) -> None:
    """What head 2 writes, through the norm behind attention and the layer's number; of the query, head 1's part alone."""
    model, here, there = drafter(name)
    first, second = model.native.model.layers[:2]
    z, stream = "model.layers.0.self_attn.o_proj", "model.layers.1.input_layernorm"
    mine, other = (seen(model.native, inputs, z, stream) for inputs in (here, there))
    size = mine[z].shape[-1] // 4
    mixed = torch.cat([mine[z][..., : 2 * size], other[z][..., 2 * size : 3 * size], mine[z][..., 3 * size :]], -1)
    width = second.self_attn.head_dim
    with torch.no_grad():
        added = [first.post_attention_layernorm(first.self_attn.o_proj(each)) for each in (mine[z], mixed)]
        read = second.input_layernorm(mine[stream] + (added[1] - added[0]) * first.layer_scalar)
        query = second.self_attn.q_proj(read)

    def put(value: Tensor) -> Tensor:
        return torch.cat([value[..., :width], query[..., width : 2 * width], value[..., 2 * width :]], -1)

    wanted = replaced(model.native, here, gives={"model.layers.1.self_attn.q_proj": put})
    assert off(cut(name, "L0.H2->L1.H1.q"), wanted) < EXACT
    assert off(wanted, cut(name)) > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_the_edge_of_the_embeddings_into_an_mlp(name: str) -> None:
    model, here, there = drafter(name)
    first = model.native.model.layers[0]
    enters, reads = "model.layers.0.input_layernorm", "model.layers.1.pre_feedforward_layernorm"
    mine, other = (seen(model.native, inputs, enters, reads) for inputs in (here, there))
    more = (other[enters] - mine[enters]) * first.layer_scalar
    wanted = replaced(model.native, here, reads={reads: lambda value: value + more})
    assert off(cut(name, "embed->L1.mlp"), wanted) < EXACT
    assert off(wanted, cut(name)) > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_experiments_are_data_also_with_tensors_inside_others(name: str) -> None:
    """The run without one example gives what that example gave: keys and values are picked with it."""
    model, here, there = drafter(name)
    runs = {"main": Run(input="here", edits=(edit.patch("L0.resid_post", source="there"),))}
    experiment = Experiment(inputs={"here": here, "there": there}, runs=runs, metrics=[metric.logit(answer=5)])
    found = model.measure(experiment)["logit"].values
    with torch.no_grad():
        wanted = model.native(**there).logits[:, -1, 5].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    again = Experiment.from_json(experiment.to_json(), experiment.tensors())
    assert again.hash == experiment.hash
    one_by_one = model.measure(again, batch=1)["logit"].values
    np.testing.assert_allclose(one_by_one, wanted, atol=1e-5)
    assert "shared_kv_states.full_attention.0" in experiment.inputs["here"].tensors  # type: ignore[attr-defined]


def test_what_the_model_does_not_have_is_said() -> None:
    model, here, there = drafter("gemma4_assistant")
    edges = edit.edges("other", senders=["embed"], receivers=["L1.H0.k"], kept=torch.zeros(1, 1))
    with pytest.raises(SiteError, match="these heads read another model's keys and values"):
        model.run(here, sources={"other": there}, edits=edges)
    with pytest.raises(SiteError, match=r"inputs_embeds and shared_kv_states cannot be None.*give inputs= to load"):
        Graph.of(load(model.native))


def test_other_embeddings_are_the_same_ones_elsewhere() -> None:
    model, here, _ = drafter("gemma4_assistant")
    for shape in ((2, 1, 4), (1, 3, 4), (2, 3, 4), (1, 1, 4)):
        vectors = torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)
        other = other_inputs(model.network, {**here, "inputs_embeds": vectors})
        assert other is not None and other["shared_kv_states"] is here["shared_kv_states"]
        moved = other["inputs_embeds"]
        assert moved.shape == vectors.shape and torch.equal(moved.flatten().sort()[0], vectors.flatten())
        assert bool((moved != vectors).any(-1).all())  # each position holds another vector
