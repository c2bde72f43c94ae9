"""A trace: what every module reads and returns in one forward pass on a few tokens, and every softmax and product.

This is the evidence from which sites are found. Tensors are copied, since native code may change them in place;
with the 24 tokens of `example_inputs` that is small beside the weights. Cost: one forward pass and a copy of
all activations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from assay.models.attention import SOFTMAX, Wanted, listening
from assay.models.einsum import as_product
from assay.models.ports import Key, Port, Side, floating_inputs, floating_outputs

_PRODUCTS: frozenset[Any] = frozenset(
    {torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm, torch.baddbmm, Tensor.baddbmm}
)


@dataclass
class Event:
    """One call of one module. `start` and `end` place it in time; an event inside another lies between them."""

    path: str
    call: int
    start: int
    inputs: dict[Key, Tensor]
    end: int = -1
    outputs: dict[Key, Tensor] = field(default_factory=dict)
    chosen: dict[Key, Tensor] = field(default_factory=dict)
    arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def contains(self, other: Event | Operation) -> bool:
        """Whether `other` happened during this call."""
        return self.start < other.start and other.end < self.end


@dataclass
class Operation:
    """A softmax, a product, a call of the attention function (its q, k or v), or of a fused kernel that computes all
    of attention, inside module `path` (its `call`-th call)."""

    kind: str
    path: str
    call: int
    start: int
    index: int
    tensors: tuple[Tensor, ...]

    @property
    def end(self) -> int:
        """An operation is a point in time."""
        return self.start


@dataclass
class Trace:
    """All module calls in order of their start, and the operations inside them."""

    events: list[Event]
    operations: list[Operation]
    output: Any
    batch: int
    """Examples in the traced pass."""
    pos: int | None = None
    """Positions in it, where its main input is a table of tokens."""

    def inside(self, event: Event) -> list[Event]:
        """Module calls during `event`, in order of their start."""
        return [e for e in self.events if event.contains(e)]

    def memory(self) -> dict[Port, Tensor]:
        """Every recorded tensor by its port, as the engine would meet it."""
        found = memory_of(self.events)
        for o in self.operations:
            if o.kind == "softmax":
                found[Port(o.path, "scores", o.index, o.call)], found[Port(o.path, "pattern", o.index, o.call)] = (
                    o.tensors
                )
            elif o.kind in ("q", "k", "v"):
                found[Port(o.path, o.kind, 0, o.call)] = o.tensors[0]  # type: ignore[arg-type]
        return found

    def operations_inside(self, event: Event, kind: str) -> list[Operation]:
        """Operations of a kind during `event`."""
        return [o for o in self.operations if o.kind == kind and event.contains(o)]


class _Recorder(TorchFunctionMode):
    def __init__(self, native: nn.Module) -> None:
        super().__init__()
        self.names = {id(module): name for name, module in native.named_modules()}
        self.events: list[Event] = []
        self.operations: list[Operation] = []
        self.stack: list[Event] = []
        self.clock = 0
        self.calls: dict[str, int] = {}
        self.busy = False

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        path = self.names[id(module)]
        call = self.calls.get(path, 0)
        self.calls[path] = call + 1
        event = Event(path, call, self.tick(), self.copy(floating_inputs(args, kwargs)))
        event.arguments = (args, dict(kwargs))
        self.events.append(event)
        self.stack.append(event)

    def leave(self, module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        event = self.stack.pop()
        event.outputs, event.end = self.copy(floating_outputs(out)), self.tick()
        if isinstance(out, tuple):
            event.chosen = {i: t.clone() for i, t in enumerate(out) if isinstance(t, Tensor) and t.dtype == torch.int64}

    def copy(self, tensors: dict[Key, Tensor]) -> dict[Key, Tensor]:
        self.busy = True
        copies = {key: t.detach().clone() for key, t in tensors.items()}
        self.busy = False
        return copies

    def attention(self, module: nn.Module, side: Side, value: Tensor, index: int) -> Tensor:
        self.note(side, self.names[id(module)], (value,))
        return value

    def wants_softmax(self, module: nn.Module) -> Wanted:
        """Never: this mode sees them itself."""
        return "nothing"

    def note(self, kind: str, path: str, tensors: tuple[Tensor, ...]) -> None:
        now = self.tick()
        call = next((e.call for e in reversed(self.stack) if e.path == path), 0)
        enclosing = next((e for e in reversed(self.stack) if e.path == path), None)
        begin = 0 if enclosing is None else enclosing.start
        function = [o.start for o in self.operations if o.kind == "q" and o.path == path and o.start > begin]
        begin = min(function, default=begin)  # softmaxes of a registered function are counted from its first call on
        index = sum(o.kind == kind and o.start > begin for o in self.operations) if enclosing else 0
        copies = self.copy(dict(enumerate(tensors)))
        self.operations.append(Operation(kind, path, call, now, index, tuple(copies.values())))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is functional.multi_head_attention_forward and self.stack and not self.busy:
            self.note("fused", self.stack[-1].path, (out[0],))
        if self.busy or not self.stack or not isinstance(out, Tensor) or not out.is_floating_point():
            return out
        operands = tuple(
            a for a in (*args, *(kwargs or {}).values()) if isinstance(a, Tensor) and a.is_floating_point()
        )
        if func in SOFTMAX and out.ndim >= 3:
            self.note("softmax", self.stack[-1].path, (operands[0], out))
        elif func in _PRODUCTS and out.ndim >= 3:
            self.note("product", self.stack[-1].path, (*operands[-2:], out))
        elif func is torch.einsum and (product := as_product(args, out)) is not None:
            self.note("product", self.stack[-1].path, product)
        elif func is functional.scaled_dot_product_attention and len(operands) >= 3 and out.ndim == 4:
            self.note("fused", self.stack[-1].path, (*operands[:3], out))
        return out


def memory_of(events: Iterable[Event]) -> dict[Port, Tensor]:
    """What these calls read and returned, by port."""
    found: dict[Port, Tensor] = {}
    for e in events:
        found |= {Port(e.path, "in", key, e.call): t for key, t in e.inputs.items()}
        found |= {Port(e.path, "out", key, e.call): t for key, t in {**e.outputs, **e.chosen}.items()}
    return found


def trace(native: nn.Module, inputs: Mapping[str, Any]) -> Trace:
    """Run the model once and record every module call. Leaves no hook behind, whatever happens."""
    recorder = _Recorder(native)
    handles = []
    try:
        for module in native.modules():
            handles.append(module.register_forward_pre_hook(recorder.enter, with_kwargs=True))
            handles.append(module.register_forward_hook(recorder.leave))
        with torch.no_grad(), listening(recorder), recorder:
            output = native(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    main = _main(inputs)
    pos = int(main.shape[-1]) if main.ndim in (2, 3) and not main.is_floating_point() else None
    return Trace([e for e in recorder.events if e.end > 0], recorder.operations, output, int(main.shape[0]), pos)


def _main(inputs: Mapping[str, Any]) -> Tensor:
    """The input whose rows are the examples."""
    names = ("input_ids", "inputs_embeds", "pixel_values", *inputs)
    return next(t for n in names if isinstance(t := inputs.get(n), Tensor) and t.ndim > 0)
