"""Metrics computed on a finished pass: one number for each example and position, reduced only as asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from assay.core.errors import ExperimentError
from assay.engine.answers import alternatives, rivals, token_ids
from assay.engine.select import Scope, head_axis
from assay.experiments.inputs import Input
from assay.experiments.metrics import KL, Accuracy, CallMetric, LogitDiff, LogProb, Metric, Prob, ReverseKL
from assay.experiments.site_metrics import Cosine, Dot, SiteMetric
from assay.models.structure import Site

Places = list[list[int]]
"""For each example the positions that are read, as many in all."""


class Reading(Protocol):
    """A finished run, of which a metric reads some positions."""

    @property
    def ids(self) -> Tensor | None:
        """Token ids [batch, pos]."""

    def length(self, site: Site | None) -> int | None:
        """How many positions a site has, or the output; None for a model without logits or a site without positions."""

    def output(self, places: Places) -> Float[Tensor, "batch pos vocab"]:
        """Logits at positions."""

    def site(self, site: Site, places: Places | None) -> Float[Tensor, "batch pos ..."]:
        """A site's tensor at positions; with None the whole one, of a site without positions."""

    def other(self, run: str, places: Callable[[Scope, int], Places]) -> Float[Tensor, "batch pos vocab"]:
        """The logits of another run for these examples, at what are its own places, of so many in all."""

    def continued(self, answers: list[tuple[int, ...]]) -> Float[Tensor, " batch"]:
        """Summed log-probability of one token sequence for each example, teacher-forced, with this run's edits."""


@dataclass(frozen=True)
class Measured:
    """What a metric is computed from."""

    reading: Reading
    scope: Scope
    given: Input
    tokenizer: PreTrainedTokenizerBase | None
    find: Callable[[str], Site]
    view: Any = None
    tokens: Int[Tensor, " named"] | None = None
    """The tokens whose logits there are, in order; None is all."""

    def columns(self, ids: Tensor) -> Tensor:
        """Where the logits of these tokens are."""
        if self.tokens is None:
            return ids
        tokens = self.tokens.to(ids.device)
        found = torch.searchsorted(tokens, ids).clamp(max=len(tokens) - 1)
        assert torch.equal(tokens[found], ids), "a token is read whose logits were not asked for"
        return found


def compute(metric: Metric, run: Measured) -> Float[Tensor, "batch *rest"]:
    """The metric for each example: [batch], or [batch, pos] where its positions are a list, a slice or None.

    Raises:
        ExperimentError: an answer that fits no example, a model without logits, or a ragged choice of positions.
    """
    if isinstance(metric, CallMetric):
        made, rows = torch.as_tensor(metric.function(run.view)), len(run.scope.rows)
        if made.numel() == 0 or made.numel() % rows:
            raise ExperimentError(
                f"metric {metric.name}: its function returned {made.numel()} numbers for {rows} examples: expected one each."
            )
        return made.reshape(rows, -1).squeeze(-1)
    values = _at_site(metric, run) if isinstance(metric, SiteMetric) else _at_output(metric, run)
    if isinstance(metric.pos, int | str):
        return values[:, 0]
    if metric.reduce == "none":
        return values
    return _reduce(values, metric.reduce, 1)


def _reduce(values: Tensor, how: str, axis: int) -> Tensor:
    if how in ("min", "max"):
        return values.amin(axis) if how == "min" else values.amax(axis)
    return values.mean(axis) if how == "mean" else values.sum(axis)


def positions_of(metric: Metric, scope: Scope, size: int) -> Places:
    """Positions at which the metric is read, for each example; `loss` leaves out the last."""
    found = [scope.positions(metric.pos, row, size) for row in scope.rows]
    if metric.pos is None and size == scope.tokens:  # an axis of its own has no tokens after the prompt
        found = [[p for p in row if p < scope.prompt] for row in found]
    if metric.kind == "loss":
        found = [[p for p in row if p < scope.prompt - 1] for row in found]
    if len({len(row) for row in found}) > 1:
        raise ExperimentError(
            f"metric {metric.kind}: pos={metric.pos} selects different numbers of positions in different examples."
        )
    if not found[0]:
        raise ExperimentError(
            f"metric {metric.kind}: pos={metric.pos} leaves no position to read in a prompt of {scope.prompt}."
        )
    return found


def take(tensor: Tensor, positions: Places) -> Tensor:
    """[batch, pos, …] at each example's own positions."""
    index = torch.tensor(positions, device=tensor.device)
    return tensor[torch.arange(len(positions), device=tensor.device)[:, None], index]


def _at_site(metric: SiteMetric, run: Measured) -> Tensor:
    site = run.find(metric.site)
    length = run.reading.length(site)
    value = run.reading.site(site, None if length is None else positions_of(metric, run.scope, length))
    heads = head_axis(site.axes)
    if metric.head is not None:
        if heads is None:
            raise ExperimentError(f"metric {metric.kind} at {site}: this site has no heads.")
        value = value.select(2, metric.head)
    if isinstance(metric, Dot | Cosine):
        direction = metric.direction.tensor.to(value)
        if direction.shape[0] != value.shape[-1]:
            raise ExperimentError(
                f"metric {metric.kind} at {site}: the direction has {direction.shape[0]} entries, "
                f"{site.axes[-1]} has {value.shape[-1]}."
            )
        return value @ direction if isinstance(metric, Dot) else F.cosine_similarity(value, direction, dim=-1)
    norm: Tensor = torch.linalg.vector_norm(value, dim=-1)
    return norm


def _at_output(metric: Metric, run: Measured) -> Tensor:
    length = run.reading.length(None)
    if length is None:
        raise ExperimentError(
            f"metric {metric.kind} needs logits at positions, and this model returns none: measure at a site instead."
        )
    positions = positions_of(metric, run.scope, length)
    if isinstance(metric, LogProb | Prob):
        return _probability(metric, run, positions)
    logits = run.reading.output(positions)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return _OUTPUT[metric.kind](metric, run, logits, positions)


def _answers(metric: Metric, run: Measured, which: str, *, single: bool = True) -> list[tuple[int, ...]]:
    given = getattr(metric, which, None)
    if given is None:
        given = run.given.answers if which == "answer" else run.given.wrong
    if given is None:
        raise ExperimentError(f"metric {metric.kind}: no {which} was given, and its input brings none.")
    what = f"metric {metric.kind}, {which}"
    ids = token_ids(given, run.given.examples, run.tokenizer, what=what, single=single)
    return [ids[row] for row in run.scope.rows]


def _pick(run: Measured, logits: Tensor, ids: list[tuple[int, ...]]) -> Tensor:
    index = run.columns(torch.tensor([i[0] for i in ids], device=logits.device))
    return logits.gather(-1, index[:, None, None].expand(*logits.shape[:2], 1))[..., 0]


def _logit(metric: Metric, run: Measured, logits: Tensor, positions: Places) -> Tensor:
    return _pick(run, logits, _answers(metric, run, "answer"))


def _logit_diff(metric: LogitDiff, run: Measured, logits: Tensor, positions: Places) -> Tensor:
    return _pick(run, logits, _answers(metric, run, "answer")) - _pick(run, logits, _answers(metric, run, "wrong"))


def _rank(metric: Metric, run: Measured, logits: Tensor, positions: Places) -> Tensor:
    right = _pick(run, logits, _answers(metric, run, "answer"))
    return (logits > right[..., None]).sum(-1).to(logits.dtype)


def _accuracy(metric: Accuracy, run: Measured, logits: Tensor, positions: Places) -> Tensor:
    ids = _answers(metric, run, "answer")
    right = _pick(run, logits, ids)
    wrong = rivals(metric, run.given)
    if wrong is None:
        others = logits.scatter(
            -1,
            torch.tensor([i[0] for i in ids], device=logits.device)[:, None, None].expand(*logits.shape[:2], 1),
            -torch.inf,
        )
        return (right > others.amax(-1)).to(logits.dtype)
    lists = alternatives(wrong, run.given.examples, run.tokenizer, what="metric accuracy, wrong")
    rows = [lists[row] for row in run.scope.rows]
    columns = [run.columns(torch.tensor(row, device=logits.device)) for row in rows]
    best = torch.stack([logits[b][:, columns[b]].amax(-1) for b in range(len(rows))])
    return (right > best).to(logits.dtype)


def _probability(metric: LogProb | Prob, run: Measured, positions: Places) -> Tensor:
    ids = _answers(metric, run, "answer", single=False)
    if all(len(i) == 1 for i in ids):
        log = _pick(run, _log_softmax(run.reading.output(positions)), ids)
    elif positions == [[run.scope.prompt - 1]] * len(positions):
        log = run.reading.continued(ids)[:, None]
    else:
        raise ExperimentError(
            f"metric {metric.kind}: an answer of several tokens can only be scored after the prompt: use pos=-1."
        )
    return log.exp() if isinstance(metric, Prob) else log


def _log_softmax(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), -1)


def _kl(metric: KL | ReverseKL, run: Measured, logits: Tensor, positions: Places) -> Tensor:
    other = run.reading.other(metric.to, lambda there, size: positions_of(metric, there.beside(run.scope), size))
    if other.shape[1] != logits.shape[1]:
        raise ExperimentError(
            f"metric {metric.kind}: pos={metric.pos} selects {logits.shape[1]} positions in its run, and {other.shape[1]} "
            f"in {metric.to!r}."
        )
    here, there = _log_softmax(logits), _log_softmax(other)
    p, q = (there, here) if isinstance(metric, KL) else (here, there)
    return (p.exp() * (p - q).masked_fill(p == -torch.inf, 0)).sum(-1)  # a token that is ruled out adds nothing


def _loss(metric: Metric, run: Measured, logits: Tensor, positions: Places) -> Tensor:
    ids = run.reading.ids
    if ids is None:
        raise ExperimentError("metric loss needs token ids, and this input has none.")
    following = take(ids[..., None].to(logits.device), [[p + 1 for p in row] for row in positions])
    return -_log_softmax(logits).gather(-1, following)[..., 0]


def _entropy(metric: Metric, run: Measured, logits: Tensor, positions: Places) -> Tensor:
    log = _log_softmax(logits)
    return -(log.exp() * log.masked_fill(log == -torch.inf, 0)).sum(-1)


_OUTPUT: Mapping[str, Callable[[Any, Measured, Tensor, Places], Tensor]] = {
    "logit": _logit,
    "logit_diff": _logit_diff,
    "rank": _rank,
    "accuracy": _accuracy,
    "kl": _kl,
    "reverse_kl": _kl,
    "loss": _loss,
    "entropy": _entropy,
}
