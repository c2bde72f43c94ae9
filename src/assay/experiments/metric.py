"""Make metrics: `from assay import metric`, then `metric.logit_diff(" Mary", " John")`.

Each takes `name=`, `run=` (which run is read; by default the experiment's main run), `pos=` (by default the last
position, for `loss` all), `reduce=` over positions and `reduce_examples=` over examples. How answers are written is in
`answers.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypedDict, Unpack

from pydantic import Field

from assay.experiments.edit import PosLike, TensorLike
from assay.experiments.metrics import (
    KL,
    Accuracy,
    CallMetric,
    Entropy,
    Logit,
    LogitDiff,
    LogProb,
    Loss,
    Metric,
    MetricFunction,
    OutputMetric,
    Prob,
    Rank,
    Reduction,
    ReverseKL,
)
from assay.experiments.site_metrics import Cosine, Dot, Norm

__all__ = [
    "AnyMetric", "Metric", "accuracy", "call", "cosine", "dot", "entropy", "kl", "logit", "logit_diff", "logprob",
    "loss", "norm", "prob", "rank", "reverse_kl",
]  # fmt: skip

AnyMetric = Annotated[OutputMetric | Dot | Norm | Cosine, Field(discriminator="kind")]
"""Any of the metrics, told apart by `kind`."""

AnswersLike = str | int | Sequence[str] | Sequence[int] | Sequence[Sequence[str]] | Sequence[Sequence[int]] | None


class Reading(TypedDict, total=False):
    """What every metric takes."""

    name: str | None
    run: str | None
    pos: PosLike
    reduce: Reduction
    reduce_examples: Reduction


def logit_diff(answer: AnswersLike = None, wrong: AnswersLike = None, **reading: Unpack[Reading]) -> LogitDiff:
    """The logit of `answer` minus that of `wrong`; each a single token. None takes the input's own."""
    return LogitDiff(answer=answer, wrong=wrong, **reading)


def logit(answer: AnswersLike = None, **reading: Unpack[Reading]) -> Logit:
    """The logit of `answer`, a single token."""
    return Logit(answer=answer, **reading)


def logprob(answer: AnswersLike = None, **reading: Unpack[Reading]) -> LogProb:
    """The log-probability of `answer`, which may be several tokens."""
    return LogProb(answer=answer, **reading)


def prob(answer: AnswersLike = None, **reading: Unpack[Reading]) -> Prob:
    """The probability of `answer`, which may be several tokens."""
    return Prob(answer=answer, **reading)


def rank(answer: AnswersLike = None, **reading: Unpack[Reading]) -> Rank:
    """How many tokens have a higher logit than `answer`: 0 is the top."""
    return Rank(answer=answer, **reading)


def accuracy(answer: AnswersLike = None, wrong: AnswersLike = None, **reading: Unpack[Reading]) -> Accuracy:
    """1 where `answer` has a higher logit than all of `wrong` (None: than every other token), else 0."""
    return Accuracy(answer=answer, wrong=wrong, **reading)


def kl(to: str, **reading: Unpack[Reading]) -> KL:
    """KL(P_to ‖ P_run): what is lost when this run stands in for `to`, in nats."""
    return KL(to=to, **reading)


def reverse_kl(to: str, **reading: Unpack[Reading]) -> ReverseKL:
    """KL(P_run ‖ P_to), in nats."""
    return ReverseKL(to=to, **reading)


def loss(**reading: Unpack[Reading]) -> Loss:
    """Next-token cross-entropy, at every position and kept per position unless `pos` or `reduce` says otherwise."""
    return Loss(**({"pos": None} | reading))


def entropy(**reading: Unpack[Reading]) -> Entropy:
    """Entropy of the next-token distribution, in nats."""
    return Entropy(**reading)


def dot(site: str, direction: TensorLike, *, head: int | None = None, **reading: Unpack[Reading]) -> Dot:
    """The dot product of the tensor at `site` with `direction`, as given."""
    return Dot(site=site, direction=direction, head=head, **reading)


def norm(site: str, *, head: int | None = None, **reading: Unpack[Reading]) -> Norm:
    """The Euclidean norm of the tensor at `site`."""
    return Norm(site=site, head=head, **reading)


def cosine(site: str, direction: TensorLike, *, head: int | None = None, **reading: Unpack[Reading]) -> Cosine:
    """The cosine of the tensor at `site` with `direction`."""
    return Cosine(site=site, direction=direction, head=head, **reading)


def call(fn: MetricFunction, **reading: Unpack[Reading]) -> CallMetric:
    """A Python function from the finished run to one number per example: for exploration, never saved or sent."""
    return CallMetric.of(fn, **reading)
