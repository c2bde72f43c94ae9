"""Optimal ablation: each ablated part is held at one constant vector, learned so that its ablation does the least harm.

The constant is the same at all positions of all prompts, so that it carries nothing about the prompt; unlike zero or a mean it
is no value that later parts have never met or are misled by. What is left of the harm is what the part's information
is worth. `constants` says how they are learned.

Cost: a forward and a backward pass of all clean prompts for each step of each group of parts; for KL another forward pass.
Source: Li & Janson 2024, arXiv:2409.09951.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from assay.circuits.ablation import Optimal
from assay.circuits.constants import Constant, learn, starts, told
from assay.circuits.contrast import Contrast
from assay.circuits.places import Part
from assay.circuits.replacement import Replacement, replaced_by
from assay.core.errors import DataError
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import capture
from assay.experiments import metric as metrics
from assay.experiments.edits import Edit
from assay.experiments.metrics import Metric


def learned(
    model: Model, pairs: Pairs, groups: Sequence[Sequence[Part]], *, ablation: Optimal, metric: Metric
) -> tuple[Replacement, str]:
    """The run in which all parts have their constants, and how they were found. Parts of a group are ablated together.

    Raises:
        ExperimentError: a part without a vector of its own (a pattern).
        DataError: the objective is not finite.
    """
    found = []
    for parts in groups:
        constants = starts(model, pairs, parts)
        objective = _Ablated(model, pairs, ablation, metric, parts[0].name)
        found.append(learn(constants, objective, ablation=ablation, examples=len(pairs)))
    edits = [each for one in found for each in one.edits]
    return replaced_by(
        edits, Contrast(pairs).inputs
    ), f"constants at {len(edits)} places, {told(found, examples=len(pairs))}"


def measure_of(ablation: Optimal, metric: Metric) -> Metric:
    """What is measured while constants are learned."""
    known = {"kl": metrics.kl(to="clean"), "loss": metrics.logprob(), "metric": metric}
    return known[ablation.objective].model_copy(update={"name": "measured", "run": None})


def harm(
    ablation: Optimal, found: Float[Tensor, " batch"], unchanged: Float[Tensor, " batch"] | None
) -> Float[Tensor, " batch"]:
    """What is made small, from what was measured; `unchanged` is what the whole model has of it, where that is the aim."""
    if unchanged is not None:
        return (found - unchanged) ** 2
    return -found if ablation.objective == "loss" else found


@dataclass(frozen=True)
class _Ablated:
    """The objective while parts are ablated by edits of the clean run."""

    model: Model
    pairs: Pairs
    ablation: Optimal
    metric: Metric
    name: str

    def __call__(self, constants: Sequence[Constant], train: Sequence[int]) -> Float[Tensor, " batch"]:
        sites = list(dict.fromkeys(constant.site for constant in constants))
        found, gradients = self._measured([constant.edit() for constant in constants], sites)
        found.requires_grad_()
        with torch.enable_grad():
            value = harm(self.ablation, found, self._unchanged)
            (weight,) = torch.autograd.grad(value.sum(), found)
        rows = list(train)
        for constant in constants:
            slopes = constant.part_of(gradients[constant.site])[rows].nan_to_num()  # NaN pads shorter prompts
            slope = (weight[rows, None, None].to(slopes) * slopes).sum((0, 1)) / len(rows)
            constant.moved.grad = constant.scale * slope
        return value.detach()

    @cached_property
    def _unchanged(self) -> Tensor | None:
        return self._measured([], [])[0] if self.ablation.objective == "metric" else None

    def _measured(self, edits: Sequence[Edit], sites: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        inputs, measure = Contrast(self.pairs).inputs, measure_of(self.ablation, self.metric)
        run = self.model.run(
            inputs["clean"],
            edits=edits,
            metrics=measure,
            capture=[capture.grad(site, of=measure) for site in sites],
            sources=inputs,
        )
        value = run.metrics["measured"].detach().double()
        if not bool(value.isfinite().all()):
            raise DataError(f"the objective {self.ablation.objective} is not finite with {self.name} ablated.")
        return value, {site: run.captured[f"grad.{site}"] for site in sites}
