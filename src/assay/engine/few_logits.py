"""Logits of a few tokens only: of those that metrics name, where nothing else of the output is read.

A logit difference needs two columns of the unembedding. In a small model with a large vocabulary the others cost as much as
several blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional as F

from assay.core.errors import ExperimentError
from assay.engine.answers import alternatives, rivals, token_ids
from assay.engine.passes import forward
from assay.engine.tried import FAILURES, Tried
from assay.experiments.executed import measured
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Accuracy, Logit, LogitDiff, Metric
from assay.experiments.site_metrics import SiteMetric
from assay.models.network import Network

FEW = 4
"""Not worth it when more than one in so many of the vocabulary's tokens is named."""

TOLERANCE = 1e-4
"""Of the largest logit, in the trial: rounding in float32 is below 1e-6, and another token's logit is about as large."""


def named_tokens(network: Network, experiment: Experiment) -> Int[Tensor, " named"] | str:
    """The ids of all tokens whose logits are read, in order; or why the whole vocabulary is."""
    found: set[int] = set()
    for metric, run in measured(experiment):
        if isinstance(metric, SiteMetric):
            continue
        ids = _named(metric, experiment, run, network)
        if ids is None:
            return f"the metric {metric.kind} reads all tokens"
        found |= ids
    if not found:
        return "no metric reads logits"
    if (network.vocabulary or 0) < FEW * len(found):
        return f"{len(found):,} tokens are named, of {network.vocabulary or 0:,}"
    if (why := _why_not(network)) is not None:
        return why
    return torch.tensor(sorted(found))


def _named(metric: Metric, experiment: Experiment, run: str, network: Network) -> set[int] | None:
    given = experiment.inputs[experiment.run(run).input]
    chosen: Mapping[str, Any] = metric.asks
    if isinstance(metric, Accuracy):
        wrong = rivals(metric, given)
        if wrong is None:
            return None
        lists = alternatives(wrong, given.examples, network.tokenizer, what="metric accuracy, wrong")
        answers = metric.answer if metric.answer is not None else given.answers
        lists += map(list, token_ids(answers, given.examples, network.tokenizer, what="metric accuracy", single=True))
        return {token for each in lists for token in each}
    if not isinstance(metric, Logit | LogitDiff):
        return None
    whose = {"answer": given.answers, "wrong": given.wrong}
    found: set[int] = set()
    for field, value in chosen.items():
        answers = whose[field] if value is None else value
        what = f"metric {metric.kind}, {field}"
        for ids in token_ids(answers, given.examples, network.tokenizer, what=what, single=True):
            found.update(ids)
    return found


@contextmanager
def few_logits(network: Network, tokens: Int[Tensor, " named"] | None) -> Iterator[None]:
    """Native passes of this thread give the logits of these tokens alone, in this order; None is all."""
    if tokens is None:
        yield
        return
    head = _head(network)
    if head is None:
        raise ExperimentError("the unembedding was exchanged while it was in use: measure again.")
    chosen = tokens.to(head.weight.device)
    weight, bias = head.weight[chosen], None if head.bias is None else head.bias[chosen]
    taken: list[Tensor] = []
    thread = get_ident()

    def before(module: nn.Module, args: tuple[Any, ...]) -> Any:
        if get_ident() != thread:
            return None
        taken.append(args[0])
        return (args[0][..., :0, :],)

    def after(module: nn.Module, args: tuple[Any, ...], out: Tensor) -> Tensor:
        return out if get_ident() != thread else F.linear(taken.pop(), weight, bias)

    handles = [head.register_forward_pre_hook(before), head.register_forward_hook(after, prepend=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _head(network: Network) -> nn.Linear | None:
    """The unembedding, if it is a plain linear map that nothing has been put around."""
    find = getattr(network.native, "get_output_embeddings", None)
    head = None if find is None else find()
    if type(head) is not nn.Linear or "forward" in vars(head) or type(head.weight) is not nn.Parameter:
        return None
    return None if head.weight.is_meta else head


_TRIED = Tried[str]()
"""Why a model's logits can't be had token by token; empty where they can."""


def _why_not(network: Network) -> str | None:
    head = _head(network)
    if head is None:
        return "the unembedding is no plain linear map"
    return _TRIED.of(network, lambda: _trial(network, head.out_features)) or None


def _trial(network: Network, size: int) -> str:
    """Native code may do more with logits than each by itself: tried on as many as are ever taken alone, not believed."""
    some = torch.arange(2 % FEW, size - 1, FEW)
    reason = "it could not be tried on this model"
    for inputs in _inputs(network):
        try:
            whole = forward(network, inputs, once=True).output
        except FAILURES:
            continue
        try:
            with few_logits(network, some):
                found = forward(network, inputs, once=True).output
        except FAILURES as error:
            return f"it was tried on this model: {type(error).__name__}"
        if whole is None or found is None or whole.ndim != 3 or found.shape != (*whole.shape[:-1], len(some)):
            return "it was tried on this model: its output has another shape"
        wanted = whole[..., some.to(whole.device)]
        tolerance = TOLERANCE if wanted.dtype in (torch.float32, torch.float64) else 0.05
        same = bool((found - wanted).abs().max() <= tolerance * wanted.abs().max())
        return "" if same else "it was tried on this model: the logits differ"
    return reason


def _inputs(network: Network) -> Iterator[Mapping[str, Any]]:
    """Three tokens, and where a model takes more than tokens, what it was traced on."""
    size = network.vocabulary or 0
    if size >= 8 and network.takes("input_ids"):
        yield {"input_ids": torch.arange(size // 3, size // 3 + min(3, network.longest or 3))[None]}
    yield from network.examples
