"""Where attention weights are read: in the softmax, and from what the function returns once it was seen to be the same."""

from __future__ import annotations

import pickle

import pytest
import torch
from tests.tiny_pairs import tiny_gpt2, tiny_llama

from assay import edit
from assay.core.sites import SiteName
from assay.engine.model import load
from assay.models import attention
from assay.models.ports import Port

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]


def test_weights_that_the_function_returns_are_read_without_listening_to_the_softmax(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = load(tiny_llama().native.float())  # in double, Llama's softmax of 32 bits is cast before it is returned
    first = model.run(IDS, capture="pattern")

    def never(*_: object) -> None:
        raise AssertionError("the softmax was listened to")

    monkeypatch.setattr(attention.SoftmaxMode, "__init__", never)
    second = model.run(IDS, capture="pattern")
    for layer in range(3):
        assert torch.equal(first[f"L{layer}.pattern"], second[f"L{layer}.pattern"])
    with pytest.raises(AssertionError, match="listened to"):
        model.run(IDS, edits=edit.zero("L1.pattern", pos=-1), capture="pattern")
    with pytest.raises(AssertionError, match="listened to"):
        model.run(IDS, capture=("pattern", "scores"))


def test_in_training_the_pattern_is_still_the_softmaxs_own_output() -> None:
    model = tiny_gpt2()
    for block in model.native.transformer.h:
        block.attn.attn_dropout.p = 0.5
    model.run(IDS, capture="pattern")
    model.native.train()
    found = model.run(IDS, capture="L0.pattern")["L0.pattern"]
    torch.testing.assert_close(found.sum(-1), torch.ones_like(found.sum(-1)))  # dropout would break the sums


@pytest.mark.parametrize("key", [SiteName("q", 3), Port("model.layers.3", "in", 0)])
def test_a_hash_is_not_carried_into_another_process(key: SiteName | Port) -> None:
    assert hash(key) == hash(pickle.loads(pickle.dumps(key)))
    assert b"hashed" not in pickle.dumps(key)
