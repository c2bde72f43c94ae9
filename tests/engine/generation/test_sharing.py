"""What a generation sweep computes: counted in native code, and compared with what must be computed.

Each part that is shared has a test that fails when it silently stops being used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tests.conformance.zoo import build
from torch import nn

from assay import edit
from assay.core.errors import AssayError, SettingsError
from assay.engine.generation.trial import ALL, layout_of
from assay.engine.model import Model, load

PROMPT = [5, 7, 11, 13, 17, 2, 3, 9]
STEPS = 4
VECTOR = torch.linspace(-3, 3, 32).double()


@contextmanager
def counting(model: Model) -> Iterator[list[int]]:
    """Tokens that each block computes, one number for each call."""
    seen: list[int] = []
    blocks = [
        m for name, m in model.native.named_modules() if name.rpartition(".")[2].isdigit() and name.count(".") == 2
    ]
    assert len(blocks) == model.n_layers

    def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        seen.append(hidden.shape[0] * hidden.shape[1])

    # inside the blocks, so that rows that join at them are seen
    handles = [block.self_attn.register_forward_pre_hook(count, with_kwargs=True) for block in blocks]  # type: ignore[union-attr,operator]
    layout_of(model.network)  # functions were put into it, so it is tried again: before anything is counted
    seen.clear()
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def run(model: Model, made: Any, over: Any, **more: Any) -> tuple[int, Any]:
    with counting(model) as seen:
        result = model.generate_sweep(PROMPT, made, over=over, max_new_tokens=STEPS, **more)
    assert result.cost.token_layers == sum(seen)
    return sum(seen), result


def decoded(rows: int, layers: int = 3) -> int:
    """Token-layers of the steps after the prompt's."""
    return rows * (STEPS - 1) * layers


def test_against_one_by_one(llama: Model) -> None:
    made, over = edit.add("resid_post", VECTOR), {"scale": [1.0, 2.0, 3.0, 4.0], "layer": None}
    _, batched = run(llama, made, over)
    alone, single = run(llama, made, over, without=["rows"])
    assert alone == 12 * len(PROMPT) * 3 + decoded(12)
    assert single.cost.passes == 12 * STEPS
    assert batched.cost.passes == STEPS, "one pass over the prompts, and one for each further token"
    assert (batched["tokens"].values == single["tokens"].values).all()


def test_edits_of_new_tokens_share_the_prompt(llama: Model) -> None:
    made, over = edit.add("resid_post", VECTOR, step=slice(1, None)), {"scale": [1.0, 2.0, 3.0], "layer": None}
    work, result = run(llama, made, over)
    assert work == len(PROMPT) * 3 + decoded(9)
    more, same = run(llama, made, over, without=["prompt", "position", "depth"])
    assert more == 9 * len(PROMPT) * 3 + decoded(9)
    assert (result["tokens"].values == same["tokens"].values).all()
    chunks, again = run(llama, made, over, batch=2)
    assert chunks == work, "the prompt is run once however many batches there are"
    assert (result["tokens"].values == again["tokens"].values).all()


def test_positions_before_the_first_edit_are_shared(llama: Model) -> None:
    made, over = edit.add("resid_post", VECTOR, pos=6), {"scale": [1.0, 2.0, 3.0], "layer": [0]}
    work, result = run(llama, made, over, without=["depth"])
    assert work == 6 * 3 + 3 * 2 * 3 + decoded(3)
    more, same = run(llama, made, over, without=["depth", "position"])
    assert more == 3 * len(PROMPT) * 3 + decoded(3)
    assert (result["tokens"].values == same["tokens"].values).all()


def test_blocks_before_the_edit_are_shared(llama: Model) -> None:
    made, over = edit.add("resid_post", VECTOR), {"scale": [1.0, 2.0, 3.0], "layer": [1, 2]}
    work, result = run(llama, made, over)
    # the unedited row in all three blocks, three rows join at block 1 and three at block 2
    assert work == len(PROMPT) * (1 + 4 + 7) + decoded(6)
    more, same = run(llama, made, over, without=["depth"])
    assert more == 6 * len(PROMPT) * 3 + decoded(6)
    assert (result["tokens"].values == same["tokens"].values).all()


def test_both_at_once(llama: Model) -> None:
    made, over = edit.add("resid_post", VECTOR, pos=-1), {"scale": [1.0, 2.0, 3.0], "layer": [1, 2]}
    work, result = run(llama, made, over)
    assert work == (len(PROMPT) - 1) * 3 + (1 + 4 + 7) + decoded(6)
    _, same = run(llama, made, over, without=["rows"])
    assert (result["tokens"].values == same["tokens"].values).all()


def test_nobody_joins_where_it_does_not_pay(llama: Model) -> None:
    work, _ = run(llama, edit.add("resid_post", VECTOR), {"scale": [1.0, 2.0], "layer": [1]})
    assert work == 2 * len(PROMPT) * 3 + decoded(2), "an unedited row would cost more than it saves"


def test_variants_that_do_nothing_are_one(llama: Model) -> None:
    work, result = run(llama, edit.add("resid_post", VECTOR), {"scale": [0.0], "layer": None})
    assert work == len(PROMPT) * 3 + decoded(1)
    assert (result["tokens"].values == llama.generate([PROMPT], max_new_tokens=STEPS).tokens[0]).all()


def test_what_does_not_hold_for_a_model_is_left_out_and_said() -> None:
    """A state-space model begins afresh when it is given several tokens after others."""
    native, _ = build("mamba")
    model = load(native.double())
    vector = torch.randn(model.d_model, dtype=torch.float64)
    result = model.generate_sweep(
        [[5, 7, 11, 13], [6, 9]], edit.add("resid_post", vector, pos=-1), over={"scale": [1.0, 3.0], "layer": None},
        max_new_tokens=3,
    )  # fmt: skip
    assert "position" not in layout_of(model.network).parts
    assert any(fact.startswith("without position:") for fact in result.provenance.facts)
    for layer in range(model.n_layers):
        for scale in (1.0, 3.0):
            made = edit.add(f"L{layer}.resid_post", vector, scale=scale, pos=-1)
            wanted = [model.generate([ids], edits=made, max_new_tokens=3).tokens[0] for ids in ([5, 7, 11, 13], [6, 9])]
            assert (result["tokens"].sel(scale=scale, layer=layer).values == wanted).all()


@pytest.mark.parametrize(("name", "holds"), [("gemma2", True), ("moshi", False)])
def test_beyond_a_sliding_window_models_are_looked_at_once_more(name: str, holds: bool) -> None:
    """Some native code goes on wrongly when its cache has let tokens go; a trial on short prompts can't know."""
    native, _ = build(name)
    model = load(native.double())
    vector, long = torch.randn(model.d_model, dtype=torch.float64), [5, 7, 11, 13, 2, 3, 9, 8]
    assert native.config.sliding_window < len(long) - 1  # type: ignore[union-attr]
    assert "position" in layout_of(model.network).parts
    result = model.generate_sweep(
        [long], edit.add("resid_post", vector, pos=-1), over={"scale": [1.0, 3.0], "layer": None}, max_new_tokens=3
    )
    assert any("sliding window" in fact for fact in result.provenance.facts) is not holds
    for layer in range(model.n_layers):
        for scale in (1.0, 3.0):
            made = edit.add(f"L{layer}.resid_post", vector, scale=scale, pos=-1)
            wanted = model.generate([long], edits=made, max_new_tokens=3).tokens
            assert (result["tokens"].sel(scale=scale, layer=layer).values == wanted).all()


@pytest.mark.parametrize("name", ["rwkv", "minimax"])
def test_models_without_rows_are_run_one_by_one(name: str) -> None:
    """States that native code keeps outside the cache, or in one that can't be put into another order."""
    native, _ = build(name)
    model = load(native)
    vector = torch.randn(model.d_model)
    ids = [[5, 7, 11, 13], [6, 9]]
    result = model.generate_sweep(ids, edit.add("resid_post", vector), over="layer", max_new_tokens=3)
    assert layout_of(model.network).parts == frozenset()
    assert any("one row at a time" in fact for fact in result.provenance.facts)
    for layer in range(model.n_layers):
        made = edit.add(f"L{layer}.resid_post", vector)
        wanted = [model.generate([row], edits=made, max_new_tokens=3).tokens[0] for row in ids]
        assert (result["tokens"].sel(layer=layer).values == wanted).all()


def test_padded_inputs_of_ones_own_are_run_one_by_one(gpt2: Model) -> None:
    own = {
        "input_ids": torch.tensor([[0, 0, 5, 7, 11], [6, 9, 12, 15, 18]]),
        "attention_mask": torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]),
    }
    result = gpt2.generate_sweep(own, edit.scale("mlp_out"), over={"factor": [0.5], "layer": None}, max_new_tokens=3)
    assert any("without rows: its inputs are more than prompts" in fact for fact in result.provenance.facts)
    for layer in range(2):
        made = edit.scale(f"L{layer}.mlp_out", 0.5)
        wanted = [
            gpt2.generate([ids], edits=made, max_new_tokens=3).tokens[0] for ids in ([5, 7, 11], [6, 9, 12, 15, 18])
        ]
        assert (result["tokens"].sel(factor=0.5, layer=layer).values == wanted).all()


def test_an_encoder_decoder_is_run_one_by_one() -> None:
    native, _ = build("T5ForConditionalGeneration")
    native.generation_config.decoder_start_token_id = 0  # type: ignore[union-attr]
    model = load(native)
    result = model.generate_sweep([[5, 7, 11, 1]], edit.zero("dec.mlp_out"), over={"layer": [0, 1]}, max_new_tokens=3)
    wanted = [
        model.generate([[5, 7, 11, 1]], edits=edit.zero(f"dec.L{layer}.mlp_out"), max_new_tokens=3).tokens[0]
        for layer in range(2)
    ]
    assert [list(row[row >= 0]) for row in result["tokens"].isel(example=0).values] == [list(row) for row in wanted]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"batch": 0}, "at least 1"),
        ({"without": ["dept"]}, "Nearest: depth"),
        ({"seed": [1, 1]}, "each once"),
        ({"seed": []}, "at least one"),
        ({"topp": 0.5}, "topp"),
        ({"max_new_tokens": 0}, "at least 1"),
    ],
)
def test_settings_that_make_no_sense(llama: Model, more: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        llama.generate_sweep(PROMPT, edit.zero("mlp_out"), over="layer", **more)


@pytest.mark.parametrize(
    ("made", "over", "message"),
    [
        (edit.zero("L1.mlp_out"), "layer", "leaves 'layer' free"),
        (edit.zero("mlp_out"), {"layer": [9]}, "layer 9"),
        (edit.zero("L1.pattern"), "head", "use_cache=False"),
        (edit.zero("L1.mlp_out", pos=20), None, "out of range"),
    ],
)
def test_sweeps_that_make_no_sense(llama: Model, made: Any, over: Any, message: str) -> None:
    with pytest.raises(AssayError, match=message):
        llama.generate_sweep(PROMPT, made, over=over)


def test_the_embedded_models_texts(smol: Model, tmp_path: Any) -> None:
    texts = ["The capital of France is", "My name is"]
    assert layout_of(smol.network).parts == ALL, "rounding in thirty layers is no mistake"
    result = smol.generate_sweep(
        texts, edit.scale("mlp_out"), over={"factor": [1.0, 0.9], "layer": [3, 20]}, max_new_tokens=6
    )
    for factor in (1.0, 0.9):
        for layer in (3, 20):
            made = edit.scale(f"L{layer}.mlp_out", factor)
            wanted = smol.generate(texts, edits=made, max_new_tokens=6).texts
            assert tuple(result["text"].sel(factor=factor, layer=layer).values) == wanted
    again = type(result).load(result.save(tmp_path / "sweep.npz"))
    assert again.data.identical(result.data)
    assert again.provenance.seed == 0
