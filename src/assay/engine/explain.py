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
from assay.engine.prepare import checked, only_experiments, prompts_of
from assay.engine.runner import Runner, executed, needed_sites
from assay.engine.schedule.measure import Asked, groups_of, prepare, reads, split_of
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
        return sum(p.token_layers for p in (self.schedule if self.engine == "scheduled" else self.runs))

    @property
    def naive_token_layers(self) -> int:
        """Tokens times layers of the naive engine."""
        return sum(run.token_layers + run.left_out for run in self.runs)

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
    only_experiments(experiment)
    asked = asked or Asked()
    prompts = prompts_of(network, experiment)
    checked(network, experiment, prompts)
    along, split, runs = naive_plan(network, experiment, prompts, asked.batch)
    costs = Costs.here(network, network.structure.main_chain)
    naive = total(_work(run, costs) for run in runs)
    if engine == "naive":
        return Explanation(
            "naive", along, split, tuple(runs), naive, work=naive, refused="the naive engine was asked for"
        )
    if not any(name in experiment.varying() for name in executed(experiment)):
        plan = Explanation("naive", along, split, tuple(runs), naive)
        return _without_a_sweep(network, experiment, prompts, asked=asked, plan=plan, costs=costs)
    planned = prepare(network, experiment, prompts, asked)
    if isinstance(planned, str):
        return Explanation("naive", along, split, tuple(runs), naive, work=naive, refused=planned)
    besides = [_besides(run, costs) for run in runs if not run.own for _ in range(run.passes)]
    passes = (*besides, *(found for rows in split_of(planned, asked) for found in planned.outline(rows)))
    optimisations = _optimisations(planned, passes, split)
    return Explanation("scheduled", along, split, tuple(runs), naive, passes, summed(passes), optimisations)


def _without_a_sweep(
    network: Network,
    experiment: Experiment,
    prompts: Mapping[str, Prompts],
    *,
    asked: Asked,
    plan: Explanation,
    costs: Costs,
) -> Explanation:
    """Plain passes, each of which goes as far, and unembeds as much, as is read of it."""
    found = reads(network, experiment, without=asked.without)
    made = {name: experiment.run(name) for name in executed(experiment)}
    wanted = needed_sites(network, experiment, [made])
    runners = [
        Runner(network, experiment, prompts, rows, wanted=wanted) for rows in groups_of(experiment, prompts, asked)
    ]
    until: dict[str, int] = {}
    unembedded: dict[str, int] = {}
    for name, run in made.items():
        keep, attach = runners[0].places(name, run)
        if (blocks := found.until(network, name, [*keep, *attach])) is not None:
            until[name] = blocks
        elif found.positions is not None:
            reads_of = (found.positions(name, runner.scope_of) for runner in runners)
            unembedded[name] = sum(int(read.sum()) for read in reads_of)
    some = replace(costs, share=found.share(network))
    work = total(
        _work(run, some, read=unembedded.get(run.run), until=until.get(run.run)) if run.own else _work(run, costs)
        for run in plan.runs
    )
    runs = tuple(run.through(until[run.run]) if run.own and run.run in until else run for run in plan.runs)
    ends = ", ".join(f"{name} after {blocks}" for name, blocks in until.items())
    said = {
        "unembed": "passes give logits only where a metric reads them" if found.positions else "not used: all are read",
        "vocab": "logits of named tokens only" if found.tokens is not None else "not used: all are read",
        "early": f"of {len(costs.blocks)} blocks passes end: {ends}" if ends else "not used: every output is read",
    }
    if len(until) == len(made):
        said |= dict.fromkeys(("unembed", "vocab"), "no logits are computed")
    said |= {name: "switched off" for name in said if name in asked.without}
    why = "there is no sweep, so each run is made once"
    return replace(plan, runs=runs, work=work, refused=why, optimisations=said)


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
        "early": "passes of variants end after the last block of which something is read",
        "attention": attention if plan.whole is None else f"not used: {plan.whole}",
    }
    return said | dict.fromkeys(sorted(plan.without), "switched off")


def _besides(run: RunPlan, costs: Costs) -> PassPlan:
    """One of the passes for a mean, or for scoring an answer, of average size."""
    rows = run.rows // run.passes
    one = unchanged_pass(run.run, 1, round(run.tokens / run.rows), costs)
    whole, once = _work(run, costs), 1 / run.passes
    work = Work(whole.flops * once, whole.seconds * once, costs.base(rows, one.rows).bytes)
    return replace(one, rows=rows, token_layers=-(-run.token_layers // run.passes), work=work)


def _work(run: RunPlan, costs: Costs, *, read: int | None = None, until: int | None = None) -> Work:
    """Plain passes with the logits of `read` positions in all, or of every one; or through so many blocks, without any."""
    tokens = run.tokens
    read = 0 if until is not None else tokens if read is None else read
    each, blocks = round(tokens / run.passes), len(costs.blocks) if until is None else until
    one = costs.flow([each] * blocks, keys=run.pairs / max(1, tokens), read=round(read / run.passes))
    flops = costs.plain(tokens, run.pairs) - (tokens - costs.share * read) * costs.unembedding
    flops -= costs.after(blocks, tokens, run.pairs)
    return Work(flops, one.seconds * run.passes, one.bytes)
