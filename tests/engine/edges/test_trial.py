"""Models of several stacks: what is said where the stack that has the layers is not all that logits are made of."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        (2, r"logits do not read the stream that leaves model\.patcher\.layers\.1"),
        (3, r"logits are made of more than the stream that leaves model\.global_transformer\.layers\.2"),
    ],
)
def test_logits_that_are_made_of_something_else(layers: int, why: str) -> None:
    """BLT's bytes go past the transformer over their patches, and the longest list may be the one that finds patches."""
    model = blt(layers)
    with pytest.raises(SiteError, match=f"edges can't be cut in this model: with every edge cut .*: {why}"):
        refuse_untrue(wiring(model.network), [])
