"""Logits of a few tokens only: of those that metrics name, where nothing else of the output is read.

A logit difference needs two columns of the unembedding. In a small model with a large vocabulary the others cost as much as
several blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import get_ident
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional as F

from assay.engine.answers import alternatives, token_ids
from assay.engine.passes import forward
from assay.experiments.captures import GradCapture
from assay.experiments.executed import executed
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
    read = [(metric, metric.run or experiment.main) for metric in experiment.metrics]
    for name in executed(experiment):
        read += [(c.of, name) for c in experiment.run(name).captures if isinstance(c, GradCapture)]
    found: set[int] = set()
    for metric, run in read:
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
        wrong = metric.wrong if metric.wrong is not None else given.wrong if metric.answer is None else None
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
    head = _head(network)
    if tokens is None or head is None:
        yield
        return
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


_tried: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
"""Why a model's logits can't be had token by token; empty where they can."""


def _why_not(network: Network) -> str | None:
    if network.native not in _tried:
        _tried[network.native] = _trial(network)
    return _tried[network.native] or None


def _trial(network: Network) -> str:
    """Native code may do more with logits than each by itself: tried on three tokens, not believed."""
    size, head = network.vocabulary, _head(network)
    if head is None:
        return "the unembedding is no plain linear map"
    if size is None or size < 8 or not network.takes("input_ids"):
        return "it could not be tried on this model"
    ids = torch.arange(size // 3, size // 3 + min(3, network.longest or 3))[None]
    some = torch.tensor([2, size // 5, size // 2, size - 2])
    whole = forward(network, {"input_ids": ids}, once=True).output
    try:
        with few_logits(network, some):
            found = forward(network, {"input_ids": ids}, once=True).output
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        return f"it was tried on this model: {type(error).__name__}"
    if whole is None or found is None or whole.ndim != 3 or found.shape != (*whole.shape[:-1], len(some)):
        return "it was tried on this model: its output has another shape"
    wanted = whole[..., some.to(whole.device)]
    tolerance = TOLERANCE if wanted.dtype in (torch.float32, torch.float64) else 0.05
    same = bool((found - wanted).abs().max() <= tolerance * wanted.abs().max())
    return "" if same else "it was tried on this model: the logits differ"
