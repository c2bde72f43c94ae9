"""Training a space: cross-entropy of the counterfactual label, stopped on pairs of settings that were held out.

Each step runs what comes after the site, forwards and backwards, and nothing else (`assay.engine.resumed`). A space without
temperature stops when the held-out loss has not improved for `patience` epochs, and its best state is kept. One that is
annealed has a temperature that falls over three quarters of the epochs; its last state is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from assay.circuits.abstraction.counterfactuals import Counterfactuals
from assay.circuits.abstraction.spaces import Space
from assay.core.errors import DataError
from assay.core.seeds import child_seed
from assay.engine.answers import token_ids
from assay.engine.model import Model
from assay.engine.resumed import Resumed, resumed
from assay.experiments.record import Record
from assay.experiments.sourced_edits import Patch

ANNEALED = 0.75
"""The share of epochs over which a temperature falls."""
SOURCE = "source"


class Training(Record):
    """How long and how fast a space is trained."""

    epochs: Annotated[int, Field(ge=1)] = 20
    """The most passes over the training examples."""
    batch: Annotated[int, Field(ge=1)] = 32
    """Examples in one step."""
    rate: Annotated[float, Field(gt=0)] = 0.02
    """Adam's learning rate."""
    patience: Annotated[int, Field(ge=1)] = 4
    """Epochs without improvement before it stops."""
    seed: int = 0
    """Where a search begins, and in which order it sees examples."""


class Annealing(Record):
    """How a mask becomes hard, and what its width costs."""

    cost: Annotated[float, Field(ge=0)] = 0.5
    """Added to the loss for the whole width, and in proportion for less."""
    hottest: Annotated[float, Field(gt=0)] = 50.0
    """The temperature at the start."""
    coldest: Annotated[float, Field(gt=0)] = 0.1
    """The temperature at the end: it falls by the same factor at every step."""


TRAINING = Training()


@dataclass(frozen=True)
class Trained:
    """How training went. `loss` and `accuracy` are those of the held-out pairs in the state that was kept."""

    epochs: int
    steps: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Examples:
    """The examples of a place, ready for steps; `expected` are numbers of labels."""

    batches: tuple[Resumed, ...]
    expected: Int[Tensor, " example"]
    tokens: Int[Tensor, " label"]

    @classmethod
    def of(cls, model: Model, data: Counterfactuals, place: Patch, *, size: int, seed: int) -> Examples:
        """Batches of examples at random, the same in each epoch."""
        order = np.random.default_rng(child_seed(seed, "batches")).permutation(len(data)).tolist()
        rows = [order[i : i + size] for i in range(0, len(order), size)]
        sources = {SOURCE: data.source}
        made = resumed(model.network, data.base, sources, place=place, batches=rows, read=data.read)
        return cls(tuple(made), torch.tensor(data.expected), label_tokens(model, data))

    @property
    def width(self) -> int:
        """Entries of the place's last axis."""
        return int(self.batches[0].base.shape[-1])

    def logits(self, batch: Resumed, space: Space) -> Float[Tensor, "example label"]:
        """The labels' logits when the space has been interchanged."""
        read = batch.read(space.swap(batch.base, batch.sources[SOURCE]))
        return read[:, self.tokens.to(read.device)]

    def activations(self) -> Float[Tensor, "row d"]:
        """What bases and sources hold at the place."""
        both = [value for batch in self.batches for value in (batch.base, batch.sources[SOURCE])]
        return torch.cat([value.reshape(-1, value.shape[-1]) for value in both])


def label_tokens(model: Model, data: Counterfactuals) -> Int[Tensor, " label"]:
    """The token of each label, or its index at the site that is read.

    Raises:
        DataError: two labels with the same token.
    """
    if data.read is None:
        found = token_ids(tuple(data.answers), len(data.answers), model.tokenizer, what="answers", single=True)
        ids = [each[0] for each in found]
    else:
        ids = [int(each) for each in data.answers]
    if len(set(ids)) < len(ids):
        raise DataError(f"two of the labels {list(data.labels)} have the same token: each needs one of its own.")
    return torch.tensor(ids)


def train(space: Space, examples: Examples, held_out: Examples, *, training: Training) -> Trained:
    """Train a space in place.

    Raises:
        DataError: the loss is not a number.
    """
    parameters = space.parameters()
    if not parameters:
        loss, accuracy = evaluate(space, held_out)
        return Trained(0, 0, loss, accuracy)
    optimizer = torch.optim.Adam(parameters, lr=training.rate)
    order = torch.Generator().manual_seed(child_seed(training.seed, "order"))
    total, step, epoch, best = training.epochs * len(examples.batches), 0, 0, _Best()
    for epoch in range(1, training.epochs + 1):
        for i in torch.randperm(len(examples.batches), generator=order).tolist():
            batch = examples.batches[i]
            space.anneal(step / (ANNEALED * total))
            wrong = F.cross_entropy(examples.logits(batch, space).float(), examples.expected[list(batch.rows)])
            optimizer.zero_grad()
            torch.autograd.backward(wrong + space.penalty())
            optimizer.step()
            step += 1
        found = evaluate(space, held_out)
        if not math.isfinite(found[0]):
            raise DataError(f"training broke down in epoch {epoch} (loss {found[0]}): lower the learning rate.")
        best.see(found, parameters, last=space.annealed)
        if best.since >= training.patience and step >= (ANNEALED * total if space.annealed else 0):
            break
    best.restore(parameters)
    return Trained(epoch, step, *best.found)


class _Best:
    """The best state so far, or with `last` the latest."""

    def __init__(self) -> None:
        self.found, self.state, self.since = (math.inf, 0.0), [torch.zeros(0)], 0
        self.lowest = math.inf

    def see(self, found: tuple[float, float], parameters: Sequence[Tensor], *, last: bool) -> None:
        better = found[0] < self.lowest - 1e-4
        self.since = 0 if better else self.since + 1
        self.lowest = min(self.lowest, found[0])
        if better or last:
            self.found, self.state = found, [p.detach().clone() for p in parameters]

    def restore(self, parameters: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(parameters, self.state, strict=True):
                parameter.copy_(value)


@torch.no_grad()
def evaluate(space: Space, examples: Examples) -> tuple[float, float]:
    """Mean loss and accuracy."""
    losses, right = 0.0, 0
    for batch in examples.batches:
        logits, expected = examples.logits(batch, space).float(), examples.expected[list(batch.rows)]
        losses += float(F.cross_entropy(logits, expected, reduction="sum"))
        right += int((logits.argmax(-1) == expected).sum())
    n = len(examples.expected)
    return losses / n, right / n
