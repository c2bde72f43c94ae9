"""Models of several stacks: what is said where the stack that has the layers is not all that logits are made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.conformance import zoo
from tests.conformance.zoo_weights import perturb
from transformers import BltForCausalLM

from assay.core.errors import SiteError
from assay.engine.edges.trial import refuse_untrue
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model, load


def blt(layers: int) -> Model:
    """A model of bytes; the transformer over their patches has this many layers, all its other stacks two."""
    config = zoo.build("blt")[0].config
    config.global_config.num_hidden_layers = layers
    torch.manual_seed(0)
    native = BltForCausalLM._from_config(config, attn_implementation="eager").eval()
    perturb(native, seed=0)
    return load(native)


def test_logits_that_do_not_read_the_stream() -> None:
    """The longest list of layers may be the one that finds patches."""
    model = blt(2)
    why = r"logits do not read the stream that leaves model\.patcher\.layers\.1"
    with pytest.raises(SiteError, match=f"edges can't be cut in this model: with every edge cut .*: {why}"):
        refuse_untrue(wiring(model.network), [])


def test_logits_that_are_made_of_more() -> None:
    """What the first layer handed on is added once more behind the last."""
    native, first = zoo.build("mistral")[0], list[Any]()
    inner: Any = native.model
    inner.layers[0].register_forward_hook(lambda m, a, out: first.append(out))
    inner.norm.register_forward_pre_hook(lambda m, a: (a[0] + first.pop(),))
    why = r"logits are made of more than the stream that leaves model\.layers\.1"
    with pytest.raises(SiteError, match=why):
        refuse_untrue(wiring(load(native).network), [])
