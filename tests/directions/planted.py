"""Prompts of token ids whose label is a line in a tiny model's embedding, or nothing at all."""

from __future__ import annotations

import torch
from tests.tiny_pairs import VOCABULARY, tiny_llama

from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.engine.model import Model

HALF = VOCABULARY // 2
GROUPS = {"train": range(2, 12), "validation": range(12, 20), "test": range(20, 28)}
"""Tokens of the first label in each split; those of the second are HALF further."""


def planted_model(strength: float = 2.0) -> tuple[Model, torch.Tensor]:
    """A tiny model in which one direction of the embedding says in which half of the vocabulary a token is."""
    model = tiny_llama()
    line = torch.randn(model.d_model, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    line /= line.norm()
    weight = model.native.get_input_embeddings().weight  # type: ignore[operator]
    with torch.no_grad():
        weight -= (weight @ line)[:, None] * line
        weight[:HALF] -= strength * line
        weight[HALF:] += strength * line
    return model, line


def labelled_pairs(split: str = "train", *, n: int = 24, seed: int = 0, told: bool = True) -> Pairs:
    """Pairs that differ at `subject`, a token of either half; where not `told`, the label is a coin's."""
    rng = torch.Generator().manual_seed(seed)
    group = list(GROUPS[split])
    examples = []
    for i in range(n):
        rest = torch.randint(VOCABULARY - 4, VOCABULARY, (6,), generator=rng).tolist()
        low = group[int(torch.randint(len(group), (1,), generator=rng))]
        up = bool(torch.randint(2, (1,), generator=rng))
        says = up if told else bool(torch.randint(2, (1,), generator=rng))
        sides = [(*rest[:3], low + HALF * side, *rest[3:]) for side in (up, not up)]
        examples.append(
            Example(
                clean=sides[0], corrupt=sides[1], label=says, corrupt_label=not says, positions={"subject": 3},
                template=f"{split}-{i % 3}", split=split, names=(str(low),),
            )
        )  # fmt: skip
    return Pairs(tuple(examples), task=f"planted-{split}").align(None)
