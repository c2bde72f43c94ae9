"""Generation sweeps give every row what `model.generate` gives its prompt alone, from far fewer passes.

Tokens are compared exactly: models are in double precision, where a batch of another size changes no argmax or draw.
Log-probabilities are compared to 1e-5: they are computed in float32, as native generation does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.conformance.zoo import build
from torch import Tensor

from assay import edit
from assay.core.result import Result
from assay.engine.generation.trial import ALL, layout_of
from assay.engine.model import Model, load
from assay.experiments.edits import Edit

IDS = [[5, 7, 11, 13, 17, 2, 3], [6, 9, 12, 15], [1, 2, 3, 8]]
STEPS = 5
SAMPLED = {"temperature": 1.3, "top_k": 20, "seed": 4}


@pytest.fixture(scope="module", params=["llama", "gpt2", "gpt_neox", "gemma2"])
def model(request: pytest.FixtureRequest) -> Model:
    """Rotary and learned positions, parallel blocks, norms after branches and a sliding window shorter than the prompts."""
    native, _ = build(request.param)
    if request.param == "gemma2":
        assert native.config.sliding_window < len(IDS[0])  # type: ignore[union-attr]
    made = load(native.double())
    assert layout_of(made.network).parts == ALL
    return made


def vector(model: Model) -> Tensor:
    return 3 * torch.randn(model.d_model, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def one_by_one(model: Model, prompt: list[int], edits: Any, **settings: Any) -> list[int]:
    return list(model.generate([prompt], edits=edits, max_new_tokens=STEPS, **settings).tokens[0])


def texts(result: Result, **place: Any) -> list[int]:
    row = result["tokens"].sel({k: v for k, v in place.items() if k != "example"}).isel(example=place["example"])
    return [int(token) for token in row.values if token >= 0]


def agree(model: Model, make: Callable[[float, int], Edit], result: Result, **settings: Any) -> None:
    """Every row equals its own generation."""
    for scale, layer, example in itertools.product(
        result["tokens"].scale.values, result["tokens"].layer.values, range(3)
    ):
        wanted = one_by_one(model, IDS[example], make(float(scale), int(layer)), **settings)
        assert texts(result, scale=scale, layer=layer, example=example) == wanted, (scale, layer, example)


@pytest.mark.parametrize("settings", [{}, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(
    "where",
    [{}, {"pos": -1}, {"pos": [1, 2]}, {"step": slice(1, None)}, {"step": [0, 2]}, {"pos": 1, "step": 0}],
    ids=str,
)
def test_rows_are_what_each_prompt_gets_alone(model: Model, where: dict[str, Any], settings: dict[str, Any]) -> None:
    made = vector(model)
    result = model.generate_sweep(
        IDS, edit.add("resid_post", made, **where), over={"scale": [0.5, 4.0], "layer": None},
        max_new_tokens=STEPS, **settings,
    )  # fmt: skip
    agree(model, lambda scale, layer: edit.add(f"L{layer}.resid_post", made, scale=scale, **where), result, **settings)
    weak, strong = (result["logprob"].sel(scale=scale).values for scale in (0.5, 4.0))
    assert np.nanmax(np.abs(weak - strong)) > 1e-2, "the edits did nothing"


def test_log_probabilities_are_the_edited_models_own(llama: Model) -> None:
    made = edit.add("L1.resid_post", vector(llama), scale=2.0)
    result = llama.generate_sweep(IDS[0], made, max_new_tokens=STEPS, temperature=1.3, seed=2)
    text = [int(token) for token in result["tokens"].values]
    logits = llama.run([[*IDS[0], *text]], edits=made).logits[0]  # without `pos` it is the same edit in one pass
    wanted = logits.log_softmax(-1)[len(IDS[0]) - 1 : -1].gather(-1, torch.tensor(text)[:, None])[:, 0]
    np.testing.assert_allclose(result["logprob"].values, wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_the_size_of_batches_changes_nothing(llama: Model, batch: int) -> None:
    made = edit.add("resid_post", vector(llama))
    over = {"scale": [0.0, 1.0, 4.0], "layer": [0, 2]}
    whole = llama.generate_sweep(IDS, made, over=over, max_new_tokens=STEPS, **SAMPLED)
    parts = llama.generate_sweep(IDS, made, over=over, max_new_tokens=STEPS, batch=batch, **SAMPLED)
    assert (whole["tokens"].values == parts["tokens"].values).all()
    np.testing.assert_allclose(whole["logprob"].values, parts["logprob"].values, atol=1e-5)


def test_seeds_are_an_axis_and_rows_draw_by_themselves(llama: Model) -> None:
    made = edit.add("L1.resid_post", vector(llama))
    result = llama.generate_sweep(IDS, made, over={"scale": [0.0, 1.0]}, seed=[3, 4, 5], temperature=1.5)
    assert result["tokens"].dims == ("scale", "seed", "example", "token")
    for scale, seed, example in itertools.product([0.0, 1.0], [3, 4, 5], range(3)):
        changed = edit.add("L1.resid_post", vector(llama), scale=scale)
        wanted = llama.generate([IDS[example]], edits=changed, temperature=1.5, seed=seed).tokens[0]
        assert texts(result, scale=scale, seed=seed, example=example) == list(wanted)
    assert len({tuple(result["tokens"].sel(scale=1.0, seed=s).values.ravel()) for s in (3, 4, 5)}) == 3


def test_the_global_random_state_stays(llama: Model) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    llama.generate_sweep(IDS, edit.zero("mlp_out"), over="layer", max_new_tokens=3, temperature=1.0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def ending(llama: Model) -> Iterator[int]:
    """An end token that some rows meet early."""
    generation = llama.native.generation_config  # type: ignore[union-attr]
    before = generation.eos_token_id
    token = llama.generate([IDS[0]], max_new_tokens=6).tokens[0][1]
    generation.eos_token_id = token
    yield token
    generation.eos_token_id = before


def test_rows_end_at_their_end_token_and_leave(llama: Model, ending: int) -> None:
    made = vector(llama)
    result = llama.generate_sweep(
        IDS, edit.add("resid_post", made), over={"scale": [0.0, 3.0], "layer": None}, max_new_tokens=STEPS
    )
    agree(llama, lambda scale, layer: edit.add(f"L{layer}.resid_post", made, scale=scale), result)
    tokens, logprobs = result["tokens"].values, result["logprob"].values
    assert ((tokens == -1) == np.isnan(logprobs)).all()
    ended = (tokens == -1).any(-1)
    assert ended.any() and not ended.all()
    # the variants of scale 0 are one, so four are run; a row takes part in a pass for each token but its last
    rows = np.concatenate([tokens[0, :1], tokens[1]]).reshape(-1, tokens.shape[-1])
    decoded = sum(int((row >= 0).sum()) - 1 for row in rows)
    whole = llama.generate_sweep(
        IDS, edit.add("resid_post", made), over={"scale": [0.0, 3.0], "layer": None}, max_new_tokens=1
    )
    assert result.cost.rows - whole.cost.rows == decoded


@pytest.mark.parametrize("axis", ["pos", "step", "head"])
def test_places_are_axes_too(llama: Model, axis: str) -> None:
    """The same operation at the same site, at another place for each variant."""
    push = torch.linspace(-4, 4, 8)
    values = {"pos": [0, 2, 6], "step": [0, 1, 3], "head": [0, 2, 3]}[axis]
    result = llama.generate_sweep(
        IDS[0], edit.add("z", push), over={axis: values, "scale": [0.5, 5.0], "layer": [0, 2]}, max_new_tokens=STEPS
    )
    for value, scale, layer in itertools.product(values, [0.5, 5.0], [0, 2]):
        made = edit.add(f"L{layer}.z", push, scale=scale, **{axis: value})  # type: ignore[arg-type]
        found = result["tokens"].sel({axis: value, "scale": scale, "layer": layer}).values
        assert [token for token in found if token >= 0] == one_by_one(llama, IDS[0], made)


OPERATIONS: dict[str, Callable[[int], Any]] = {
    "set": lambda k: edit.set("L1.resid_post", 0.3 * k),
    "set a vector": lambda k: edit.set("L1.resid_post", torch.linspace(-k, k, 32), step=1),
    "zero": lambda k: edit.zero("L1.z", head=k),
    "scale": lambda k: edit.scale("L1.mlp_post", 1.0 + k, dims=[0, 1, 2, 5]),
    "add to a head": lambda k: edit.add("L1.z", torch.linspace(0, k, 8), head=[1, 2], pos=slice(1, None)),
    "clamp": lambda k: edit.clamp("L1.resid_post", min=-0.1 * k, max=0.1 * k),
    "noise": lambda k: edit.noise("L1.resid_post", 1.0, seed=k),
    "project_out": lambda k: edit.project_out("L1.resid_post", torch.eye(32)[: k + 1], step=slice(0, 3)),
    "patch": lambda k: edit.patch("L1.resid_post", "other", pos=k),
    "mean": lambda k: edit.mean("L1.resid_post", "other", step=slice(k, None)),
    "swap": lambda k: edit.swap("L1.resid_post", "other", basis=torch.eye(32)[:, : k + 2], pos=-1),
    "call": lambda k: edit.call("L1.resid_post", lambda x: x * k, step=2),
    "keys": lambda k: edit.zero("L1.k", pos=k),
    "rotated queries": lambda k: edit.scale("L1.q_rot", 0.1 * k),
    "one example": lambda k: edit.zero("L1.resid_post", examples=k % 3),
    "embedding": lambda k: edit.scale("embed", 1.0 + k, pos=k),
    "logits": lambda k: edit.add("logits", 30 * torch.eye(60)[k], step=slice(1, 2)),
    "final norm": lambda k: edit.scale("final_norm", -0.5 * k, pos=-1),
    "native": lambda k: edit.scale("native:model.layers.1.mlp.up_proj:out", 1.0 + k),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_with_a_sweep_over_layers_beside_it(llama: Model, name: str) -> None:
    others = [[3, 4, 5, 9, 10, 20, 21], [30, 31, 32, 33], [40, 41, 42, 43]]
    for k in (1, 2):
        made = OPERATIONS[name](k)
        both = [made, edit.scale("resid_post", pos=-1)]
        over = {"factor": [1.0, -2.0], "layer": [0, 2]}
        result = llama.generate_sweep(IDS, both, over=over, max_new_tokens=STEPS, sources={"other": others})
        for factor, layer in itertools.product(*over.values()):
            edits = [made, edit.scale(f"L{layer}.resid_post", factor, pos=-1)]
            wanted = llama.generate(IDS, edits=edits, sources={"other": others}, max_new_tokens=STEPS).tokens
            found = [texts(result, factor=factor, layer=layer, example=e) for e in range(3)]
            assert found == [list(row) for row in wanted], (k, factor, layer)


@pytest.mark.parametrize("name", ["resample", "mean"])
def test_edits_that_need_the_whole_group(llama: Model, name: str) -> None:
    ids, others = [IDS[1], IDS[2], [9, 8, 7, 6]], [[30, 31, 32, 33], [40, 41, 42, 43], [50, 51, 52, 53]]

    def made(site: str) -> Edit:
        return edit.resample(site, "o", seed=1) if name == "resample" else edit.mean(site, "o", per_position=True)

    result = llama.generate_sweep(
        ids, made("resid_post"), over="layer", sources={"o": others}, max_new_tokens=STEPS, batch=2
    )
    for layer in range(3):
        edits = made(f"L{layer}.resid_post")
        wanted = llama.generate(ids, edits=edits, sources={"o": others}, max_new_tokens=STEPS).tokens
        assert [texts(result, layer=layer, example=e) for e in range(3)] == [list(row) for row in wanted]


def test_without_a_cache_attention_can_be_edited(llama: Model) -> None:
    result = llama.generate_sweep(IDS, edit.zero("L1.pattern"), over="head", max_new_tokens=3, use_cache=False)
    for head, example in itertools.product(range(4), range(3)):
        made = edit.zero("L1.pattern", head=head)
        wanted = llama.generate([IDS[example]], edits=made, max_new_tokens=3, use_cache=False).tokens[0]
        assert texts(result, head=head, example=example) == list(wanted)
    assert any("the cache is switched off" in fact for fact in result.provenance.facts)


def test_one_prompt_without_a_sweep(llama: Model) -> None:
    result = llama.generate_sweep(IDS[0], edit.zero("L1.mlp_out"), max_new_tokens=4)
    assert result["tokens"].dims == ("token",)
    assert list(result["tokens"].values) == one_by_one(llama, IDS[0], edit.zero("L1.mlp_out"))[:4]


def test_nothing_is_left_hooked(llama: Model) -> None:
    def fail(_: Tensor) -> Tensor:
        raise KeyboardInterrupt

    layout_of(llama.network)
    for made in (edit.call("L1.z", fail), edit.call("L2.resid_post", fail, step=1)):
        with pytest.raises(KeyboardInterrupt):
            llama.generate_sweep(IDS, [made, edit.add("resid_post", vector(llama))], over={"layer": [1, 2]})
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.native.modules())
