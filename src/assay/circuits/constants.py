"""Constants that stand for ablated parts, and how they are learned.

A constant is the same at all positions of all prompts. It starts at the part's mean over the clean prompts and is moved by
Adam, in units of the part's root mean square value. Every fourth prompt is held out (from 8 prompts on): what is made small
there decides when to stop, and which constants are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from assay.circuits.ablation import Optimal
from assay.circuits.contrast import Contrast
from assay.circuits.places import Part
from assay.core.errors import ExperimentError
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import edit
from assay.experiments.edits import Edit

HELD_OUT = 4
"""One prompt of so many is held out."""
ENOUGH = 8
"""Prompts from which on some are held out."""


@dataclass(frozen=True)
class Constant:
    """What is learned at one site of a part: value = start + scale · moved."""

    site: str
    where: dict[str, int]
    start: Float[Tensor, " d"]
    scale: float
    moved: Float[Tensor, " d"] = field(repr=False)

    @property
    def value(self) -> Float[Tensor, " d"]:
        """The constant, as something to take derivatives of."""
        return self.start + self.scale * self.moved

    def edit(self) -> Edit:
        """The edit that puts the constant in place."""
        return edit.set(self.site, self.value.detach(), **self.where)

    def part_of(self, tensor: Tensor) -> Float[Tensor, "batch pos d"]:
        """The entries of the site's tensor that the constant stands for."""
        if "head" in self.where:
            return tensor[:, :, self.where["head"]]
        return tensor[..., [self.where["dims"]]] if "dims" in self.where else tensor


Objective = Callable[[Sequence[Constant], Sequence[int]], Float[Tensor, " batch"]]
"""What is made small, for each example; it leaves in `moved.grad` the slopes of its mean over the examples named."""


@dataclass(frozen=True)
class Learned:
    """Constants as edits, after so many steps; the mean objective on prompts held out, and on those learned from."""

    edits: tuple[Edit, ...]
    steps: int
    held_out: float
    trained: float


def starts(model: Model, pairs: Pairs, parts: Sequence[Part]) -> list[Constant]:
    """A constant for each site of each part, at its mean.

    Raises:
        ExperimentError: a part without a vector of its own (a pattern).
    """
    if any(part.granularity == "pattern" for part in parts):
        raise ExperimentError("a pattern has as many entries as the prompt has tokens: no constant can stand for it.")
    sites = list(dict.fromkeys(site for part in parts for site in part.sites))
    run = model.run(Contrast(pairs).inputs["clean"], capture=sites)
    return [_start(site, part, run[site]) for part in parts for site in part.sites]


def learn(constants: Sequence[Constant], objective: Objective, *, ablation: Optimal, examples: int) -> Learned:
    """Move the constants together until the prompts held out gain no more."""
    optimiser = torch.optim.Adam([constant.moved for constant in constants], lr=ablation.rate)
    train, stop = parted(examples)
    best, trained, since, step = float("inf"), float("inf"), 0, 0
    kept = [constant.edit() for constant in constants]
    while step < ablation.steps and since < ablation.patience:
        optimiser.zero_grad()
        value = objective(constants, train)
        held, since = float(value[stop].mean()), since + 1
        if held < best:
            best, trained, since = held, float(value[train].mean()), 0
            kept = [constant.edit() for constant in constants]
        optimiser.step()
        step += 1
    return Learned(tuple(kept), step, best, trained)


def parted(examples: int) -> tuple[list[int], list[int]]:
    """Examples to learn from, and to stop by; the same ones where there are too few."""
    every = list(range(examples))
    if examples < ENOUGH:
        return every, every
    return [i for i in every if i % HELD_OUT], [i for i in every if not i % HELD_OUT]


def told(found: Sequence[Learned], *, examples: int) -> str:
    """How well constants were learned, in words."""
    steps, held, trained = (
        _range([getattr(each, name) for each in found]) for name in ("steps", "held_out", "trained")
    )
    if examples < ENOUGH:
        return f"{steps} steps, objective {held} on the prompts they were learned on"
    return f"{steps} steps, objective {held} on 1 prompt in {HELD_OUT} held out, {trained} on the others"


def _range(values: Sequence[float]) -> str:
    low, high = (f"{value:.3g}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _start(site: str, part: Part, tensor: Tensor) -> Constant:
    values = Constant(site, part.where, torch.zeros(0), 1.0, torch.zeros(0)).part_of(tensor)
    start = values.nanmean((0, 1))  # NaN pads shorter prompts
    scale = float(values.square().nanmean().sqrt()) or 1.0
    return Constant(site, part.where, start, scale, torch.zeros_like(start, requires_grad=True))
