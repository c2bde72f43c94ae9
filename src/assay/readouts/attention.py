"""Attention patterns: where chosen heads look from, and at what.

Attention shows where a head reads, not what it does with it. Cost: one forward pass of all examples with the attention
probabilities kept in the layers of the chosen heads.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import DataError
from assay.core.protocols import Scores, parse_head
from assay.core.provenance import Cost, Provenance
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import capture
from assay.readouts.batches import batches


@method(
    gives=Result,
    cites="arXiv:1906.04341",
    cost="one forward pass of all examples",
    assumes="softmax attention whose probabilities native code computes",
    fails_when="a head looks somewhere without moving anything: attention is not importance",
)
def attention_patterns(
    model: Model,
    pairs: Pairs,
    *,
    scores: Scores,
    top: Annotated[int, "how many heads, the best of the scores"] = 6,
    example: Annotated[int, "the example whose whole patterns are kept"] = 0,
) -> Result:
    """Where the best heads look: from the last position to each named one, and whole patterns on one prompt.

    `to_position` (head, position, example) is the attention from the last token; `pattern` (head, query, key) is the
    whole pattern on one example, its coordinates the tokens.
    """
    heads = scores.only(r"L\d+\.H\d+").top(top)
    if not 0 <= example < len(pairs):
        raise DataError(f"There is no example {example}: there are {len(pairs)}.")
    names = pairs.position_names()
    looks = np.zeros((len(heads), len(names), len(pairs)))
    start = 0
    for part, run in batches(
        model, pairs, capture=[capture.site(f"{_layer(h)}.pattern", pos=-1) for h in _layers(heads)]
    ):
        for i, head in enumerate(heads):
            rows = run[f"{_layer(head)}.pattern"][:, parse_head(head)[1], 0]
            looks[i, :, start : start + len(part)] = _at(rows, part, names)
        start += len(part)
    one = _whole(model, pairs[example : example + 1], heads)
    labels = token_labels(model, list(pairs.aligned_tokens()[example].clean))
    variables = {
        "to_position": (("head", "position", "example"), looks),
        "pattern": (("head", "query", "key"), one.float().cpu().numpy()),
    }
    coords = {"head": list(heads), "position": list(names), "query": labels, "key": labels}
    made = Provenance.now(model_fingerprint=model.fingerprint, model_source=model.network.source.name)
    return Result(xr.Dataset(variables, coords=coords, attrs={"shown": example}), made, Cost(rows=len(pairs) + 1))


def token_labels(model: Model, ids: list[int]) -> list[str]:
    """The tokens of a prompt as labels that are all different: `3| went`."""
    tokenizer = model.tokenizer
    words = [str(i) for i in ids] if tokenizer is None else [str(tokenizer.decode([i])) for i in ids]
    return [f"{place}|{word}" for place, word in enumerate(words)]


def _whole(model: Model, pairs: Pairs, heads: tuple[str, ...]) -> Float[Tensor, "head query key"]:
    captures = [capture.site(f"{_layer(head)}.pattern") for head in _layers(heads)]
    run = model.run([list(each.clean) for each in pairs.aligned_tokens()], capture=captures)
    return torch.stack([run[f"{_layer(head)}.pattern"][0, parse_head(head)[1]] for head in heads])


def _at(rows: Float[Tensor, "batch key"], pairs: Pairs, names: tuple[str, ...]) -> np.ndarray:
    """Attention to each named position: [position, example]."""
    examples = torch.arange(len(pairs))
    return np.stack([rows[examples, pairs.position(name)].float().cpu().numpy() for name in names])


def _layer(head: str) -> str:
    return head.split(".")[0]


def _layers(heads: tuple[str, ...]) -> list[str]:
    """One head of each layer that is needed, so that a layer is kept once."""
    return list({_layer(head): head for head in heads}.values())
