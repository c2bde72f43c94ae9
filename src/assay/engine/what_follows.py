"""Metrics of what follows a text, refused where it has been seen or can't be put: the loss of next tokens, answers of several.

Whether a model sees later tokens is tried, not read off its name: two runs whose tokens differ in their second half only
must agree in the first. Cost: two passes of a few tokens, once for each model, and only for such metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from assay.core.errors import ExperimentError
from assay.engine.answers import token_ids
from assay.engine.hooks import alone
from assay.engine.passes import forward
from assay.engine.tried import FAILURES, Tried
from assay.experiments.executed import measured
from assay.experiments.experiment import Experiment
from assay.experiments.inputs import Input
from assay.experiments.metrics import LogProb, Loss, Prob
from assay.models.network import Network
from assay.models.prompts import Prompts


def refuse_what_follows(network: Network, experiment: Experiment, prompts: Mapping[str, Prompts]) -> None:
    """Raise ExperimentError for a metric that scores tokens after others, where the model has seen them before."""
    for metric, run in measured(experiment):
        name = experiment.run(run).input
        several = isinstance(metric, LogProb | Prob) and _several(metric, experiment.inputs[name], network)
        if not several and not isinstance(metric, Loss):
            continue
        what = f"the metric {metric.name or metric.kind!r}"
        if several and (why := _why_no_more(prompts[name])) is not None:
            raise ExperimentError(
                f"{what} has an answer of several tokens, which are put after the prompt one by one, and the input {name!r} "
                f"{why}. Put all but the answer's last token into the input, and score the last."
            )
        if looks_ahead(network):
            scored = "scores the later tokens of an answer" if several else "is the loss of each next token"
            raise ExperimentError(
                f"{what} {scored}, and this model reads a text in both directions: a later token changes its output at "
                "earlier positions, so it is scored on what it has seen. Put the mask token into the text and read "
                "metric.logprob(answer, pos=…) there, for an answer of one token."
            )


def looks_ahead(network: Network) -> bool:
    """Whether later tokens change the output at earlier ones; False too where that can't be tried."""
    return _TRIED.of(network, lambda: _trial(network))


_TRIED = Tried[bool]()


def _several(metric: LogProb | Prob, given: Input, network: Network) -> bool:
    answer = given.answers if metric.answer is None else metric.answer
    ids = token_ids(answer, given.examples, network.tokenizer, what=metric.kind, single=False)
    return any(len(each) > 1 for each in ids)


def _why_no_more(prompts: Prompts) -> str | None:
    """Why no tokens can be put after an input."""
    if prompts.positions is None:
        return "is not one sequence of tokens"
    others = set(prompts.tensors or ()) - {"input_ids", "attention_mask"}
    return f"has {', '.join(sorted(others))} of its own" if others else None


def _trial(network: Network) -> bool:
    for inputs in network.examples:
        name = network.token_argument if network.token_argument in inputs else "input_ids"
        ids = inputs.get(name)
        if not isinstance(ids, Tensor) or ids.ndim != 2 or ids.shape[1] < 2:
            continue
        other, half = ids.clone(), ids.shape[1] // 2
        other[:, half:] = ids[:, half:].roll(1, 0) if len(ids) > 1 else ids[:, half:].flip(-1)
        try:
            here, there = (_output(network, {**inputs, name: each}) for each in (ids, other))
        except FAILURES:
            continue
        if here is not None and there is not None and here.ndim == 3 and here.shape[:2] == ids.shape == there.shape[:2]:
            change, largest = (here - there)[:, :half].abs().max(), here.abs().max()
            return bool(change > largest * torch.finfo(here.dtype).eps ** 0.5)  # rounding is near eps, an effect near 1
    return False


def _output(network: Network, inputs: Mapping[str, Any]) -> Tensor | None:
    """Dropout, in a model in training, is the same in both passes."""
    with torch.random.fork_rng(devices=[]), alone(network):
        torch.manual_seed(0)
        return forward(network, inputs, once=True).output
