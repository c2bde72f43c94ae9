"""What an experiment will do, before it runs: every pass, token-layers, operations, seconds and memory, against the naive
engine's.

Counted from the experiment and the tokenised inputs. Of the model only what the schedule tries on it once is run (about ten
passes over seven tokens), and one token to see how fast it starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assay.engine.costs import Costs, Work, total
from assay.engine.naive_plan import RunPlan, naive_plan
from assay.engine.plan_table import html_of, text_of
from assay.engine.prepare import checked, prompts_of
from assay.engine.runner import executed
from assay.engine.schedule.measure import Asked, prepare, split_of
from assay.engine.schedule.outline import PassPlan, summed, unchanged_pass
from assay.engine.schedule.plan import Plan
from assay.experiments.experiment import Experiment
from assay.models.network import Network
from assay.models.prompts import Prompts


@dataclass(frozen=True)
class Explanation:
    """The plan of an experiment. Printing it shows tables, a notebook shows them as HTML, `as_data()` is for JSON."""

    engine: str
    """Which engine will run it: "scheduled", or "naive"."""
    axes: dict[str, int]
    groups: int
    runs: tuple[RunPlan, ...]
    """What the naive engine would do."""
    naive: Work
    """What that costs."""
    schedule: tuple[PassPlan, ...] = ()
    """The passes of the schedule."""
    work: Work = field(default_factory=Work)
    """What they cost."""
    optimisations: dict[str, str] = field(default_factory=dict)
    """What the schedule makes use of, or why not."""
    refused: str | None = None
    """Why the schedule can't be used."""

    @property
    def passes(self) -> int:
        """Forward passes in all."""
        return len(self.schedule) if self.engine == "scheduled" else sum(run.passes for run in self.runs)

    @property
    def token_layers(self) -> int:
        """Tokens times layers in all."""
        return sum(p.token_layers for p in self.schedule) if self.engine == "scheduled" else self.naive_token_layers

    @property
    def naive_token_layers(self) -> int:
        """Tokens times layers of the naive engine."""
        return sum(run.token_layers for run in self.runs)

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "engine": self.engine,
            "axes": self.axes,
            "groups": self.groups,
            "passes": self.passes,
            "token_layers": self.token_layers,
            "flops": self.work.flops,
            "seconds": self.work.seconds,
            "peak_bytes": self.work.bytes,
            "naive": {
                "passes": sum(run.passes for run in self.runs),
                "token_layers": self.naive_token_layers,
                "flops": self.naive.flops,
                "seconds": self.naive.seconds,
            },
            "optimisations": self.optimisations,
            "refused": self.refused,
            "schedule": [p.as_data() for p in self.schedule],
            "runs": [vars(run) for run in self.runs],
        }

    def __str__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return html_of(self)


def explain(
    network: Network, experiment: Experiment, *, engine: str = "scheduled", asked: Asked | None = None
) -> Explanation:
    """The plan. Raises the same errors as running it would, before it runs.

    Estimates are upper bounds where values decide: only runs show which patches change nothing; tokens tell most of it.
    """
    asked = asked or Asked()
    prompts = prompts_of(network, experiment)
    checked(network, experiment, prompts)
    along, split, runs = naive_plan(network, experiment, prompts, asked.batch)
    work = _naive_work(runs, prompts, Costs.here(network, network.structure.main_chain))
    planned: Plan | str = "there is no sweep, so each run is made once"
    if engine == "naive":
        planned = "the naive engine was asked for"
    elif any(name in experiment.varying() for name in executed(experiment)):
        planned = prepare(network, experiment, prompts, asked)
    if isinstance(planned, str):
        return Explanation("naive", along, split, tuple(runs), work, work=work, refused=planned)
    means = [_mean_pass(run, prompts, planned.whole_costs) for run in runs if run.mean for _ in range(run.passes)]
    passes = (*means, *(found for rows in split_of(planned, asked) for found in planned.outline(rows)))
    optimisations = _optimisations(planned, passes, split)
    return Explanation("scheduled", along, split, tuple(runs), work, passes, summed(passes), optimisations)


def _optimisations(plan: Plan, passes: Sequence[PassPlan], split: int) -> dict[str, str]:
    made = sum(p.variants for p in passes if p.run in plan.varying)
    every = len(plan.variants) * len(plan.varying) * split
    position = "positions before the first change are not computed"
    why = plan.why_everywhere()
    everywhere = f"not used: {why}" if why else "unchanged passes give logits only where a metric reads them"
    attention = "variants that begin at near positions share a call of attention"
    said = {
        "depth": "variants begin at the block that they change",
        "position": position if plan.whole is None else f"not used: {plan.whole}",
        "noop": f"of {every:,} variants, {every - made:,} change nothing, as far as tokens tell",
        "stagger": "variants that begin at different blocks share passes",
        "together": "inputs of one length share their unchanged pass",
        "head_out": "edits of heads' outputs are made at z, where that is the same",
        "unembed": everywhere,
        "vocab": f"not used: {plan.why_all_tokens}" if plan.why_all_tokens else "logits of named tokens only",
        "attention": attention if plan.whole is None else f"not used: {plan.whole}",
    }
    return said | dict.fromkeys(sorted(plan.without), "switched off")


def _mean_pass(run: RunPlan, prompts: Mapping[str, Prompts], costs: Costs) -> PassPlan:
    """One of the passes over all examples whose mean is taken, of average size."""
    lengths = prompts[run.input].lengths
    one = unchanged_pass(run.run, 1, round(sum(lengths) / len(lengths)), costs)
    share = run.token_layers // run.passes
    return replace(
        one, rows=run.rows // run.passes, token_layers=share, work=costs.base(run.rows // run.passes, one.rows)
    )


def _naive_work(runs: Sequence[RunPlan], prompts: Mapping[str, Prompts], costs: Costs) -> Work:
    parts = []
    for run in runs:
        tokens = run.token_layers // max(1, len(costs.blocks))
        lengths = prompts[run.input].lengths
        keys = sum(n * (n + 1) / 2 for n in lengths) / sum(lengths)
        one = costs.flow([round(tokens / run.passes)] * len(costs.blocks), keys=keys, read=round(tokens / run.passes))
        parts.append(Work(costs.plain(tokens, round(tokens * keys)), one.seconds * run.passes, one.bytes))
    return total(parts)
