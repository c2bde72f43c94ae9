"""Pairs with the same two answers, and a direction that moves exactly their logits: the difference of their unembeddings."""

from __future__ import annotations

import numpy as np
import torch
from tests.tiny_pairs import VOCABULARY, tiny_llama

from assay.core.direction import Directions
from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.engine.model import Model

YES, NO = 5, 9
LAST = "L2.resid_post"
MODEL = tiny_llama()


def two_sided(n: int = 6, *, seed: int = 0, mixed: bool = False) -> Pairs:
    """Prompts of random ids; the token at `subject` tells the side. `mixed`: every other pair is turned round."""
    rng = torch.Generator().manual_seed(seed)
    examples = []
    for i in range(n):
        rest = torch.randint(10, VOCABULARY, (6,), generator=rng).tolist()
        first = Example(
            clean=(*rest[:3], 1, *rest[3:]), corrupt=(*rest[:3], 2, *rest[3:]), answers=(YES,), wrong=(NO,),
            corrupt_answers=(NO,), corrupt_wrong=(YES,), positions={"subject": 3, "end": -1}, template="t", split="train",
        )  # fmt: skip
        examples.append(first.swapped() if mixed and i % 2 else first)
    return Pairs(tuple(examples)).align(None)


def unembedding_direction(model: Model = MODEL) -> Directions:
    """The difference of the two answers' rows of the unembedding, at the last layer."""
    weight = model.native.lm_head.weight.detach()  # type: ignore[union-attr]
    vector = (weight[YES] - weight[NO]).numpy()  # type: ignore[index]
    return Directions.of({LAST: vector}, quantity="planted", labels=(str(NO), str(YES)))


def by_hand(residual: torch.Tensor, added: np.ndarray) -> torch.Tensor:
    """The logit difference of the two answers when this is added to the last layer's output."""
    native = MODEL.native
    with torch.no_grad():
        logits = native.lm_head(native.model.norm(residual + torch.as_tensor(added)))  # type: ignore[union-attr, operator]
    return logits[..., YES] - logits[..., NO]
