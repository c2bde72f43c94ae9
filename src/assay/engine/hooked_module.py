"""What a `Tapping` does at one module: its ports there, and the hooks that reach them.

Hooks are put into the module's own tables: `register_forward_hook` makes a handle with weak references for each, which
costs more than the hook itself where hundreds are put on for one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from torch import Tensor, nn

from assay.models.attention import SoftmaxMode
from assay.models.ports import Key, Port, Side, get_input, get_output, put_input, put_output

_numbers = count(-1, -1)
"""Keys of our hooks: torch gives its own numbers from 0 on."""


class Taker(Protocol):
    """Who takes what passes."""

    modes: list[SoftmaxMode]

    def take(self, step: Step, here: Tensor) -> Tensor:
        """Native code passes a port with the tensor `here`: returns what it goes on with."""

    def attention(self, module: nn.Module, side: Side, value: Tensor, index: int) -> Tensor:
        """As `assay.models.attention.Listener`."""

    def wants_softmax(self, module: nn.Module) -> Any:
        """As `assay.models.attention.Listener`."""


@dataclass(slots=True, eq=False)
class Step:
    """What happens at a port."""

    port: Port
    actions: list[Any] = field(default_factory=list)
    remembered: bool = False
    reads: bool = True
    """Native code's tensor is left alone by all actions."""


class HookedModule:
    """The hooks on one module. `softmax`: its softmax is listened to while it runs."""

    __slots__ = ("_after", "_before", "call", "entering", "inside", "leaving", "module", "softmax", "taker", "times")

    def __init__(self, module: nn.Module, taker: Taker, steps: Sequence[Step], *, softmax: bool) -> None:
        self.module, self.taker, self.softmax = module, taker, softmax
        self.entering = [step for step in steps if step.port.side == "in"]
        self.leaving = [step for step in steps if step.port.side == "out"]
        if len(self.leaving) > 1:
            # remembered integer tensors (chosen experts) first: a change at this call may need them
            self.leaving.sort(key=lambda step: not step.remembered)
        self.inside: dict[tuple[Side, Key, int], Step] = {
            (step.port.side, step.port.key, step.port.call): step for step in steps if step.port.in_attention
        }
        self.call = self.times = 0
        """The call that is running or was last, and how many there were in this pass."""
        self._before = self._after = 0

    def put_on(self) -> None:
        """Add the hooks to the module. Those after it come before its own, which are to see what was changed."""
        module: Any = self.module
        if self.entering or self.inside:
            self._before = next(_numbers)
            module._forward_pre_hooks[self._before] = self._enter
            module._forward_pre_hooks_with_kwargs[self._before] = True
        if self.leaving or self.softmax:
            self._after = next(_numbers)
            module._forward_hooks[self._after] = self._leave
            self.move_to_front()

    def move_to_front(self) -> None:
        """Let the hook after the module come before all others there."""
        hooks: Any = self.module._forward_hooks
        if len(hooks) > 1 and self._after:
            hooks.move_to_end(self._after, last=False)

    def take_off(self) -> None:
        """Remove the hooks; harmless when they are not there."""
        module: Any = self.module
        module._forward_pre_hooks.pop(self._before, None)
        module._forward_pre_hooks_with_kwargs.pop(self._before, None)
        module._forward_hooks.pop(self._after, None)

    def _count(self) -> int:
        self.call = self.times
        self.times += 1
        return self.call

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._count()
        for step in self.entering:
            port = step.port
            if port.call == call:
                value = get_input(args, kwargs, port.key)
                new = self.taker.take(step, value)
                if new is not value:
                    args, kwargs = put_input(args, kwargs, port.key, new)
        if self.softmax:
            self.taker.modes.append(SoftmaxMode(module, self.taker).__enter__())
        return args, kwargs

    def _leave(self, module: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
        modes = self.taker.modes
        if self.softmax and modes and modes[-1].module is module:
            modes.pop().__exit__(None, None, None)
        call = self.call if self._before else self._count()
        for step in self.leaving:
            port = step.port
            if port.call == call:
                value = get_output(out, port.key)
                new = self.taker.take(step, value)
                if new is not value:
                    out = put_output(out, port.key, new)
        return out
