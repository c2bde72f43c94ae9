"""Whether an experiment's varying runs can be scheduled on a model, how, and if not, why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from assay.engine.answers import token_ids
from assay.engine.schedule.departures import outside
from assay.engine.select import position_axis
from assay.experiments.edge_edits import Edges
from assay.experiments.experiment import Experiment
from assay.experiments.given_edits import Call
from assay.experiments.metrics import CallMetric, LogProb, Prob
from assay.experiments.runs import Run
from assay.experiments.site_metrics import SiteMetric
from assay.models.attention import IMPLEMENTATION
from assay.models.chain import Chain
from assay.models.network import Network
from assay.models.prompts import Prompts
from assay.models.structure import Site


@dataclass(frozen=True)
class Fitness:
    """What the schedule may do. `refused` says why it may do nothing, `whole` why it can't reuse earlier positions."""

    chain: Chain | None
    refused: str | None = None
    whole: str | None = None


def fitness(network: Network, experiment: Experiment, variants: Sequence[Mapping[str, Run]]) -> Fitness:
    """How the runs that vary can be scheduled. `variants` are those runs for each variant."""
    chain = network.structure.main_chain
    if chain is None:
        return Fitness(None, "this model has no stack of blocks that hand on a residual stream")
    if chain.broken:
        return Fitness(None, chain.broken)
    first = variants[0]
    for refused in (*_run_problems(network, experiment, first), *_metric_problems(network, experiment, set(first))):
        return Fitness(None, refused)
    sites = touched(network, experiment, variants)
    for site in sites:
        if outside(site, chain):
            return Fitness(None, f"{site} lies outside the chain of blocks")
    return Fitness(chain, whole=_why_whole(network, chain, sites))


def why_uncounted(prompts: Mapping[str, Prompts]) -> str | None:
    """Why positions of these inputs can't be planned by; None where each prompt's tokens are what the blocks go over."""
    for name, given in prompts.items():
        tensors = given.tensors or {"input_ids": None}
        ids = tensors.get("decoder_input_ids", tensors.get("input_ids"))
        counted = "input_ids" in tensors if ids is None else ids.shape[-1] == given.lengths[0]
        if given.decoder_start is not None or not counted:
            return f"the positions of {name!r} are not those of one sequence of tokens"
    return None


def touched(network: Network, experiment: Experiment, variants: Iterable[Mapping[str, Run]]) -> set[Site]:
    """All sites that runs that vary edit, capture or measure."""
    names: set[str] = set()
    varying: set[str] = set()
    for runs in variants:
        varying |= set(runs)
        for run in runs.values():
            names.update(str(edit.site) for edit in run.edits)
            names.update(str(capture.site) for capture in run.captures)
    names.update(
        str(m.site) for m in experiment.metrics if isinstance(m, SiteMetric) and (m.run or experiment.main) in varying
    )
    return {site for name in names for site in network.sites_named(name)}


def _run_problems(network: Network, experiment: Experiment, runs: Mapping[str, Run]) -> Iterable[str]:
    for run in runs.values():
        if run.gradients:
            yield "gradients are captured in a run that varies"
        if any(isinstance(edit, Edges) for edit in run.edits):
            yield "edges are cut, which takes whole passes"
        if any(isinstance(edit, Call) for edit in run.edits):
            yield "an edit is a Python function"


def _metric_problems(network: Network, experiment: Experiment, varying: set[str]) -> Iterable[str]:
    for metric in experiment.metrics:
        name = metric.run or experiment.main
        if name not in varying:
            continue
        if isinstance(metric, CallMetric):
            yield "a metric is a Python function"
        if metric.other_run in varying:
            yield f"the metric {metric.kind} compares two runs that both vary"
        if isinstance(metric, LogProb | Prob) and _several_tokens(network, experiment, metric, name):
            yield f"the metric {metric.kind} scores an answer of several tokens"


def _several_tokens(network: Network, experiment: Experiment, metric: LogProb | Prob, run: str) -> bool:
    given = experiment.inputs[experiment.run(run).input]
    answer = metric.answer if metric.answer is not None else given.answers
    if answer is None:
        return False
    ids = token_ids(answer, given.examples, network.tokenizer, what=metric.kind, single=False)
    return any(len(i) > 1 for i in ids)


def _why_whole(network: Network, chain: Chain, sites: Iterable[Site]) -> str | None:
    if network.structure.implementation != IMPLEMENTATION:
        return "attention is not reached through transformers' interface"
    if chain.stack is not None:
        return "the decoder attends to an encoder"
    for site in sites:
        if position_axis(site.axes) != 1:
            return f"{site} has no axis of positions to cut into rows"
        if site.name.name.startswith("ssm"):
            return f"{site} is a state along positions"
    return None
