"""What a step will cost, before it is done: the engine's plan of the first experiment that its method asks for.

A method is a function that makes its experiments as it goes, so what it will ask for is found by calling it with a model
that refuses to compute: the first `measure` is explained and the call ends there. So the estimate is a lower bound: it is
whole for methods that make one sweep, and leaves out what comes after the first for the others. Methods that first run,
generate or train can't be told beforehand; their estimate says so. Seconds are from this machine's measured speed.

Cost: reading the step's inputs, and about ten passes over a few tokens, once for each model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import BaseModel
from torch import nn

from assay.core.registry import Method
from assay.engine.explain import Explanation
from assay.engine.model import Model
from assay.experiments.experiment import Experiment
from assay.models.network import Network

Forward = Callable[..., Any]


@dataclass(frozen=True)
class Estimated:
    """What the first experiment of a step costs at least; None where it can't be told, and why."""

    seconds: float | None = None
    token_layers: int | None = None
    bytes: int | None = None
    why_not: str | None = None

    def as_data(self) -> dict[str, Any]:
        """Plain data, without what is not known."""
        return {name: value for name, value in vars(self).items() if value is not None}


def estimate_step(
    method: Method, model: Any, data: Any, *, settings: BaseModel, earlier: Mapping[str, Any]
) -> Estimated:
    """What a step costs at least; nothing of it is computed."""
    if not isinstance(model, Model):
        return Estimated(why_not="the model has no engine that explains")
    if method.card.cost.startswith("none"):
        return Estimated(seconds=0.0, token_layers=0, bytes=0)  # it asks for no pass
    try:
        with _forward(model.native, _refuse_passes) as own:
            method.run(_Refusing(model, own), data, settings, **earlier)
    except _AskedError as asked:
        return asked.told
    return Estimated(seconds=0.0, token_layers=0, bytes=0)  # it is over already: it asked for no pass


class _AskedError(Exception):
    """Ends a method at the first thing that it asks of the model."""

    def __init__(self, told: Estimated) -> None:
        super().__init__()
        self.told = told


def _refuse_passes(*arguments: Any, **options: Any) -> NoReturn:
    """In place of a network's forward, where a method runs it without asking the model."""
    raise _AskedError(Estimated(why_not="its method begins with passes of its own, which can't be told beforehand"))


@contextmanager
def _forward(native: nn.Module, function: Forward | None) -> Iterator[Forward | None]:
    """While it lasts, a network's own `forward` is this function, or its class's. Gives the one that it had."""
    own: Forward | None = native.__dict__.pop("forward", None)
    if function is not None:
        native.__dict__["forward"] = function
    try:
        yield own
    finally:
        native.__dict__.pop("forward", None)
        if own is not None:
            native.__dict__["forward"] = own


class _Refusing(Model):
    """A model that explains what it is asked for, and computes nothing. `own`: its network's own forward."""

    def __init__(self, model: Model | Network, own: Forward | None = None) -> None:
        super().__init__(model.network if isinstance(model, Model) else model)
        self._own = own

    def measure(self, experiment: Experiment, **options: Any) -> NoReturn:
        """Explain the experiment instead."""
        known = {name: options[name] for name in ("batch", "without", "memory") if name in options}
        with _forward(self.native, self._own):  # a plan is tried on the network, and what was found is kept
            told: Explanation = self.explain(experiment, **known)
        work = told.work if told.engine == "scheduled" else told.naive
        raise _AskedError(Estimated(work.seconds, told.token_layers, int(work.bytes)))

    def _refuse(self, what: str) -> NoReturn:
        raise _AskedError(Estimated(why_not=f"its method begins with {what}, which can't be told beforehand"))

    def run(self, *arguments: Any, **options: Any) -> NoReturn:
        """Refuse."""
        self._refuse("a run")

    def gradients(self, *arguments: Any, **options: Any) -> NoReturn:
        """Refuse."""
        self._refuse("gradients")

    def jvp(self, *arguments: Any, **options: Any) -> NoReturn:
        """Refuse."""
        self._refuse("gradients")

    def integrated_gradients(self, *arguments: Any, **options: Any) -> NoReturn:
        """Refuse."""
        self._refuse("gradients")

    def generate(self, *arguments: Any, **options: Any) -> NoReturn:
        """Refuse."""
        self._refuse("generation")

    def generate_sweep(self, *arguments: Any, **options: Any) -> NoReturn:
        """Refuse."""
        self._refuse("generation")

    def harvest(self, *arguments: Any, **options: Any) -> NoReturn:
        """Refuse."""
        self._refuse("a harvest")

    def hooked(self, functions: Any) -> NoReturn:
        """Refuse."""
        self._refuse("its own passes")
