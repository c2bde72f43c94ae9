"""Generation: the native model's own, with edits that mean the same with a cache and without one."""

from __future__ import annotations

import pytest
import torch
from tests.engine import by_hand
from torch import Tensor

from assay import edit
from assay.core.errors import AssayError, ExperimentError, InputError
from assay.core.seeds import child_seed
from assay.engine.model import Model, load

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
RAGGED = [[5, 7, 11], [6, 9, 12, 15, 18], [1, 2, 3]]
VECTOR = torch.linspace(-3, 3, 32).double()


def greedy(
    model: Model, ids: list[int], steps: int, change: object = None, *, site: str = "L1.resid_post"
) -> tuple[int, ...]:
    """Greedy decoding by hand, the whole text at every step. `change(x, prompt)` acts on all positions at once."""
    text = list(ids)
    for _ in range(steps):
        changes = {} if change is None else {site: lambda x: change(x, len(ids))}  # type: ignore[operator]
        text.append(int(by_hand.run(model.native, [text], changes)[0][0, -1].argmax()))
    return tuple(text[len(ids) :])


def check(model: Model, made: object, change: object, **more: object) -> None:
    wanted = tuple(greedy(model, ids, 6, change) for ids in IDS)
    for cache in (True, False):
        found = model.generate(IDS, edits=made, max_new_tokens=6, use_cache=cache, **more)  # type: ignore[arg-type]
        assert found.tokens == wanted, f"use_cache={cache}"
    assert wanted != tuple(greedy(model, ids, 6) for ids in IDS), "the edit did nothing"


def test_greedy_is_argmax_at_every_step(llama: Model) -> None:
    assert llama.generate(IDS, max_new_tokens=6).tokens == tuple(greedy(llama, ids, 6) for ids in IDS)


def test_native_generate_gives_the_same(smol: Model) -> None:
    tokenizer = smol.tokenizer
    assert tokenizer is not None
    inputs = tokenizer("The capital of France is", return_tensors="pt")
    native = smol.native.generate(**inputs, max_new_tokens=8, do_sample=False)  # type: ignore[operator]
    found = smol.generate("The capital of France is", max_new_tokens=8)
    assert list(found.tokens[0]) == native[0, inputs["input_ids"].shape[1] :].tolist()
    assert found.texts == (tokenizer.decode(found.tokens[0], skip_special_tokens=True),)
    assert "Paris" in str(found)


def test_sampling_is_the_native_models_with_the_same_seed(llama: Model) -> None:
    found = llama.generate(IDS, max_new_tokens=8, temperature=0.7, top_k=20, top_p=0.9, seed=3)
    torch.manual_seed(child_seed(3, "generate") % 2**31)
    ids = torch.tensor(IDS)
    native = llama.native.generate(  # type: ignore[operator]
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=0.7, top_k=20, top_p=0.9,
        max_new_tokens=8, pad_token_id=0,
    )  # fmt: skip
    stop = llama.native.generation_config.eos_token_id  # type: ignore[union-attr]
    for row, tokens in enumerate(found.tokens):
        whole = native[row, 5:].tolist()
        end = whole.index(stop) + 1 if stop in whole else 8
        assert list(tokens) == whole[:end]


def test_seeds_decide_and_the_global_state_stays(llama: Model) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = llama.generate(IDS, max_new_tokens=10, temperature=1.5, seed=1).tokens
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(77)
    assert llama.generate(IDS, max_new_tokens=10, temperature=1.5, seed=1).tokens == one
    assert llama.generate(IDS, max_new_tokens=10, temperature=1.5, seed=1, use_cache=False).tokens == one
    assert llama.generate(IDS, max_new_tokens=10, temperature=1.5, seed=2).tokens != one


def test_prompts_of_different_length_are_as_if_alone(llama: Model) -> None:
    made = edit.add("L1.resid_post", VECTOR, pos=-1)
    found = llama.generate(RAGGED, edits=made, max_new_tokens=6)
    assert found.tokens == tuple(llama.generate([ids], edits=made, max_new_tokens=6).tokens[0] for ids in RAGGED)


def test_without_pos_every_token_is_edited(llama: Model) -> None:
    check(llama, edit.add("L1.resid_post", VECTOR), lambda x, _: x + VECTOR)


@pytest.mark.parametrize(("pos", "index"), [(-1, -1), (1, 1), (slice(0, 3), slice(0, 3))])
def test_pos_counts_in_the_prompt(llama: Model, pos: object, index: object) -> None:
    def change(x: Tensor, prompt: int) -> Tensor:
        x = x.clone()
        x[:, :prompt][:, index] += VECTOR
        return x

    check(llama, edit.add("L1.resid_post", VECTOR, pos=pos), change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "steps"), [(0, [0]), (2, [2]), ([1, 3], [1, 3]), (slice(1, None), range(1, 9)), (slice(None, 2), [0, 1])]
)  # fmt: skip
def test_steps(llama: Model, step: object, steps: object) -> None:
    """Step 0 is the prompt, step k the k-th generated token."""

    def change(x: Tensor, prompt: int) -> Tensor:
        at = [max(0, p - prompt + 1) in steps for p in range(x.shape[1])]  # type: ignore[operator]
        return x + torch.tensor(at)[None, :, None] * 10 * VECTOR

    check(llama, edit.add("L1.resid_post", VECTOR, scale=10, step=step), change)  # type: ignore[arg-type]


def test_a_source_reaches_the_prompt_only(llama: Model) -> None:
    other = [[35, 37, 31, 33, 37], [26, 29, 22, 25, 28]]
    there = by_hand.run(llama.native, other, keep=["L1.resid_post"])[1]["L1.resid_post"]
    for made, value in [
        (edit.patch("L1.resid_post", "other"), there),
        (edit.mean("L1.resid_post", "other", per_position=True), there.mean(0, keepdim=True).expand(2, -1, -1)),
    ]:
        wanted = []
        for row, ids in enumerate(IDS):
            new = value[row : row + 1]
            wanted.append(greedy(llama, ids, 6, lambda x, prompt, new=new: torch.cat([new, x[:, prompt:]], 1)))
        for cache in (True, False):
            found = llama.generate(IDS, edits=made, sources={"other": other}, max_new_tokens=6, use_cache=cache)
            assert found.tokens == tuple(wanted), (made.op, cache)


def test_a_mean_over_everything_reaches_every_token(llama: Model) -> None:
    other = [[35, 37, 31, 33, 37], [26, 29, 22, 25, 28]]
    mean = by_hand.run(llama.native, other, keep=["L1.resid_post"])[1]["L1.resid_post"].mean((0, 1))
    check(llama, edit.mean("L1.resid_post", "other"), lambda x, _: mean.expand_as(x), sources={"other": other})


def test_noise_is_the_same_with_and_without_a_cache(llama: Model) -> None:
    made = edit.noise("L1.resid_post", 3.0, seed=2)
    one, two = (llama.generate(IDS, edits=made, max_new_tokens=8, use_cache=cache).tokens for cache in (True, False))
    assert one == two
    assert one != llama.generate(IDS, max_new_tokens=8).tokens


def test_edits_of_keys_reach_the_cache(llama: Model) -> None:
    made = edit.zero("L1.k", pos=[1, 2])
    one, two = (llama.generate(IDS, edits=made, max_new_tokens=6, use_cache=cache).tokens for cache in (True, False))
    assert one == two


def test_attention_edits_need_the_cache_off(llama: Model) -> None:
    made = edit.zero("L1.pattern", head=1)
    with pytest.raises(ExperimentError, match="use_cache=False"):
        llama.generate(IDS, edits=made)
    assert llama.generate(IDS, edits=made, use_cache=False, max_new_tokens=3).tokens


def test_learned_positions_go_on_after_the_prompt(gpt2: Model) -> None:
    made = edit.scale("L0.mlp_out", 1.5, step=slice(1, None))
    one, two = (gpt2.generate(IDS, edits=made, max_new_tokens=6, use_cache=cache).tokens for cache in (True, False))
    assert one == two
    assert gpt2.generate(RAGGED, max_new_tokens=4).tokens == tuple(
        gpt2.generate([ids], max_new_tokens=4).tokens[0] for ids in RAGGED
    )


def test_it_stops_at_the_end_token_and_keeps_it(llama: Model) -> None:
    plain = llama.generate(IDS, max_new_tokens=6).tokens
    generation = llama.native.generation_config  # type: ignore[union-attr]
    before = generation.eos_token_id
    try:
        generation.eos_token_id = plain[0][2]
        found = llama.generate(IDS, max_new_tokens=6).tokens
    finally:
        generation.eos_token_id = before
    assert found[0] == plain[0][: plain[0].index(plain[0][2]) + 1]
    other = plain[1]
    assert found[1] == (other[: other.index(plain[0][2]) + 1] if plain[0][2] in other else other)


def test_nothing_is_left_hooked(llama: Model) -> None:
    def fail(_: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        llama.generate(IDS, edits=edit.call("L1.z", fail))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.native.modules())
    assert llama.generate(IDS, max_new_tokens=6).tokens == tuple(greedy(llama, ids, 6) for ids in IDS)


def test_logits_are_edited_at_their_own_positions_and_steps(llama: Model) -> None:
    """Native code computes the last logits only; edits count them all."""
    pushed = torch.zeros(60, dtype=torch.float64)
    pushed[7] = 1e3
    plain = llama.generate(IDS, max_new_tokens=4).tokens
    for where, changed in [
        ({"step": 2}, {2}),
        ({"pos": -1}, {0}),
        ({"pos": 1}, set()),
        ({"step": slice(1, 3)}, {1, 2}),
    ]:
        for cache in (True, False):
            made = edit.add("logits", pushed, **where)  # type: ignore[arg-type]
            found = llama.generate(IDS, edits=made, max_new_tokens=4, use_cache=cache).tokens
            for row, before in zip(found, plain, strict=True):
                assert {k for k, token in enumerate(row) if token == 7} >= changed
                first = min(changed, default=4)
                assert row[:first] == before[:first], (where, cache)


def test_of_an_encoder_decoder_only_new_tokens_are_given() -> None:
    from tests.conformance.zoo import build

    native, _ = build("BartForConditionalGeneration")
    generation = native.generation_config  # type: ignore[union-attr]
    generation.decoder_start_token_id = generation.eos_token_id = 2  # as Bart's are: the start is no end
    found = load(native).generate([[5, 7, 11, 13]], max_new_tokens=4).tokens[0]
    whole = native.generate(input_ids=torch.tensor([[5, 7, 11, 13]]), max_new_tokens=4, do_sample=False)[0].tolist()  # type: ignore[operator]
    assert whole[0] == 2 and list(found) == whole[1:]


def test_left_padded_batches_of_ones_own(gpt2: Model) -> None:
    """The model's own inputs, padded at the left with a mask, give what each prompt gives alone."""
    own = {"input_ids": [[0, 0, 5, 7, 11], [6, 9, 12, 15, 18]], "attention_mask": [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]}
    found = gpt2.generate({name: torch.tensor(rows) for name, rows in own.items()}, max_new_tokens=4)
    assert found.tokens == gpt2.generate([[5, 7, 11], [6, 9, 12, 15, 18]], max_new_tokens=4).tokens


def test_what_cannot_generate_says_so() -> None:
    from torch import nn

    model = load(nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10)), inputs={"input": torch.tensor([[1, 2]])})
    with pytest.raises(AssayError, match="generate"):
        model.generate([[1, 2]])


@pytest.mark.parametrize(
    "bad", [{"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 2.0}, {"top_k": 0}, {"topp": 0.5}]
)
def test_settings_that_make_no_sense(llama: Model, bad: dict[str, float]) -> None:
    with pytest.raises(AssayError):
        llama.generate(IDS, **bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["BartForConditionalGeneration", "T5ForConditionalGeneration"])
@pytest.mark.parametrize("cache", [True, False])
def test_steps_of_an_encoder_decoder_are_the_decoders(name: str, cache: bool) -> None:
    """Whatever the length of the encoder's prompt, the text changes from the token that the edited step chooses."""
    from tests.conformance.zoo import build

    native, _ = build(name)
    settings = native.generation_config  # type: ignore[union-attr]
    settings.eos_token_id, settings.forced_eos_token_id, settings.decoder_start_token_id, settings.pad_token_id = (
        59,
        None,
        2,
        0,
    )
    model = load(native)
    plain = model.generate([[5, 7, 11, 13, 4]], max_new_tokens=6).tokens[0]
    for step, first in [(0, 0), (1, 1), (slice(2, None), 2), ([1, 3], 1)]:
        made = edit.noise("dec.L1.resid_post", 30.0, step=step)  # type: ignore[arg-type]
        found = model.generate([[5, 7, 11, 13, 4]], edits=made, max_new_tokens=6, use_cache=cache).tokens[0]
        assert [a == b for a, b in zip(found, plain, strict=True)].index(False) == first, step


@pytest.mark.parametrize("step", [6, [1, 9], slice(6, 8), slice(3, 3)])
def test_a_step_that_there_will_not_be_is_refused(llama: Model, step: object) -> None:
    made = edit.zero("L1.z", step=step)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="With max_new_tokens=6 there are steps 0 … 5"):
        llama.generate(IDS, edits=made, max_new_tokens=6)
    with pytest.raises(InputError, match="With max_new_tokens=6 there are steps 0 … 5"):
        llama.generate_sweep(IDS, made, max_new_tokens=6)


def test_a_place_in_the_prompt_at_later_steps_is_refused(llama: Model) -> None:
    with pytest.raises(InputError, match="pos counts in the prompt, which is step 0"):
        llama.generate(IDS, edits=edit.zero("L1.z", pos=-1, step=1))


def test_an_encoder_has_no_later_steps() -> None:
    from tests.conformance.zoo import build

    model, change = load(build("T5ForConditionalGeneration")[0]), edit.zero("enc.L0.mlp_out", step=[1, 2])
    with pytest.raises(InputError, match="an encoder runs once, in step 0"):
        model.generate([[5, 7, 11, 13, 4]], edits=change, max_new_tokens=4)


def test_a_plain_run_has_the_prompts_step_alone(llama: Model) -> None:
    assert torch.equal(*(llama.run(IDS, edits=edit.zero("L1.z", step=s)).logits for s in (0, None)))
    with pytest.raises(InputError, match="A plain run has step 0 alone"):
        llama.run(IDS, edits=edit.zero("L1.z", step=1))


@pytest.mark.parametrize("step", [-1, [0, -2], slice(-3, None), slice(0, -1)])
def test_steps_are_not_counted_from_the_end(step: object) -> None:
    with pytest.raises(ExperimentError, match="steps are counted from 0"):
        edit.zero("L1.z", step=step)  # type: ignore[arg-type]
