"""Tapping: the one place where torch hooks are registered.

While a `Tapping` is active, every forward pass of the native model calls its actions: at each port a site's value is
read, changed, and written back, in forward order. Changes at one site happen in the order in which they were given,
captures after them. Whatever happens (an error, Ctrl-C), leaving the context removes every hook and restores the
attention implementation. One thread at a time taps a model: another one waits until the first has left its context, so
that no run sees another run's edits.

Cost: one Python call per tapped module and pass; a change copies the tensor that it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Lock, RLock
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from assay.models.attention import IMPLEMENTATION, SoftmaxMode, Wanted, listening, using
from assay.models.network import Network
from assay.models.ports import Key, Port, Side, get_input, get_output, put_input, put_output
from assay.models.structure import Site
from assay.models.taps import Passing
from assay.models.views import Frame

Change = Callable[[Tensor], Tensor]
"""Gives a site's new value from its old one. Must not change its argument in place."""

Keep = Callable[[Tensor], None]
"""Receives a site's value after all changes."""


@dataclass(frozen=True)
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


@dataclass(slots=True)
class _Step:
    """What happens at a port."""

    port: Port
    actions: list[Action] = field(default_factory=list)
    remembered: bool = False


@dataclass
class _Held:
    """Who taps a model: one thread at a time, which may do so again within its context."""

    lock: RLock = field(default_factory=RLock)
    active: list[Tapping] = field(default_factory=list)


_held: WeakKeyDictionary[nn.Module, _Held] = WeakKeyDictionary()
_new_entry = Lock()


class Tapping:
    """Active actions on a network; use as a context manager."""

    def __init__(self, network: Network, actions: Iterable[Action]) -> None:
        self.network = network
        ordered = list(actions)
        self.changes = [a for a in ordered if a.change is not None or a.lift is not None]
        # a derived site's tensor takes the place of the native one, so direct sites at the same port come after it
        keeps = (a for a in ordered if a.change is None and a.lift is None)
        self.keeps = sorted(keeps, key=lambda a: a.attach and not a.site.tap.derived)
        steps: dict[Port, _Step] = {}
        for action in (*self.changes, *self.keeps):
            port = action.site.tap.port
            step = steps.get(port)
            if step is None:
                step = steps[port] = _Step(port)
            step.actions.append(action)
        for port in (port for a in ordered for port in a.site.tap.needs):
            steps.setdefault(port, _Step(port)).remembered = True
        self.steps = list(steps.values())
        self.pass_ = Passing(Frame(1, 1), network.native)
        self.overrides: dict[Site, Tensor] = {}
        self.fired: set[int] = set()
        """Actions that were reached, by identity."""
        self.calls: dict[str, int] = {}
        self.running: dict[str, int] = {}
        self.paths: dict[int, str] = {}
        self._exit = ExitStack()
        self._handles: list[RemovableHandle] = []
        self._modes: list[SoftmaxMode] = []
        self.softmax_inside: dict[int, Wanted] = {}
        self.inside: dict[tuple[str, Side, Key, int], _Step] = {}
        self.around: list[Tapping] = []
        self.leaving: dict[str, int] = {}

    def __enter__(self) -> Self:
        with _new_entry:
            held = _held.setdefault(self.network.native, _Held())
        held.lock.acquire()
        self._exit.callback(held.lock.release)
        self.around = held.active[::-1]
        if self.around:
            self.overrides = self.around[0].overrides  # what a context around this one has made of derived sites
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
        while self._modes:
            self._modes.pop().__exit__(None, None, None)
        self._exit.close()

    def _install(self) -> None:
        inside = [step for step in self.steps if step.port.in_attention]
        if inside:
            self._exit.enter_context(using(self.network.holders, self.network.structure.implementation))
        structure = self.network.structure
        for step in inside:
            if step.port.side in ("scores", "pattern") and step.port.module in structure.interface:
                reads = step.port.side == "pattern" and all(action.reads for action in step.actions)
                module = id(self.network.modules[step.port.module])
                more = not reads or self.softmax_inside.get(module) == "scores and pattern"
                self.softmax_inside[module] = "scores and pattern" if more else "to read the pattern"
        listens = bool(self.softmax_inside) or any(step.port.side in ("q", "k", "v") for step in inside)
        if structure.implementation == IMPLEMENTATION and listens:
            self._exit.enter_context(listening(self))
        self._hook(self.network.native.register_forward_pre_hook(self._begin, with_kwargs=True))
        by_module: dict[str, list[_Step]] = {}
        for step in self.steps:
            by_module.setdefault(step.port.module, []).append(step)
        self.inside = {(s.port.module, s.port.side, s.port.key, s.port.call): s for s in inside}
        for path, mine in by_module.items():
            self._install_module(path, mine)

    def _install_module(self, path: str, steps: Sequence[_Step]) -> None:
        module = self.network.modules[path]
        self.paths[id(module)] = path
        sides = {step.port.side for step in steps}
        entering = [step for step in steps if step.port.side == "in"]
        # remembered integer tensors (chosen experts) first: a change at this call may need them
        leaving = sorted((step for step in steps if step.port.side == "out"), key=lambda step: not step.remembered)
        softmax = not sides.isdisjoint(("scores", "pattern")) and id(module) not in self.softmax_inside
        counts_before = sides != {"out"}

        def count() -> int:
            call = self.running[path] = self.calls.get(path, 0)
            self.calls[path] = call + 1
            return call

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = count()
            for step in entering:
                if step.port.call == call:
                    args, kwargs = self._enter(step, args, kwargs)
            if softmax:
                self._modes.append(SoftmaxMode(module, self).__enter__())
            return args, kwargs

        def after(_: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
            if softmax and self._modes and self._modes[-1].module is module:
                self._modes.pop().__exit__(None, None, None)
            call = self.running[path] if counts_before else count()
            for step in leaving:
                if step.port.call == call:
                    out = self._leave(step, out)
            return out

        if counts_before:
            self._hook(module.register_forward_pre_hook(before, with_kwargs=True))
        if leaving or softmax:
            # before hooks of the model's own, which collect hidden states: they are to see what we change
            handle = module.register_forward_hook(after, prepend=True)
            self._hook(handle)
            self._stay_inside(module, path, handle.id)

    def _stay_inside(self, module: nn.Module, path: str, handle: int) -> None:
        """Our hook after a module comes before the model's own, but after those of the contexts around this one."""
        self.leaving[path] = handle
        order: Any = module._forward_hooks
        for outer in self.around:
            if path in outer.leaving:
                order.move_to_end(outer.leaving[path], last=False)

    def _hook(self, handle: RemovableHandle) -> None:
        self._handles.append(handle)

    def _unhook(self) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _begin(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A new forward pass: call counts and remembered tensors start afresh."""
        self.calls.clear()
        self.overrides.clear()
        self.pass_.memory.clear()
        tensors = [t for t in (*args, *kwargs.values()) if isinstance(t, Tensor) and t.ndim > 0]
        main = next(
            (kwargs[n] for n in ("input_ids", "inputs_embeds", "pixel_values") if kwargs.get(n) is not None), None
        )
        main = main if main is not None else tensors[0] if tensors else None
        if main is not None:
            self.pass_.frame = Frame(main.shape[0], main.shape[1] if main.ndim > 1 else 1)

    def attention(self, module: nn.Module, side: Side, value: Tensor, index: int) -> Tensor:
        """Called by the attention tap with a tensor inside attention."""
        path = self.paths.get(id(module))
        if side == "q":
            self.pass_.frame = Frame(self.pass_.frame.batch, value.shape[2])
        step = None if path is None else self.inside.get((path, side, index, self.running.get(path, 0)))
        return value if step is None else self._take(step, value)

    def wants_softmax(self, module: nn.Module) -> Wanted:
        """What is asked for of this module's softmax, where attention is a function of its own."""
        return self.softmax_inside.get(id(module), "nothing")

    def _enter(self, step: _Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        value = get_input(args, kwargs, step.port.key)
        new = self._take(step, value)
        return (args, kwargs) if new is value else put_input(args, kwargs, step.port.key, new)

    def _leave(self, step: _Step, out: Any) -> Any:
        value = get_output(out, step.port.key)
        new = self._take(step, value)
        return out if new is value else put_output(out, step.port.key, new)

    def _take(self, step: _Step, here: Tensor) -> Tensor:
        """Native code passes a port with the tensor `here`: returns what it goes on with."""
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
