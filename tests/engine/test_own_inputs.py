"""A model's own inputs: names that it reads, those that it would lose, and what an encoder-decoder's decoder starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.conformance import zoo
from torch import Tensor, nn

from assay import edit, metric, sweep
from assay.core.errors import InputError
from assay.engine.model import Model, load

IDS = [[5, 7, 11, 13], [6, 9, 12, 15]]
TOKENS = torch.tensor(IDS)


@pytest.mark.parametrize("name", ["llama", "gpt2", "mamba", "BertForMaskedLM", "T5ForConditionalGeneration"])
def test_a_name_that_is_not_read_is_refused(name: str) -> None:
    """Most of these take **kwargs, and hand what they do not know from part to part until nobody reads it."""
    model = load(zoo.build(name)[0])
    mask = torch.ones_like(TOKENS)
    for wrong, near in (("atention_mask", "attention_mask"), ("input_id", "input_ids")):
        with pytest.raises(
            InputError, match=rf"the input 'input' has '{wrong}', which .* does not read.*Nearest: {near}"
        ):
            model.run({"input_ids": TOKENS, wrong: mask} if wrong != "input_id" else {"input_id": TOKENS})


def test_names_that_parts_read_are_taken(llama: Model) -> None:
    """`is_causal` is in the type of Llama's **kwargs; `output_attentions` is looked up by code around it."""
    assert {"is_causal", "output_attentions", "position_ids"} <= llama.network.arguments
    assert not {"atention_mask", "input"} & llama.network.arguments, "what an activation calls its tensor is no input"


class Handing(nn.Module):
    """Names nothing itself: looks one input up, and hands the rest on."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Adding()

    def forward(self, **inputs: Tensor) -> Tensor:
        return inputs["pixels"] + self.part(**{name: each for name, each in inputs.items() if name != "pixels"})


class Adding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, bias: Tensor, **rest: Any) -> Tensor:
        return self.weight + bias


def test_a_module_that_names_nothing_is_read_through() -> None:
    model, pixels = load(Handing()), torch.zeros(2, 3)
    assert torch.equal(model.run({"pixels": pixels, "bias": pixels + 1}).logits, pixels + 2)
    with pytest.raises(InputError, match="has 'bais'"):
        model.run({"pixels": pixels, "bais": pixels})


def test_tokens_for_a_model_that_reads_none() -> None:
    model = load(zoo.build("ViTForImageClassification")[0])
    with pytest.raises(InputError, match=r"reads no token ids: give the input 'input' as a dict.*pixel_values"):
        model.run(IDS)


@pytest.mark.parametrize("name", ["T5ForConditionalGeneration", "BartForConditionalGeneration", "MarianMTModel"])
def test_a_decoder_that_nothing_is_given_for_starts_as_in_generation(name: str) -> None:
    native: Any = zoo.build(name)[0]
    native.generation_config.decoder_start_token_id = 2
    model, start = load(native), torch.tensor([[2], [2]])
    with torch.no_grad():
        wanted = native(input_ids=TOKENS, decoder_input_ids=start).logits
    run = model.run(IDS, capture=["dec.L0.resid_post", "enc.L0.resid_post"], metrics=metric.logit(9))
    assert torch.equal(run.logits, wanted)
    assert run["dec.L0.resid_post"].shape[1] == 1 and run["enc.L0.resid_post"].shape[1] == 4
    assert any("the decoder read its start token 2 alone" in fact for fact in run.facts)
    torch.testing.assert_close(run.metrics["logit"], wanted[:, 0, 9])
    assert [token for token, _ in run.top(2)] == [str(i) for i in wanted[0, 0].topk(2).indices.tolist()]
    short = model.run([IDS[0], IDS[1][:2]]).logits  # lengths may differ
    torch.testing.assert_close(short[:1], wanted[:1])
    first = model.generate(IDS, max_new_tokens=1).tokens
    assert [row[0] for row in first] == wanted[:, 0].argmax(-1).tolist()


def test_a_dict_without_anything_for_the_decoder_is_told_what_to_add() -> None:
    native: Any = zoo.build("T5ForConditionalGeneration")[0]
    native.generation_config.decoder_start_token_id = 2
    model = load(native)
    for call in (model.run, lambda given: model.gradients(given, of=metric.logit(3), sites="dec.L0.resid_post")):
        with pytest.raises(InputError, match=r"hold nothing for it: add 'decoder_input_ids' to the dict, \[\[2\]\]"):
            call({"input_ids": TOKENS})  # type: ignore[operator]


def test_a_dict_is_passed_on_as_it_is() -> None:
    """Bart makes its decoder's inputs from the encoder's; so it does here."""
    native: Any = zoo.build("BartForConditionalGeneration")[0]
    with torch.no_grad():
        wanted = native(input_ids=TOKENS).logits
    assert torch.equal(load(native).run({"input_ids": TOKENS}).logits, wanted)


def random_ids(rows: int, length: int, seed: int) -> Tensor:
    return torch.randint(5, 50, (rows, length), generator=torch.Generator().manual_seed(seed))


def own_inputs(case: str, model: Model) -> list[Any]:
    """Inputs of which the tokens of the prompts are not what the scheduled blocks go over; two of each."""
    made: dict[str, Callable[[int], Any]] = {
        "a longer encoder": lambda i: {"input_ids": random_ids(3, 7, i), "decoder_input_ids": random_ids(3, 5, 9 + i)},
        "a longer decoder": lambda i: {"input_ids": random_ids(3, 3, i), "decoder_input_ids": random_ids(3, 5, 9 + i)},
        "as long": lambda i: {"input_ids": random_ids(3, 5, i), "decoder_input_ids": random_ids(3, 5, 9 + i)},
        "texts alone": lambda i: random_ids(3, 5, i).tolist(),
        "embeddings": lambda i: {"inputs_embeds": model.native.get_input_embeddings()(random_ids(3, 5, i)).detach()},  # type: ignore[operator]
    }
    return [made[case](i) for i in range(2)]


@pytest.mark.parametrize("case", ["a longer encoder", "a longer decoder", "as long", "texts alone", "embeddings"])
def test_sweeps_of_own_inputs_give_the_naive_numbers(case: str) -> None:
    """The schedule plans by the positions of prompts, so it leaves alone what has others."""
    native: Any = zoo.build("llama" if case == "embeddings" else "BartForConditionalGeneration")[0]
    if case != "embeddings":
        native.generation_config.decoder_start_token_id = 2
    model = load(native)
    stack = "" if case == "embeddings" else "dec."
    first, second = own_inputs(case, model)
    places: dict[str, list[int] | None] = {"layer": None} if case == "texts alone" else {"layer": None, "pos": [1, 4]}
    for site, over in ((f"{stack}resid_pre", places), (f"{stack}z", {"layer": None, "head": None})):
        experiment = sweep(
            edit.patch(site, source="b"), over, inputs={"a": first, "b": second}, base="a",
            metrics=[metric.logit(9), metric.entropy(pos=None)],
        )  # fmt: skip
        slow, fast = (model.measure(experiment, engine=engine) for engine in ("naive", "scheduled"))
        for name in slow.names:
            np.testing.assert_allclose(fast[name].values, slow[name].values, rtol=1e-4, atol=1e-5)
        scheduled = any(fact.startswith("engine: scheduled") for fact in fast.provenance.facts)
        assert scheduled == (case == "as long")


def test_every_position_of_an_axis_of_its_own_is_read() -> None:
    """A decoder longer than its encoder; embeddings instead of tokens."""
    native, inputs = zoo.build("T5ForConditionalGeneration")
    inputs["input_ids"] = inputs["input_ids"][:, :3]
    run = load(native).run(inputs, metrics=metric.entropy(pos=None))
    assert run.metrics["entropy"].shape == run.logits.shape[:2]
    llama = load(zoo.build("llama")[0])
    embedded = {"inputs_embeds": llama.native.get_input_embeddings()(TOKENS).detach()}  # type: ignore[operator]
    run = llama.run(embedded, metrics=metric.entropy(pos=None))
    assert run.metrics["entropy"].shape == (2, 4)
    plain = llama.run(IDS)
    assert run.top(3) == plain.top(3), "−1 is the last position, not the first"


def test_a_corpus_is_read_by_the_encoder() -> None:
    for name in ("T5ForConditionalGeneration", "BartForConditionalGeneration"):
        model = load(zoo.build(name)[0])
        assert len(model.harvest([[5, 6, 7], [8, 9, 10, 11]], "enc.L0.resid_post")) == 7
        with pytest.raises(
            InputError, match=r"dec\.L0\.resid_post is of the decoder, and a corpus is read by the encoder"
        ):
            model.harvest([[5, 6, 7]], "dec.L0.resid_post")
