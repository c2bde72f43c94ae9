"""Optimal constants of one circuit, learned together, with every edge outside it cut.

    min over c of the mean over prompts of the harm done when each cut edge u → v carries c_u

What is best for a sender that is ablated alone need not be best beside others: where either of two parts suffices, each alone
may be held at anything. Only together do constants say what a circuit can do without the rest. The harm to prompts held
out tells what of it is learned by heart.

Cost: for each circuit at most `steps` forward and backward passes of all clean prompts through cut edges.
Source: Li & Janson 2024, arXiv:2409.09951.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from assay.circuits.ablation import Optimal
from assay.circuits.constants import Constant, Learned, learn, starts
from assay.circuits.contrast import Contrast
from assay.circuits.cutting import cutting, senders_of
from assay.circuits.graph import Graph
from assay.circuits.optimal import harm, measure_of
from assay.circuits.ranking import Mask
from assay.circuits.replacement import Replacement, replaced_by
from assay.core.errors import DataError, SettingsError
from assay.core.progress import listening
from assay.data.pairs import Pairs
from assay.engine.edges.many import ManyCircuits
from assay.engine.model import Model
from assay.engine.passes import Kept
from assay.engine.prepared import per_example
from assay.engine.runner import Runner
from assay.experiments.metrics import Metric
from assay.models.structure import Site

AT_ONCE = 8
"""Examples in one pass: every sender's change is in memory, with what derivatives need."""


def learned_together(
    model: Model, pairs: Pairs, mask: Mask, *, graph: Graph, ablation: Optimal, metric: Metric
) -> tuple[Replacement, Learned]:
    """The run in which every sender has its constant for this circuit, and how well that was learned.

    Raises:
        DataError: the objective is not finite.
        SettingsError: whole layers are nodes.
    """
    if graph.blocks:
        raise SettingsError(
            f"together: what L{graph.blocks[0]}.block writes is the stream behind it less that before it, which no "
            "constant stands for here. Leave together out, or take heads and MLPs as nodes."
        )
    constants = starts(model, pairs, list(senders_of(model, graph)))
    inputs = Contrast(pairs).inputs
    begin = replaced_by([constant.edit() for constant in constants], inputs)
    made = cutting(model, graph, replaced=begin, metrics=[measure_of(ablation, metric)])
    objective = _Cut(made, torch.tensor(mask), torch.tensor(graph.allowed), ablation)
    with listening(None):
        found = learn(constants, objective, ablation=ablation, examples=len(pairs))
    return replaced_by(found.edits, inputs), found


@dataclass(frozen=True)
class _Cut:
    """The objective while every edge outside a circuit is cut."""

    made: ManyCircuits
    circuit: Bool[Tensor, "sender receiver"]
    allowed: Bool[Tensor, "sender receiver"]
    ablation: Optimal

    def __call__(self, constants: Sequence[Constant], train: Sequence[int]) -> Float[Tensor, " batch"]:
        value = torch.zeros(sum(len(runner.rows) for runner in self._runners), dtype=torch.float64)
        learning = set(train)
        for runner in self._runners:
            for start in range(0, len(runner.rows), AT_ONCE):
                at = list(range(start, min(start + AT_ONCE, len(runner.rows))))
                rows = [runner.rows[place] for place in at]
                with torch.enable_grad():
                    found = self._harm(self._held(runner, constants), at, rows)
                    mine = torch.tensor([row in learning for row in rows], device=found.device)
                    if bool(mine.any()) and found.requires_grad:
                        (found[mine].sum() / len(learning)).backward()
                value[rows] = found.detach().cpu()
        if not bool(value.isfinite().all()):
            raise DataError(f"the objective {self.ablation.objective} is not finite in this circuit.")
        return value

    def _harm(self, runner: Runner, at: Sequence[int], rows: Sequence[int]) -> Float[Tensor, " some"]:
        metric, run = self.made.prepared.experiment.metrics[0], self.made.prepared.run
        many = self.made.rows(runner, at, self.circuit.expand(len(at), -1, -1), smooth=True)
        found = per_example(many.measure_smooth(metric, "main", run)).double()
        whole = None if self._unchanged is None else self._unchanged[list(rows)].to(found.device)
        return harm(self.ablation, found, whole)

    @cached_property
    def _runners(self) -> list[Runner]:
        return list(self.made.runners())

    @cached_property
    def _unchanged(self) -> Float[Tensor, " batch"] | None:
        if self.ablation.objective != "metric":
            return None
        return torch.tensor(next(iter(self.made.measure(self.allowed[None]).values()))[0])

    def _held(self, runner: Runner, constants: Sequence[Constant]) -> Runner:
        """The examples, with the constants as they are now where senders' replaced values are read."""
        here: dict[Site, list[Constant]] = {}
        for constant in constants:
            here.setdefault(runner.network.site(constant.site), []).append(constant)
        source = runner.kept[self.made.source]
        sites = {site: _value(tensor, here.get(site, [])) for site, tensor in source.sites.items()}
        return replace(runner, kept={**runner.kept, self.made.source: Kept(source.output, sites)})


def _value(like: Tensor, constants: Sequence[Constant]) -> Tensor:
    """A site's tensor made of its constants: one for the whole of it, or one for each head."""
    if not constants:
        return like
    heads = {constant.where["head"]: constant.value for constant in constants if "head" in constant.where}
    if not heads:
        return constants[0].value.to(like).expand_as(like)
    return torch.stack([heads[head] for head in sorted(heads)]).to(like).expand_as(like)
