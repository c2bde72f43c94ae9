"""Predictions beside a result, words in place of an edit, and the model simply asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from tests.data.small_tokenizers import word_level
from transformers import LlamaConfig, LlamaForCausalLM

from assay.core.errors import SettingsError
from assay.core.registry import method
from assay.core.result import Result
from assay.data import task
from assay.data.example import Example, Place
from assay.data.pairs import Pairs
from assay.engine.model import Model, load
from assay.stats.controls import answered, instructed, labelled

from .planted import CARD, Texts, Vector, prompts, pushed, registered_for_the_test, steering

FAST = {"resamples": 300}


def talking() -> Model:
    """A small model with a tokenizer of words that always repeats its last word."""
    torch.manual_seed(0)
    tokenizer = word_level()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        max_position_embeddings=64, initializer_range=0.2,
    )  # fmt: skip
    native = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in native.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                parameter.zero_()
        native.lm_head.weight.copy_(native.model.embed_tokens.weight)
    return load(native, tokenizer=tokenizer)


def test_words_before_a_prompt_move_its_places() -> None:
    example = Example(
        clean="Mary ran", corrupt="John ran", positions={"name": Place(clean=(0, 4), corrupt=(0, 4)), "end": -1}
    )
    found = instructed(Pairs((example,)), "Say no.").examples[0]
    assert found.clean == "Say no.\nMary ran"
    place = found.positions["name"]
    assert isinstance(place, Place) and found.clean[slice(*place.clean)] == "Mary"
    assert found.positions["end"] == -1
    with pytest.raises(SettingsError, match="is a token's index"):
        instructed(Pairs((example.model_copy(update={"positions": {"name": 0}}),)), "x")
    with pytest.raises(SettingsError, match="before token ids"):
        instructed(Pairs((Example(clean=(1, 2), corrupt=(1, 3)),)), "x")


def test_instructed_pairs_are_aligned_again() -> None:
    model = talking()
    pairs = task("ioi", n=2, split="test", tokenizer=model)
    found = instructed(pairs, "Mary", model)
    assert found.lengths == tuple(length + 1 for length in pairs.lengths)
    assert found.position("S2") == [place + 1 for place in pairs.position("S2")]


def test_an_instruction_takes_the_place_of_a_direction() -> None:
    """The model hears no words, so words alone change nothing: the direction is what works."""
    model, planted = steering()
    with registered_for_the_test():

        @method(gives=Result, **CARD)
        def worded(model: Model, data: Texts, *, direction: Vector) -> Result:
            """Token prompts by length of text, steered."""
            ids = prompts(len(data.texts))
            found = pushed(model, ids, direction=direction)
            longer = np.array([len(text) > 20 for text in data.texts])
            return Result(xr.Dataset({"gain": (("example",), found["gain"].values + longer)}))

        value = worded(model, Texts(("short",) * 10, (0,) * 10), direction=planted)
    found = value.against("prompt_only", instruction="a long instruction, twenty letters", **FAST)
    assert found["prompt_only"].estimate.value == pytest.approx(1, abs=1e-9)  # the words' part, the direction at zero
    assert found.result.value == pytest.approx(value["gain"].values.mean())
    with pytest.raises(SettingsError, match="prompt_only needs instruction="):
        value.against("prompt_only")


def test_asked_a_model_answers() -> None:
    """It repeats the last word: asked with the answer at the end it is right, with another word it is wrong."""
    model = talking()
    data = labelled(Texts(("Mary", "John", "Mary", "John"), ("m", "j", "m", "j")))
    choices = {"m": " Mary", "j": " John"}
    assert answered(model, data, question="", choices=choices).tolist() == [1, 1, 1, 1]
    assert answered(model, data, question=" and Mary", choices=choices).tolist() == [1, 0, 1, 0]
    with pytest.raises(SettingsError, match="no choice for the label 'j'"):
        answered(model, data, question="", choices={"m": " Mary"})
    with pytest.raises(SettingsError, match="asked in words"):
        answered(model, replace(data, texts=((1,), (2,), (3,), (4,))), question="", choices=choices)


def test_asking_beside_a_monitor() -> None:
    model = talking()
    with registered_for_the_test():

        @method(gives=Result, **CARD, claim="monitor")
        def blind(model: Model, data: Texts) -> Result:
            """Says the same of every text."""
            return Result(xr.Dataset({"correct": (("example",), np.array([label == "m" for label in data.labels]))}))

        value = blind(model, Texts(("Mary", "John") * 10, ("m", "j") * 10))
        found = value.against(question=" is", choices={"m": " Mary", "j": " John"}, **FAST)
    names = {row.name for row in found.rows}
    assert names == {"constant", "majority", "bag_of_words", "ngram", "prompt_only", "shuffled_labels"}
    assert found["ngram"].standing == "behind" and found["ngram"].estimate.value == 1
    assert not found.stands_out


def test_predictions_stand_beside_shares_only() -> None:
    model, planted = steering()
    value = pushed(model, prompts(), direction=planted)
    with pytest.raises(SettingsError, match="no texts with a label"):
        value.against("majority")
    with registered_for_the_test():

        @method(gives=Result, **CARD)
        def size(model: Model, data: Texts) -> Result:
            """A number that is no share."""
            return Result(xr.Dataset({"size": (("example",), np.arange(4.0))}))

        with pytest.raises(SettingsError, match="right or wrong"):
            size(model, Texts(("a", "b", "c", "d"), (0, 1, 0, 1))).against("majority")
