"""Models that read several rows of token ids for each example: one for each codebook of a sound (MusicGen).

Each codebook has a table of embeddings and a head of its own. The stream is the sum of what the tables give, one vector for
each position whatever the number of codebooks, so an example is all its codebooks together: ids are [batch, codebooks, pos].
Native code gives logits as [batch · codebooks, pos, vocab]; here they stand one codebook after another, [batch, codebooks ·
pos, vocab], so that codebook c's at position p are number c · pos + p.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from assay.core.errors import ExperimentError, InputError
from assay.models.prompts import Prompts
from assay.models.views import WHOLE, Frame, View


def token_tables(native: nn.Module) -> list[nn.Module]:
    """The model's tables of token embeddings, or whatever it has in their place: one for nearly all models."""
    try:
        found = getattr(native, "get_input_embeddings", lambda: None)()
    except NotImplementedError:  # models with a text and an image tower have no one place for it
        return []
    if isinstance(found, nn.ModuleList):
        return list(found) if all(isinstance(each, nn.Embedding) for each in found) else []
    return [] if found is None else [found]


def codebooks(native: nn.Module) -> int:
    """How many rows of ids make one example: as many as the model has tables of token embeddings, else one."""
    return max(1, len(token_tables(native)))


@dataclass(frozen=True)
class OneAfterAnother:
    """[batch · codebooks, pos, …] to [batch, codebooks · pos, …]."""

    n: int

    def read(self, native: Tensor, frame: Frame) -> Tensor:
        """Native layout to site layout."""
        return torch.unflatten(native, 0, (-1, self.n)).flatten(1, 2)

    def write(self, native: Tensor, site: Tensor, frame: Frame) -> Tensor:
        """A site's tensor in the native layout."""
        return torch.unflatten(site, 1, (self.n, -1)).flatten(0, 1)


def of_examples(native: nn.Module) -> View:
    """How the model's logits are seen: an example's together."""
    n = codebooks(native)
    return WHOLE if n == 1 else View((OneAfterAnother(n),))


def refuse_rows(prompts: Prompts, native: nn.Module) -> None:
    """Raise InputError for ids of a model with codebooks that are not given by example."""
    n = codebooks(native)
    ids = {"input_ids": None} if prompts.tensors is None else prompts.tensors
    given = ids.get("input_ids")
    if n == 1 or "input_ids" not in ids or (isinstance(given, Tensor) and given.ndim == 3 and given.shape[1] == n):
        return
    shape = "lists" if given is None else str(list(given.shape))
    raise InputError(
        f"{type(native).__name__} reads {n} rows of token ids for each example, one for each codebook, and got {shape}: give "
        f"{{'input_ids': ids}} with ids of [batch, {n}, pos]; rows in native order are ids.reshape(-1, {n}, ids.shape[-1])."
    )


def refuse_generating(native: nn.Module) -> None:
    """Raise ExperimentError where one token at a time is not what a model writes."""
    if (n := codebooks(native)) > 1:
        raise ExperimentError(
            f"{type(native).__name__} writes a token for each of {n} codebooks at once: generate with the native model "
            "(model.native.generate), then run or measure what it wrote."
        )


def by_example(inputs: Mapping[str, Any], native: nn.Module) -> dict[str, Any]:
    """Inputs with ids [batch · codebooks, pos] as [batch, codebooks, pos], which native code reads as well."""
    n, ids = codebooks(native), inputs.get("input_ids")
    if n == 1 or not isinstance(ids, Tensor) or ids.ndim != 2:
        return dict(inputs)
    return {**inputs, "input_ids": ids.unflatten(0, (-1, n))}
