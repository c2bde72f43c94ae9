"""How often the naive engine makes each run, and on how much: counted, not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from assay.engine.answers import token_ids
from assay.engine.rows import batch_size, groups, own_row, own_rows
from assay.engine.runner import executed
from assay.experiments.expand import axes
from assay.experiments.experiment import Experiment
from assay.experiments.graph import topological
from assay.experiments.metrics import LogProb, Metric, Prob
from assay.experiments.network_facts import NetworkFacts
from assay.experiments.sourced_edits import Mean
from assay.models.network import Network
from assay.models.prompts import Prompts


@dataclass(frozen=True)
class RunPlan:
    """One run as the naive engine makes it: how often, and on how much."""

    run: str
    input: str
    variants: int
    passes: int
    rows: int
    token_layers: int
    edits: str
    tokens: int
    pairs: int
    """Pairs of a token and one that is not after it."""
    own: bool = True
    """A run of the experiment; else made to take a mean over all examples, or to score an answer of several tokens."""
    left_out: int = 0
    """Token-layers that are not computed, since its passes end early."""

    def through(self, blocks: int) -> RunPlan:
        """The same, ending after so many blocks."""
        made = self.tokens * blocks
        return replace(self, token_layers=made, left_out=self.token_layers - made)


def naive_plan(
    network: Network, experiment: Experiment, prompts: Mapping[str, Prompts], batch: int | None
) -> tuple[dict[str, int], int, list[RunPlan]]:
    """The sweep's axes with their lengths, the number of groups of examples, and every run."""
    along = {name: len(values) for name, values in axes(experiment, NetworkFacts(network, prompts)).items()}
    variants = 1
    for n in along.values():
        variants *= n
    order, varying = executed(experiment), experiment.varying()
    used = list(dict.fromkeys(experiment.run(name).input for name in order))
    split = groups(prompts, used, at_most=batch_size(experiment, batch))
    depth = max(network.structure.depth.values(), default=0)
    meaned = dict.fromkeys(e.over for name in order for e in experiment.run(name).edits if isinstance(e, Mean))
    runs = [_mean_plan(experiment, prompts, name, depth) for name in meaned]
    for name in order:
        run = experiment.run(name)
        times = variants if name in varying else 1
        tokens, pairs = _sizes([run.input], prompts, split)
        rows = sum(len(g) for g in split)
        edits = ", ".join(str(e) for e in run.edits)
        runs.append(
            RunPlan(
                name,
                run.input,
                times,
                times * len(split),
                times * rows,
                times * tokens * depth,
                edits,
                times * tokens,
                times * pairs,
            )
        )
    for metric in experiment.metrics:
        times = variants if (metric.run or experiment.main) in varying else 1
        runs += _scoring_plan(network, experiment, prompts, metric, split, times)
    return along, len(split), runs


def _scoring_plan(
    network: Network,
    experiment: Experiment,
    prompts: Mapping[str, Prompts],
    metric: Metric,
    split: list[list[int]],
    times: int,
) -> list[RunPlan]:
    """The passes that score answers of several tokens: one for each length of answer in a group."""
    if not isinstance(metric, LogProb | Prob):
        return []
    name = metric.run or experiment.main
    read = experiment.run(name).input
    given = experiment.inputs[read]
    answers = metric.answer if metric.answer is not None else given.answers
    ids = token_ids(answers, given.examples, network.tokenizer, what=f"metric {metric.kind}, answer", single=False)
    passes = rows = tokens = pairs = 0
    for group in split:
        own = own_rows(prompts[read], group)
        lengths = {len(ids[row]) for row in own}
        if lengths == {1}:
            continue
        passes += len(lengths)
        rows += len(lengths) * len(group)
        whole = [prompts[read].lengths[own[0]] + length - 1 for length in lengths]
        tokens += sum(len(group) * n for n in whole)
        pairs += sum(len(group) * n * (n + 1) // 2 for n in whole)
    depth = max(network.structure.depth.values(), default=0)
    label = f"{metric.name or metric.kind} of {name}"
    if not passes:
        return []
    return [
        RunPlan(
            label,
            read,
            times,
            times * passes,
            times * rows,
            times * tokens * depth,
            "",
            times * tokens,
            times * pairs,
            own=False,
        )
    ]


def _sizes(inputs: Sequence[str], prompts: Mapping[str, Prompts], split: list[list[int]]) -> tuple[int, int]:
    """Tokens of these inputs, and pairs of one and one that is not after it."""
    lengths = [prompts[i].lengths[own_row(prompts[i], row)] for i in inputs for group in split for row in group]
    return sum(lengths), sum(n * (n + 1) // 2 for n in lengths)


def _mean_plan(experiment: Experiment, prompts: Mapping[str, Prompts], name: str, depth: int) -> RunPlan:
    """The passes over all examples of a run whose mean is taken, its own sources included."""
    order = topological([name], experiment.sources)
    inputs = [experiment.run(n).input for n in order]
    split = groups(prompts, list(dict.fromkeys(inputs)))
    rows = sum(len(g) for g in split)
    tokens, pairs = _sizes(inputs, prompts, split)
    passes = len(order) * len(split)
    return RunPlan(
        f"mean of {name}", inputs[-1], 1, passes, len(order) * rows, tokens * depth, "", tokens, pairs, own=False
    )
