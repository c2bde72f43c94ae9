"""Plain runs: every kind of input gives the native model's own logits, and captures give what flows there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from tests.engine import by_hand

import assay
from assay import capture
from assay.core.errors import SiteError
from assay.engine.model import Model, load

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
SITES = [f"L{layer}.{name}" for layer in (0, 2) for name in by_hand.PLACES]


def native_logits(model: Model, ids: object) -> torch.Tensor:
    return by_hand.run(model.native, ids)[0]


@pytest.mark.parametrize(
    "inputs",
    [IDS, tuple(map(tuple, IDS)), torch.tensor(IDS), np.array(IDS), {"input_ids": IDS}, {"input_ids": torch.tensor(IDS)}],
    ids=["lists", "tuples", "tensor", "array", "dict of lists", "dict of tensors"],
)  # fmt: skip
def test_token_ids_in_every_form_give_native_logits(llama: Model, inputs: object) -> None:
    assert torch.equal(llama.run(inputs).logits, native_logits(llama, IDS))


def test_one_list_of_ids_is_one_prompt(llama: Model) -> None:
    assert torch.equal(llama.run(IDS[0]).logits, native_logits(llama, IDS[:1]))


def test_text_is_tokenised_as_the_tokenizer_does_it(smol: Model) -> None:
    tokenizer = smol.tokenizer
    assert tokenizer is not None
    text = "The capital of France is"
    with torch.no_grad():
        wanted = smol.native(**tokenizer(text, return_tensors="pt")).logits
    run = smol.run(text)
    assert run.tokens.strings(tokenizer) == ["The", " capital", " of", " France", " is"]
    assert torch.equal(run.logits, wanted)
    assert torch.equal(smol.run([text]).logits, wanted)
    assert run.top(1)[0][0] == " Paris"
    assert run.top(1)[0][1] == pytest.approx(float(wanted[0, -1].softmax(-1).max()))


def test_a_chat_is_written_out_by_the_template(smol: Model) -> None:
    tokenizer = smol.tokenizer
    assert tokenizer is not None
    chat = [{"role": "user", "content": "Say hello"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    run = smol.run(chat)
    assert list(run.tokens.rows[0]) == ids
    with torch.no_grad():
        assert torch.equal(run.logits, smol.native(torch.tensor([ids])).logits)


def test_the_models_own_inputs_are_passed_on(gpt2: Model) -> None:
    """Left padding with a mask and positions of its own gives the unpadded numbers at the real tokens."""
    own = {
        "input_ids": torch.tensor([[0, 0, 5, 7, 11]]),
        "attention_mask": torch.tensor([[0, 0, 1, 1, 1]]),
        "position_ids": torch.tensor([[0, 0, 0, 1, 2]]),
    }
    padded = gpt2.run(own, capture=["L1.resid_post"])
    plain = gpt2.run([[5, 7, 11]], capture=["L1.resid_post"])
    torch.testing.assert_close(padded["L1.resid_post"][:, 2:], plain["L1.resid_post"])  # rounding of masked sums
    torch.testing.assert_close(padded.logits[:, 2:], plain.logits)


@pytest.mark.parametrize("name", ["T5ForConditionalGeneration", "BertForMaskedLM", "ViTForImageClassification"])
def test_models_that_read_something_else(name: str) -> None:
    native, inputs = zoo.build(name)
    with torch.no_grad():
        wanted = native(**inputs).logits
    model = load(native, inputs=inputs)
    site = next(str(s) for s in model.sites if s.name.name == "resid_post")
    run = model.run(inputs, capture=[site])
    assert torch.equal(run.logits, wanted)
    assert run[site].shape[0] == wanted.shape[0]


@pytest.mark.parametrize("site", SITES)
def test_captures_are_what_a_hook_by_hand_sees(llama: Model, site: str) -> None:
    wanted = by_hand.run(llama.native, IDS, keep=[site])[1][site]
    assert torch.equal(llama.run(IDS, capture=[site])[site], wanted)


def test_pattern_and_scores_are_those_of_attention_by_hand(llama: Model) -> None:
    run = llama.run(IDS, capture=["L1.pattern", "L1.scores", "L1.v", "L1.z", "L1.q_rot", "L1.k_rot"])
    q, k = run["L1.q_rot"].transpose(1, 2), run["L1.k_rot"].transpose(1, 2).repeat_interleave(2, 1)
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    pattern = scores.masked_fill(~causal, -torch.inf).softmax(-1)
    by_hand.close(run["L1.pattern"], pattern)
    by_hand.close(run["L1.scores"][:, :, causal], scores[:, :, causal])
    values = run["L1.v"].transpose(1, 2).repeat_interleave(2, 1)
    by_hand.close(run["L1.z"], (pattern @ values).transpose(1, 2))


def test_head_out_sums_to_what_attention_adds(llama: Model) -> None:
    run = llama.run(IDS, capture=["L1.head_out", "L1.z", "L1.attn_out"])
    weight = llama.native.model.layers[1].self_attn.o_proj.weight  # type: ignore[union-attr, index]
    each = torch.einsum("bphd,ohd->bpho", run["L1.z"], weight.unflatten(1, (4, -1)))
    by_hand.close(run["L1.head_out"], each.detach())
    by_hand.close(run["L1.head_out"].sum(2), run["L1.attn_out"])


def test_a_site_without_a_layer_is_every_layer(llama: Model) -> None:
    run = llama.run(IDS, capture="resid_post")
    assert list(run.captured) == ["L0.resid_post", "L1.resid_post", "L2.resid_post"]
    for site, value in by_hand.run(llama.native, IDS, keep=run.captured)[1].items():
        assert torch.equal(run[site], value)


def test_aliases_and_negative_layers_find_the_same_tensor(llama: Model) -> None:
    run = llama.run(IDS, capture=["blocks.2.hook_resid_post", capture.site("L0.z", name="mine")])
    assert torch.equal(run["L-1.resid_post"], run["blocks.2.hook_resid_post"])
    assert torch.equal(run["mine"], by_hand.run(llama.native, IDS, keep=["L0.z"])[1]["L0.z"])


def test_native_modules_are_sites(llama: Model) -> None:
    site = "native:model.layers.1.mlp.down_proj:in"
    wanted = by_hand.run(llama.native, IDS, keep=["L1.mlp_post"])[1]["L1.mlp_post"]
    assert torch.equal(llama.run(IDS, capture=[site])[site], wanted)


@pytest.mark.parametrize(
    ("pos", "index"), [(2, [2]), (-1, [4]), ([0, -2], [0, 3]), (slice(1, None, 2), [1, 3]), ("end", [4]), (None, range(5))]
)  # fmt: skip
def test_positions_heads_and_dtype_of_a_capture(llama: Model, pos: object, index: list[int]) -> None:
    run = llama.run(IDS, capture=[capture.site("L1.z", pos=pos, head=[3, 0], dtype="bfloat16", name="z")])  # type: ignore[arg-type]
    whole = by_hand.run(llama.native, IDS, keep=["L1.z"])[1]["L1.z"]
    assert torch.equal(run["z"], whole[:, list(index)][:, :, [3, 0]].bfloat16())


def test_positions_of_a_pattern_are_queries(llama: Model) -> None:
    whole = llama.run(IDS, capture=["L1.pattern"])["L1.pattern"]
    some = llama.run(IDS, capture=[capture.site("L1.pattern", pos=-1, head=2)])["L1.pattern"]
    assert torch.equal(some, whole[:, 2:3, -1:])


def test_named_positions_differ_by_example(llama: Model) -> None:
    run = llama.run(IDS, capture=[capture.site("L1.z", pos=["subject", "end"])], positions={"subject": [1, 3]})
    whole = by_hand.run(llama.native, IDS, keep=["L1.z"])[1]["L1.z"]
    wanted = torch.stack([whole[0, [1, 4]], whole[1, [3, 4]]])
    assert torch.equal(run["L1.z"], wanted)


def test_prompts_of_different_length_are_run_apart_and_put_back_in_order(llama: Model) -> None:
    ragged = [[5, 7, 11], [6, 9, 12, 15, 18], [1, 2, 3]]
    run = llama.run(ragged, capture=["L1.resid_post", "L1.pattern"])
    for row, ids in enumerate(ragged):
        logits, kept = by_hand.run(llama.native, [ids], keep=["L1.resid_post"])
        by_hand.close(run.logits[row, : len(ids)], logits[0])
        by_hand.close(run["L1.resid_post"][row, : len(ids)], kept["L1.resid_post"][0])
        assert run.logits[row, len(ids) :].isnan().all()
        assert run["L1.resid_post"][row, len(ids) :].isnan().all()
        assert run["L1.pattern"][row, :, : len(ids), : len(ids)].isfinite().all()
        assert run["L1.pattern"][row, :, len(ids) :].isnan().all()


def test_what_was_not_captured_is_an_error_with_the_nearest(llama: Model) -> None:
    with pytest.raises(SiteError, match=r"'L1\.resid_pst' was not captured.*Nearest: L1\.resid_post"):
        llama.run(IDS, capture=["L1.resid_post"])["L1.resid_pst"]


def test_an_attention_module_beside_another_layers_pattern(gpt2: Model) -> None:
    both = gpt2.run(IDS, capture=["L0.attn_out", "L1.pattern"])
    torch.testing.assert_close(both["L0.attn_out"], gpt2.run(IDS, capture="L0.attn_out")["L0.attn_out"])
    assert torch.equal(both["L1.pattern"], gpt2.run(IDS, capture="L1.pattern")["L1.pattern"])


def test_a_capture_is_a_copy(llama: Model) -> None:
    run = llama.run(IDS, capture=["L0.resid_post"])
    run["L0.resid_post"].zero_()
    assert torch.equal(llama.run(IDS).logits, run.logits)


def test_a_run_says_what_was_tokenised(smol: Model) -> None:
    run = smol.run("Hello", capture=["L0.z"])
    assert any("BOS" in fact for fact in run.facts)
    assert "L0.z [1, 1, 9, 64] float32" in repr(run)
    assert isinstance(run, assay.engine.run_result.RunResult)
