"""How fast this machine is: matrix products of several heights, measured once and stored; and what starting a block costs."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from assay.core.cache import cache_folder
from assay.core.errors import StorageError
from assay.core.files import write_text
from assay.engine.hooks import alone
from assay.models.network import Network

HEIGHTS = (8, 64, 512, 4096)
WIDTH = 1024
FORMAT = 1


@dataclass(frozen=True)
class Speed:
    """Operations a second by the number of rows of a matrix product, and seconds to start one block."""

    rates: Mapping[int, float]
    start: float = 0.0

    def rate(self, rows: float) -> float:
        """Operations a second of a product with so many rows; between two that were measured, by the logarithm."""
        heights = sorted(self.rates)
        if rows <= heights[0]:
            return self.rates[heights[0]] * rows / heights[0]
        for low, high in pairwise(heights):
            if rows <= high:
                share = log(rows / low) / log(high / low)
                return self.rates[low] + share * (self.rates[high] - self.rates[low])
        return self.rates[heights[-1]]

    def block(self, flops: float, rows: float) -> float:
        """Seconds in a block."""
        return self.start + flops / self.rate(rows)


_starts: WeakKeyDictionary[nn.Module, float] = WeakKeyDictionary()


def speed_of(network: Network, flops_of_one_token: float, blocks: int) -> Speed:
    """This machine with this model: the stored rates, and the time of one pass of one token."""
    parameter, device = next(network.native.parameters(), None), network.device
    dtype = parameter.dtype if parameter is not None else torch.float32
    rates = _rates(device, dtype, torch.get_num_threads())
    if network.native not in _starts:
        _starts[network.native] = _start(network, Speed(rates), flops_of_one_token, blocks)
    return Speed(rates, _starts[network.native])


def _start(network: Network, speed: Speed, flops: float, blocks: int) -> float:
    if not blocks or not network.takes("input_ids"):
        return 0.0
    given: dict[str, Any] = {network.token_argument: torch.zeros(1, 1, dtype=torch.long, device=network.device)}
    if network.takes("use_cache"):
        given["use_cache"] = False
    try:
        with torch.no_grad(), alone(network):
            seconds = _seconds(lambda: network.native(**given), network.device, repeats=2)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, KeyError):
        return 0.0  # a model that wants more than one token, or an encoder's input too: estimated without
    return max(0.0, seconds - flops / speed.rate(1)) / blocks


@cache
def _rates(device: torch.device, dtype: torch.dtype, threads: int) -> dict[int, float]:
    path = cache_folder() / "speed" / f"{FORMAT}.json"
    key = f"{_name(device)}, {str(dtype).removeprefix('torch.')}, {threads} threads"
    known = _read(path)
    if key not in known:
        known[key] = {str(rows): _measure(rows, device, dtype) for rows in HEIGHTS}
        _write(path, known)
    return {int(rows): rate for rows, rate in known[key].items()}


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {platform.node()} {platform.machine()}"


def _measure(rows: int, device: torch.device, dtype: torch.dtype) -> float:
    kind = dtype if dtype.is_floating_point else torch.float32
    one, other = (torch.ones(shape, device=device, dtype=kind) for shape in ((rows, WIDTH), (WIDTH, WIDTH)))
    return 2.0 * rows * WIDTH * WIDTH / _seconds(lambda: one @ other, device, repeats=5)


def _seconds(work: Any, device: torch.device, *, repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats + 1):  # the first one warms up
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return max(best, 1e-9)


def _read(path: Path) -> dict[str, dict[str, float]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(k): {str(r): float(v) for r, v in rates.items()} for k, rates in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # absent or damaged: measured again


def _write(path: Path, known: Mapping[str, Mapping[str, float]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(known, indent=1) + "\n")
    except (OSError, StorageError):
        return  # a read-only home: measured again next time
