"""Hooks that are put into a module's own tables: they come before its own, in and out of turn, and leave nothing behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from assay.engine.hooked_module import HookedModule, Step
from assay.models.attention import SoftmaxMode
from assay.models.ports import Port, Side

TABLES = ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_forward_hooks", "_forward_hooks_with_kwargs")


class Adding:
    """Takes what passes: notes it, and adds a number to it."""

    def __init__(self, number: float) -> None:
        self.number = number
        self.seen: list[tuple[Side, float]] = []
        self.modes: list[SoftmaxMode] = []

    def take(self, step: Step, here: Tensor) -> Tensor:
        self.seen.append((step.port.side, float(here.sum())))
        return here + self.number if self.number else here

    def attention(self, module: nn.Module, side: Side, value: Tensor, index: int) -> Tensor:
        self.seen.append((side, float(value.sum())))
        return value

    def wants_softmax(self, module: nn.Module) -> Any:
        return "scores and pattern"


class Softmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x, -1)


def hooked(module: nn.Module, taker: Adding, *ports: Port, softmax: bool = False) -> HookedModule:
    made = HookedModule(module, taker, [Step(port) for port in ports], softmax=softmax)
    made.put_on()
    return made


def test_both_sides_are_changed_and_nothing_is_left() -> None:
    module = nn.Identity()
    taker = Adding(1.0)
    before = {name: len(getattr(module, name)) for name in TABLES}
    mine = hooked(module, taker, Port("m", "in", 0), Port("m", "out"))
    assert module(torch.zeros(2)).tolist() == [2.0, 2.0]
    assert taker.seen == [("in", 0.0), ("out", 2.0)]
    mine.take_off()
    mine.take_off()
    assert {name: len(getattr(module, name)) for name in TABLES} == before
    assert module(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_the_modules_own_hooks_stay_and_see_what_was_changed() -> None:
    module = nn.Identity()
    seen: list[float] = []
    handle = module.register_forward_hook(lambda _, args, out: seen.append(float(out)))
    mine = hooked(module, Adding(3.0), Port("m", "out"))
    later = module.register_forward_hook(lambda _, args, out: seen.append(-float(out)))
    module(torch.tensor(1.0))
    assert seen == [4.0, -4.0]
    mine.take_off()
    module(torch.tensor(1.0))
    assert seen == [4.0, -4.0, 1.0, -1.0]
    handle.remove()
    later.remove()
    assert not module._forward_hooks


@pytest.mark.parametrize("call", [0, 1])
def test_only_the_call_that_is_meant(call: int) -> None:
    module = nn.Identity()
    mine = hooked(module, Adding(1.0), Port("m", "out", call=call))
    assert [float(module(torch.tensor(0.0))) for _ in range(3)] == [float(n == call) for n in range(3)]
    mine.times = 0  # a new pass
    assert float(module(torch.tensor(0.0))) == float(call == 0)
    mine.take_off()


def test_keyword_arguments() -> None:
    module = nn.Bilinear(1, 1, 1, bias=False)
    nn.init.ones_(module.weight)
    mine = hooked(module, Adding(1.0), Port("m", "in", "input2"))
    assert module(torch.ones(1), input2=torch.ones(1)).tolist() == [2.0]
    mine.take_off()


def test_softmax_is_heard_while_the_module_runs_only() -> None:
    module, taker = Softmax(), Adding(0.0)
    mine = hooked(module, taker, Port("m", "pattern", 0), softmax=True)
    x = torch.zeros(1, 1, 2, 2)
    assert torch.equal(module(x), torch.full((1, 1, 2, 2), 0.5))
    assert [side for side, _ in taker.seen] == ["scores", "pattern"]
    torch.softmax(x, -1)
    assert len(taker.seen) == 2 and not taker.modes
    mine.take_off()
