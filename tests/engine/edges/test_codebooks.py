"""Models whose example is several rows of token ids: sites, metrics and edges against hooks on the native model."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.conformance.zoo_inputs import token_ids
from tests.engine.edges.test_drafters import replaced, seen
from tests.engine.edges.test_whole import off
from tests.tiny_pairs import pairs_of_ids
from torch import Tensor

from assay.circuits import eap
from assay.circuits.graph import Graph
from assay.core.errors import ExperimentError, InputError
from assay.engine.model import Model, load
from assay.experiments import edit, metric
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run

NAMES = ("musicgen", "musicgen_melody")
BOOKS, LENGTH, HEADS = 4, 7, 4
EXACT = 1e-6
"""All is fp32: a few roundings of the largest logit."""
LAYER = "model.decoder.layers."


@lru_cache(maxsize=2)
def music(name: str) -> tuple[Model, Tensor, Tensor]:
    """The model, and ids of two examples, [batch, codebooks, pos], twice."""
    native, inputs = zoo.build(name)
    other = token_ids(torch.Generator().manual_seed(5), rows=2 * BOOKS).reshape(2, BOOKS, LENGTH)
    return load(native), inputs["input_ids"], other


def rows(ids: Tensor) -> dict[str, Tensor]:
    """Ids as native code describes them."""
    return {"input_ids": ids.flatten(0, 1)}


def native(model: Model, ids: Tensor) -> Tensor:
    """Native logits, [batch, codebooks, pos, vocab]."""
    with torch.no_grad():
        logits: Tensor = model.native(**rows(ids)).logits
    return logits.unflatten(0, (-1, BOOKS))


def cut(name: str, *edges: str, every: bool = False) -> Tensor:
    """Logits with these edges cut, or with every edge, one codebook after another."""
    model, here, there = music(name)
    graph = Graph.of(model)
    kept = np.zeros_like(graph.allowed) if every else graph.allowed.copy()
    for edge in edges:
        kept[graph.index(edge)] = False
    cuts = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=torch.tensor(kept))
    return model.run({"input_ids": here}, sources={"other": {"input_ids": there}}, edits=cuts).logits


@pytest.mark.parametrize("name", NAMES)
def test_sites_have_a_row_for_each_example_and_logits_one_codebook_after_another(name: str) -> None:
    model, here, _ = music(name)
    run = model.run({"input_ids": here}, capture=["L0.resid_pre", "L1.pattern", "logits"])
    assert torch.equal(run.logits, native(model, here).flatten(1, 2)) and torch.equal(run["logits"], run.logits)
    decoder = model.native.model.decoder
    with torch.no_grad():
        embedded = sum(table(here[:, book]) for book, table in enumerate(decoder.embed_tokens))
    assert torch.equal(run["L0.resid_pre"], embedded + decoder.embed_positions.weights[:LENGTH])
    assert run["L1.pattern"].shape == (2, HEADS, LENGTH, LENGTH)


@pytest.mark.parametrize("name", NAMES)
def test_a_patch_of_one_example_and_its_metrics(name: str) -> None:
    """A metric's position is codebook · length + position; the divergence from the other run is read there too."""
    model, here, there = music(name)
    at = [2 * LENGTH + 3, 3 * LENGTH + 6]
    run = model.run(
        {"input_ids": here},
        sources={"other": {"input_ids": there}},
        edits=edit.patch("L1.resid_post", source="other", examples=[1]),
        metrics=[metric.logit(answer=5, pos=at), metric.kl(to="other", pos=at), metric.kl(to="other", name="last")],
    )
    mine, others = native(model, here), native(model, there)
    wanted = torch.stack([mine[0, (2, 3), (3, 6)], others[1, (2, 3), (3, 6)]])
    assert off(run.metrics["logit"], wanted[..., 5]) < EXACT
    apart = (others[0].softmax(-1) * (others[0].log_softmax(-1) - mine[0].log_softmax(-1))).sum(-1)
    assert off(run.metrics["kl"][0], apart[(2, 3), (3, 6)]) < 1e-5 and run.metrics["kl"][1].abs().max() < 1e-6
    assert float(run.metrics["last"][0]) == pytest.approx(float(apart[3, 6]), rel=1e-5)


def test_a_sweep() -> None:
    model, here, there = music("musicgen")
    patch = edit.patch("resid_post", source="b")
    inputs = {"a": {"input_ids": here}, "b": {"input_ids": there}}
    experiment = Experiment(
        inputs=inputs, runs={"main": Run(input="a", edits=(patch,))}, metrics=[metric.logit(answer=5)], main="main",
        sweep={"axes": {"layer": [0, 1]}},
    )  # fmt: skip
    found = model.measure(experiment)["logit"].values
    np.testing.assert_allclose(found[..., 1, :].ravel(), native(model, there)[:, 3, 6, 5].numpy(), atol=1e-6)
    again = Experiment.from_json(experiment.to_json(), experiment.tensors())
    np.testing.assert_allclose(model.measure(again, batch=1)["logit"].values, found, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_cut_is_the_plain_run_and_everything_cut_the_other(name: str) -> None:
    model, here, there = music(name)
    graph = Graph.of(model)
    assert all((layer.heads, layer.kv_heads, layer.mlp) == (HEADS, HEADS, True) for layer in graph.layers)
    plain, other = (native(model, ids).flatten(1, 2) for ids in (here, there))
    assert torch.equal(cut(name), plain) and off(cut(name, every=True), other) < EXACT and off(plain, other) > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_the_edge_of_a_head_into_a_value(name: str) -> None:
    model, here, there = music(name)
    z, stream = f"{LAYER}0.self_attn.out_proj", f"{LAYER}1.self_attn_layer_norm"
    mine, other = (seen(model.native, rows(ids), z, stream) for ids in (here, there))
    first, second = model.native.model.decoder.layers[:2]
    size = mine[z].shape[-1] // HEADS
    one = torch.zeros_like(mine[z])
    one[..., 2 * size : 3 * size] = (other[z] - mine[z])[..., 2 * size : 3 * size]
    with torch.no_grad():
        added = torch.nn.functional.linear(one, first.self_attn.out_proj.weight)
        value = second.self_attn.v_proj(second.self_attn_layer_norm(mine[stream] + added))

    def put(whole: Tensor) -> Tensor:
        return torch.cat([whole[..., :size], value[..., size : 2 * size], whole[..., 2 * size :]], -1)

    wanted = replaced(model.native, rows(here), gives={f"{LAYER}1.self_attn.v_proj": put})
    assert off(cut(name, "L0.H2->L1.H1.v"), wanted.unflatten(0, (-1, BOOKS)).flatten(1, 2)) < EXACT
    assert off(cut(name, "L0.H2->L1.H1.v"), cut(name)) > 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_the_edge_of_the_embeddings_into_an_mlp(name: str) -> None:
    """`embed` is the sum of all codebooks' embeddings and the positions."""
    model, here, there = music(name)
    enters, reads = f"{LAYER}0.self_attn_layer_norm", f"{LAYER}1.final_layer_norm"
    mine, other = (seen(model.native, rows(ids), enters) for ids in (here, there))
    more = other[enters] - mine[enters]
    wanted = replaced(model.native, rows(here), reads={reads: lambda value: value + more})
    assert off(cut(name, "embed->L1.mlp"), wanted.unflatten(0, (-1, BOOKS)).flatten(1, 2)) < EXACT
    assert off(cut(name, "embed->L1.mlp"), cut(name)) > 1e-3


def test_a_text_that_is_attended_to_makes_each_layer_one_node() -> None:
    """Loaded with an encoder's states: they are the same in both runs, and the edges carry what reads them."""
    model, here, there = music("musicgen")
    states = torch.randn(2, 9, model.d_model, generator=torch.Generator().manual_seed(1))
    given: list[dict[str, Any]] = [{"input_ids": ids, "encoder_hidden_states": states} for ids in (here, there)]
    heard = load(model.native, inputs=given[0])
    graph = Graph.of(heard)
    assert graph.blocks == (0, 1) and not Graph.of(model).blocks and heard.why_not("L0.cross_pattern") is None
    kept = torch.zeros(graph.allowed.shape)
    cuts = edit.edges("other", senders=graph.senders, receivers=graph.receivers, kept=kept)
    found = heard.run(given[0], sources={"other": given[1]}, edits=cuts).logits
    with torch.no_grad():
        wanted = model.native(**rows(there), encoder_hidden_states=states).logits
    assert off(found, wanted.unflatten(0, (-1, BOOKS)).flatten(1, 2)) < EXACT
    assert off(found, native(model, there).flatten(1, 2)) > 0.01


@pytest.mark.parametrize("name", ["musicgen", "bart"])
def test_a_text_that_was_not_there_when_the_model_was_loaded_is_refused(name: str) -> None:
    native_model, inputs = zoo.build(name)
    model = load(native_model)
    heard = {**inputs, "encoder_hidden_states": torch.randn(2, 9, model.d_model)}
    edges = edit.edges("other", senders=["embed"], receivers=["logits"], kept=torch.zeros(1, 1))
    with pytest.raises(InputError, match="loaded without: what reads them is in no graph"):
        model.run(heard, sources={"other": heard}, edits=edges)
    assert model.run(heard).logits.isfinite().all()


def test_what_can_not_be_read_is_said_in_one_line() -> None:
    model, here, _ = music("musicgen")
    for bad in (rows(here), here.flatten(0, 1).tolist(), {"input_ids": here[:, :2]}):
        with pytest.raises(InputError, match=r"reads 4 rows of token ids for each example.*ids of \[batch, 4, pos\]"):
            model.run(bad)
    with pytest.raises(InputError, match="reads 4 rows of token ids"):
        eap(model, pairs_of_ids(), ablation="counterfactual", metric="logit_diff")
    with pytest.raises(ExperimentError, match="writes a token for each of 4 codebooks at once"):
        model.generate({"input_ids": here})
    with pytest.raises(InputError, match="token id 200 is out of range"):
        model.run({"input_ids": torch.full_like(here, 200)})
    assert "a sum of what 4 tables give" in str(model.why_not("embed"))
