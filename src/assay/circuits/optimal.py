"""Optimal ablation: each ablated part is held at one constant vector, learned so that its ablation does the least harm.

The constant is the same at all positions of all prompts, so that it carries nothing about the prompt; unlike zero or a mean it
is no value that later parts have never met or are misled by. What is left of the harm is what the part's information
is worth. Adam starts at the part's mean over the clean prompts. Every fourth prompt is held out (from 8 prompts on): its
objective decides when to stop and which constant is kept.

Cost: a forward and a backward pass of all clean prompts for each step of each group of parts; for KL another forward pass.
Source: Li & Janson 2024, arXiv:2409.09951.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from assay.circuits.ablation import Optimal
from assay.circuits.contrast import Contrast
from assay.circuits.places import Part
from assay.circuits.replacement import Replacement, replaced_by
from assay.core.errors import DataError, ExperimentError
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import capture, edit
from assay.experiments import metric as metrics
from assay.experiments.edits import Edit
from assay.experiments.metrics import Metric

HELD_OUT = 4
"""One prompt of so many is held out."""
ENOUGH = 8
"""Prompts from which on some are held out."""


def learned(
    model: Model, pairs: Pairs, groups: Sequence[Sequence[Part]], *, ablation: Optimal, metric: Metric
) -> tuple[Replacement, str]:
    """The run in which all parts have their constants, and how they were found. Parts of a group are ablated together.

    Raises:
        ExperimentError: a part without a vector of its own (a pattern).
        DataError: the objective is not finite.
    """
    edits: list[Edit] = []
    steps: list[int] = []
    for parts in groups:
        constants, taken = _Descent(model, pairs, tuple(parts), ablation, metric).run()
        edits += constants
        steps.append(taken)
    held = f"1 prompt in {HELD_OUT} held out" if len(pairs) >= ENOUGH else "stopped on the prompts it was learned on"
    fact = f"constants at {len(edits)} places, {min(steps)} to {max(steps)} steps, {held}"
    return replaced_by(edits, Contrast(pairs).inputs), fact


@dataclass(frozen=True)
class _Constant:
    """What is learned at one site of a part: value = start + scale · moved."""

    site: str
    where: dict[str, int]
    start: Float[Tensor, " d"]
    scale: float
    moved: Float[Tensor, " d"] = field(repr=False)

    def edit(self, moved: Tensor | None = None) -> Edit:
        """The edit that puts the constant in place."""
        value = self.start + self.scale * (self.moved.detach() if moved is None else moved)
        return edit.set(self.site, value, **self.where)

    def part_of(self, tensor: Tensor) -> Float[Tensor, "batch pos d"]:
        """The entries of the site's tensor that the constant stands for."""
        if "head" in self.where:
            return tensor[:, :, self.where["head"]]
        return tensor[..., [self.where["dims"]]] if "dims" in self.where else tensor


@dataclass(frozen=True)
class _Descent:
    model: Model
    pairs: Pairs
    parts: tuple[Part, ...]
    ablation: Optimal
    metric: Metric

    def run(self) -> tuple[list[Edit], int]:
        """Constants as edits, and the number of steps."""
        constants = list(self._constants())
        optimiser = torch.optim.Adam([constant.moved for constant in constants], lr=self.ablation.rate)
        unchanged = self._measured([]) if self.ablation.objective == "metric" else None
        train, stop = self._split()
        best, kept, since, step = float("inf"), [c.moved.detach().clone() for c in constants], 0, 0
        while step < self.ablation.steps and since < self.ablation.patience:
            value, weight, gradients = self._objective(constants, unchanged)
            if float(value[stop].mean()) < best:
                best, since = float(value[stop].mean()), 0
                kept = [c.moved.detach().clone() for c in constants]
            else:
                since += 1
            for constant in constants:
                rows = constant.part_of(gradients[constant.site])[train].nan_to_num()  # NaN pads shorter prompts
                slope = (weight[train, None, None].to(rows) * rows).sum((0, 1)) / len(train)
                constant.moved.grad = constant.scale * slope
            optimiser.step()
            step += 1
        return [constant.edit(moved) for constant, moved in zip(constants, kept, strict=True)], step

    def _constants(self) -> Iterator[_Constant]:
        if any(part.granularity == "pattern" for part in self.parts):
            raise ExperimentError(
                "a pattern has as many entries as the prompt has tokens: no constant can stand for it."
            )
        sites = list(dict.fromkeys(site for part in self.parts for site in part.sites))
        run = self.model.run(Contrast(self.pairs).inputs["clean"], capture=sites)
        for part in self.parts:
            for site in part.sites:
                empty = _Constant(site, part.where, torch.zeros(0), 1.0, torch.zeros(0))
                values = empty.part_of(run[site])
                start = values.nanmean((0, 1))
                scale = float(values.square().nanmean().sqrt()) or 1.0
                yield _Constant(site, part.where, start, scale, torch.zeros_like(start, requires_grad=True))

    def _split(self) -> tuple[list[int], list[int]]:
        every = range(len(self.pairs))
        if len(self.pairs) < ENOUGH:
            return list(every), list(every)
        return [i for i in every if i % HELD_OUT], [i for i in every if not i % HELD_OUT]

    def _objective(
        self, constants: Sequence[_Constant], unchanged: Tensor | None
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"], dict[str, Tensor]]:
        """What is made small for each example, its derivative by the measured number, and that number's gradients."""
        sites = list(dict.fromkeys(constant.site for constant in constants))
        found, gradients = self._with_gradients([constant.edit() for constant in constants], sites)
        if unchanged is not None:
            return (found - unchanged) ** 2, 2 * (found - unchanged), gradients
        sign = -1.0 if self.ablation.objective == "loss" else 1.0
        return sign * found, torch.full_like(found, sign), gradients

    @property
    def _measure(self) -> Metric:
        known = {"kl": metrics.kl(to="clean"), "loss": metrics.logprob(), "metric": self.metric}
        return known[self.ablation.objective].model_copy(update={"name": "measured", "run": None})

    def _measured(self, edits: Sequence[Edit]) -> Tensor:
        return self._with_gradients(edits, [])[0]

    def _with_gradients(self, edits: Sequence[Edit], sites: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        inputs = Contrast(self.pairs).inputs
        run = self.model.run(
            inputs["clean"],
            edits=edits,
            metrics=self._measure,
            capture=[capture.grad(site, of=self._measure) for site in sites],
            sources=inputs,
        )
        value = run.metrics["measured"].double()
        if not bool(value.isfinite().all()):
            raise DataError(f"the objective {self.ablation.objective} is not finite with {self.parts[0].name} ablated.")
        return value, {site: run.captured[f"grad.{site}"] for site in sites}
