"""Tapping: the one place where torch hooks are registered.

While a `Tapping` is active, every forward pass of the native model calls its actions: at each port a site's value is
read, changed, and written back, in forward order. Changes at one site happen in the order in which they were given,
captures after them. Whatever happens (an error, Ctrl-C), leaving the context removes every hook and restores the
attention implementation. One thread at a time taps a model: another one waits until the first has left its context, so
that no run sees another run's edits.

Cost: one Python call per tapped module and pass; a change copies the tensor that it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Lock, RLock, get_ident
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from assay.engine.hooked_module import HookedModule, Step
from assay.models.attention import IMPLEMENTATION, SoftmaxMode, Wanted, listening, using
from assay.models.network import Network
from assay.models.ports import Port, Side
from assay.models.structure import Site
from assay.models.taps import Passing
from assay.models.views import Frame

Change = Callable[[Tensor], Tensor]
"""Gives a site's new value from its old one. Must not change its argument in place."""

Keep = Callable[[Tensor], None]
"""Receives a site's value after all changes."""


@dataclass(slots=True, eq=False)
class Action:
    """What to do at a site. With `attach`, native code computes on from the very tensor that `keep` receives.

    `lift` gives the site's value again, with other derivatives (none, or a tangent); it takes its turn among the changes.
    """

    site: Site
    change: Change | None = None
    keep: Keep | None = None
    attach: bool = False
    lift: Change | None = None

    @property
    def reads(self) -> bool:
        """It leaves native code's tensor alone."""
        return self.change is None and self.lift is None and not self.attach


@dataclass
class _Held:
    """Who taps a model: one thread at a time, which may do so again within its context."""

    lock: RLock = field(default_factory=RLock)
    active: list[Tapping] = field(default_factory=list)


_held: WeakKeyDictionary[nn.Module, _Held] = WeakKeyDictionary()
_new_entry = Lock()


@contextmanager
def alone(network: Network) -> Iterator[None]:
    """Other threads wait with their passes until this one has taken back what it put into the model."""
    with _holding(network).lock:
        yield


def _holding(network: Network) -> _Held:
    with _new_entry:
        return _held.setdefault(network.native, _Held())


def why_tapped(network: Network) -> str | None:
    """Why passes of this thread must be whole and plain: it is within a context that has functions at sites."""
    held = _held.get(network.native)
    mine = held is not None and any(tapping.thread == get_ident() for tapping in list(held.active))
    return "functions are put at sites of this model, and may look at whole prompts" if mine else None


class Tapping:
    """Active actions on a network; use as a context manager."""

    def __init__(self, network: Network, actions: Iterable[Action]) -> None:
        self.network = network
        changes: list[Action] = []
        keeps: list[Action] = []
        for action in actions:
            (keeps if action.change is None and action.lift is None else changes).append(action)
        if any(action.attach for action in keeps):
            # a derived site's tensor takes the place of the native one, so direct sites at the same port come after it
            keeps.sort(key=lambda a: a.attach and not a.site.tap.derived)
        steps: dict[Port, Step] = {}
        needed: list[Port] = []
        for action in (*changes, *keeps):
            tap = action.site.tap
            step = steps.get(tap.port)
            if step is None:
                step = steps[tap.port] = Step(tap.port)
            step.actions.append(action)
            step.reads = step.reads and action.reads
            needed += tap.needs
        for port in needed:
            step = steps.get(port)
            if step is None:
                step = steps[port] = Step(port)
            step.remembered = True
        self.steps = list(steps.values())
        self.pass_ = Passing(Frame(1, 1), network.native)
        self.overrides: dict[Site, Tensor] = {}
        self.fired: set[int] = set()
        """Actions that were reached, by identity."""
        self.modes: list[SoftmaxMode] = []
        self.softmax_inside: dict[int, Wanted] = {}
        self.hooked: dict[int, HookedModule] = {}
        self.around: list[Tapping] = []
        self.thread: int | None = None
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        held = _holding(self.network)
        held.lock.acquire()
        self._exit.callback(held.lock.release)
        self.around = held.active[::-1]
        if self.around:
            self.overrides = self.around[0].overrides  # what a context around this one has made of derived sites
        self.thread = get_ident()
        held.active.append(self)
        self._exit.callback(held.active.remove, self)
        self._exit.callback(self._unhook)
        try:
            self._install()
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self.modes:
            self.modes.pop().__exit__(None, None, None)
        self._exit.close()

    def _install(self) -> None:
        inside = [step for step in self.steps if step.port.in_attention]
        if inside:
            self._exit.enter_context(using(self.network.holders, self.network.structure.implementation))
        structure = self.network.structure
        for step in inside:
            if step.port.side in ("scores", "pattern") and step.port.module in structure.interface:
                reads = step.port.side == "pattern" and step.reads
                attends = id(self.network.modules[step.port.module])
                more = not reads or self.softmax_inside.get(attends) == "scores and pattern"
                self.softmax_inside[attends] = "scores and pattern" if more else "to read the pattern"
        listens = bool(self.softmax_inside) or any(step.port.side in ("q", "k", "v") for step in inside)
        if structure.implementation == IMPLEMENTATION and listens:
            self._exit.enter_context(listening(self))
        self._exit.callback(self.network.native.register_forward_pre_hook(self._begin, with_kwargs=True).remove)
        by_module: dict[nn.Module, list[Step]] = {}
        for step in self.steps:
            by_module.setdefault(self.network.modules[step.port.module], []).append(step)
        for module, mine in by_module.items():
            softmax = id(module) not in self.softmax_inside and any(s.port.side in ("scores", "pattern") for s in mine)
            hooked = self.hooked[id(module)] = HookedModule(module, self, mine, softmax=softmax)
            hooked.put_on()
            for outer in self.around:
                if (theirs := outer.hooked.get(id(module))) is not None:
                    theirs.move_to_front()

    def _unhook(self) -> None:
        for hooked in self.hooked.values():
            hooked.take_off()
        self.hooked.clear()  # they know this context: a cycle, which would keep every tensor of its actions until the next gc

    def _begin(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A new forward pass: call counts and remembered tensors start afresh."""
        for hooked in self.hooked.values():
            hooked.times = 0
        self.overrides.clear()
        self.pass_.memory.clear()
        tensors = [t for t in (*args, *kwargs.values()) if isinstance(t, Tensor) and t.ndim > 0]
        main = next(
            (kwargs[n] for n in ("input_ids", "inputs_embeds", "pixel_values") if kwargs.get(n) is not None), None
        )
        main = main if main is not None else tensors[0] if tensors else None
        if main is not None:
            self.pass_.frame = Frame(
                main.shape[0], main.shape[1 if main.is_floating_point() else -1] if main.ndim > 1 else 1
            )

    def attention(self, module: nn.Module, side: Side, value: Tensor, index: int) -> Tensor:
        """Called by the attention tap with a tensor inside attention."""
        if side == "q":
            self.pass_.frame = Frame(self.pass_.frame.batch, value.shape[2])
        hooked = self.hooked.get(id(module))
        step = None if hooked is None else hooked.inside.get((side, index, hooked.call))
        return value if step is None else self.take(step, value)

    def wants_softmax(self, module: nn.Module) -> Wanted:
        """What is asked for of this module's softmax, where attention is a function of its own."""
        return self.softmax_inside.get(id(module), "nothing")

    def take(self, step: Step, here: Tensor) -> Tensor:
        """Native code passes a port with the tensor `here`: returns what it goes on with."""
        if step.reads and not self.overrides:
            for action in step.actions:
                self.fired.add(id(action))
                if action.keep is not None:
                    action.keep(action.site.tap.read(here, self.pass_))
        else:
            for action in step.actions:
                here = self._act(action, here)
        if step.remembered:
            self.pass_.memory[step.port] = here
        return here

    def _act(self, action: Action, here: Tensor) -> Tensor:
        tap, run = action.site.tap, self.pass_
        value = self.overrides.get(action.site) if self.overrides else None
        value = tap.read(here, run) if value is None else value
        self.fired.add(id(action))
        if action.change is not None:
            changed = action.change(value)
            if changed is value:
                return here
            if tap.derived:
                self.overrides[action.site] = changed
            return tap.write(here, value, changed, run)
        if action.lift is not None:
            return tap.attach(here, value, action.lift(value), run)
        if action.attach:
            # a tensor of its own: the native one may have other readers (a residual beside the branch that is tapped)
            old, value = value, value.view_as(value) if value.requires_grad else value.detach().requires_grad_()
            here = tap.attach(here, old, value, run)
        if action.keep is not None:
            action.keep(value)
        return here
