"""What is measured on a run's output: one number per example and position, then reduced only as asked.

`pos` says at which positions the metric is read (the last by default); an index or a name leaves no position axis, a
list, a slice or None leaves one, unless `reduce` takes it away. `reduce_examples` does the same for examples. Both are
"none" unless asked, so that nothing is averaged silently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from pydantic import PrivateAttr, model_validator

from assay.core.errors import ExperimentError
from assay.experiments.answers import Answer, Answers
from assay.experiments.positions import Pos
from assay.experiments.record import Record

Reduction = Literal["none", "mean", "sum", "min", "max"]
"""How values along an axis become one; "none" keeps the axis."""

MetricFunction = Callable[[Any], Any]
"""A Python function from a finished run to one number per example."""


class Metric(Record):
    """A number read from a run. Each kind is a subclass."""

    single_token: ClassVar[bool] = True
    """Whether answers must be one token each; otherwise longer ones are scored token by token, teacher-forced."""

    kind: str
    """What is measured."""
    name: str | None = None
    """The result's name for it; None takes the kind, numbered if it is there already."""
    run: str | None = None
    """The run or input that it is read from; None is the experiment's main run."""
    pos: Pos = -1
    """Positions at which it is read."""
    reduce: Reduction = "none"
    """Over those positions."""
    reduce_examples: Reduction = "none"
    """Over examples."""

    @property
    def other_run(self) -> str | None:
        """The other run that the value depends on, if there is one."""
        return None

    @property
    def asks(self) -> dict[str, Any]:
        """The answers that it asks about, by field; a None in it is to come from the input."""
        return {field: getattr(self, field) for field in ("answer", "wrong") if field in type(self).model_fields}

    @property
    def needs_from_input(self) -> tuple[str, ...]:
        """Which of `answer` and `wrong` the input must bring, as the metric has none of its own."""
        return tuple(field for field, value in self.asks.items() if value is None)

    @property
    def local_only(self) -> bool:
        """True if it holds a Python function, which can be neither saved nor sent."""
        return False


class LogitDiff(Metric):
    """The logit of the answer minus the logit of the wrong answer."""

    kind: Literal["logit_diff"] = "logit_diff"
    answer: Answers | None = None
    """The right answer; None is the input's."""
    wrong: Answers | None = None
    """The wrong answer; None is the input's."""


class Logit(Metric):
    """The logit of the answer."""

    kind: Literal["logit"] = "logit"
    answer: Answers | None = None
    """The answer; None is the input's."""


class LogProb(Metric):
    """The natural log of the answer's probability; for several tokens, the sum over them, each given those before."""

    single_token: ClassVar[bool] = False
    kind: Literal["logprob"] = "logprob"
    answer: Answers | None = None
    """The answer; None is the input's."""


class Prob(Metric):
    """The answer's probability; for several tokens, the product over them, each given those before."""

    single_token: ClassVar[bool] = False
    kind: Literal["prob"] = "prob"
    answer: Answers | None = None
    """The answer; None is the input's."""


class Rank(Metric):
    """How many tokens have a higher logit than the answer: 0 is the top."""

    kind: Literal["rank"] = "rank"
    answer: Answers | None = None
    """The answer; None is the input's."""


class Accuracy(Metric):
    """1 where the answer's logit is above those of all wrong ones (none given: of all other tokens), else 0."""

    kind: Literal["accuracy"] = "accuracy"
    answer: Answers | None = None
    """The answer; None is the input's."""
    wrong: Answers | None = None
    """The wrong ones: one for all examples, one for each, or a list of alternatives for each; None is every token."""

    @property
    def needs_from_input(self) -> tuple[str, ...]:
        """Only the answer: without wrong ones, all other tokens are."""
        return ("answer",) if self.answer is None else ()


class KL(Metric):
    """KL(P_to ‖ P_run) of the next-token distributions in nats: what is lost when this run stands in for `to`."""

    kind: Literal["kl"] = "kl"
    to: str
    """The run or input with the reference distribution."""

    @property
    def other_run(self) -> str:
        """The run with the reference distribution."""
        return self.to


class ReverseKL(Metric):
    """KL(P_run ‖ P_to) of the next-token distributions, in nats."""

    kind: Literal["reverse_kl"] = "reverse_kl"
    to: str
    """The run or input with the reference distribution."""

    @property
    def other_run(self) -> str:
        """The run with the reference distribution."""
        return self.to


class Loss(Metric):
    """Next-token cross-entropy in nats: at position p, minus the log-probability of the prompt's token at p + 1.

    The last position has no next token and is left out.
    """

    kind: Literal["loss"] = "loss"


class Entropy(Metric):
    """Entropy of the next-token distribution, in nats."""

    kind: Literal["entropy"] = "entropy"


class CallMetric(Metric):
    """A Python function of the run: for exploration. It can be neither saved nor sent; make one with `metric.call`."""

    kind: Literal["call"] = "call"
    _function: MetricFunction = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _never_from_data(cls, value: Any) -> Any:
        if isinstance(value, CallMetric):
            return value
        raise ExperimentError("a metric of kind 'call' holds a Python function: make it with metric.call(function).")

    @classmethod
    def of(cls, function: MetricFunction, **common: Any) -> CallMetric:
        """The metric that applies `function`."""
        checked = Entropy(**common)
        fields = {name: getattr(checked, name) for name in Metric.model_fields if name != "kind"}
        fields["name"] = fields["name"] or getattr(function, "__name__", "call").strip("<>")
        made = cls.model_construct(kind="call", **fields)
        made._function = function
        return made

    @property
    def function(self) -> MetricFunction:
        """The function: it gets the finished run and returns one number per example."""
        return self._function

    @property
    def local_only(self) -> bool:
        """True: a function is not data."""
        return True


OutputMetric = LogitDiff | Logit | LogProb | Prob | Rank | Accuracy | KL | ReverseKL | Loss | Entropy | CallMetric

__all__ = ["Answer", "Metric", "OutputMetric", "Reduction"]
