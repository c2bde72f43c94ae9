"""Build and run the whole zoo: `python -m tests.conformance.check_zoo [name ...]` prints one line per model.

Parameters, seconds to build and to run, the largest output, and for each block the norm of its input and how much it
changes it, relative to that norm. Two processes; about 20 s for everything.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch
from tests.conformance import zoo
from torch import Tensor, nn


@dataclass(frozen=True)
class Line:
    """What came of one model."""

    name: str
    parameters: int
    build_seconds: float
    run_seconds: float
    largest: float
    blocks: tuple[str, ...]

    def __str__(self) -> str:
        times = f"{self.build_seconds:5.2f} s {self.run_seconds:5.2f} s"
        return f"{self.name:45} {self.parameters:9,} {times} {self.largest:8.2f}  {' '.join(self.blocks)}"


def check(name: str) -> Line:
    """Build one model and run it."""
    started = time.perf_counter()
    model, inputs = zoo.build(name)
    built = time.perf_counter()
    changes: list[str] = []
    hooks = [block.register_forward_hook(_recorder(changes), with_kwargs=True) for block in _blocks(model)]
    with torch.no_grad():
        outputs = model(**inputs)
    for hook in hooks:
        hook.remove()
    count = sum(parameter.numel() for parameter in model.parameters())
    largest = max(tensor.abs().max().item() for tensor in _tensors(outputs.values()))
    return Line(name, count, built - started, time.perf_counter() - built, largest, tuple(changes))


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) > 1:
            yield from module


def _recorder(changes: list[str]):  # type: ignore[no-untyped-def]
    def record(module: nn.Module, args: tuple, kwargs: dict, output: object) -> None:  # type: ignore[type-arg]
        before = next(_tensors([*args, kwargs.get("hidden_states")]), None)
        after = next(_tensors(output if isinstance(output, tuple) else [output]), None)
        if before is not None and after is not None and before.shape == after.shape:
            changes.append(f"{before.norm(dim=-1).mean():.1f}±{(after - before).norm() / before.norm():.0%}")

    return record


def _tensors(values: Iterable[object]) -> Iterator[Tensor]:
    return (value for value in values if isinstance(value, Tensor) and value.is_floating_point())


def main(names: list[str]) -> None:
    """Everything that can be built, or the names given."""
    started = time.perf_counter()
    wanted = names or [name for name in zoo.everything() if name not in zoo.unavailable()]
    with ProcessPoolExecutor(2, initializer=_quiet) as pool:
        for line in pool.map(check, wanted, chunksize=8):
            print(line)
    for name, reason in zoo.unavailable().items():
        print(f"{name:45} not here: {reason}")
    print(f"{len(wanted)} models in {time.perf_counter() - started:.0f} s")


def _quiet() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)


if __name__ == "__main__":
    main(sys.argv[1:])
