"""Memory: what is free, what a budget means, and how much a piece of work really took."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from assay.core.errors import ExperimentError

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
SHARE = 0.5
"""Of what is free, when nothing is asked for: other processes want some too."""


def budget(asked: str | float | None, device: torch.device) -> int:
    """Bytes: of `"4GiB"`, a fraction of what is free, or half of what is free."""
    free = free_bytes(device)
    if asked is None:
        return int(free * SHARE)
    if isinstance(asked, int | float) and not isinstance(asked, bool) and 0 < asked <= 1:
        return int(free * asked)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", asked.lower()) if isinstance(asked, str) else None
    if match is None:
        raise ExperimentError(
            f"memory={asked!r}: expected a size such as '4GiB', or a fraction of what is free between 0 and 1."
        )
    return int(float(match[1]) * UNITS[match[2]])


def free_bytes(device: torch.device) -> int:
    """Memory that can still be had."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 0.5)  # elsewhere: half of the machine


def ran_out(error: RuntimeError) -> bool:
    """Whether an error says that memory is full."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


class Peak:
    """How much more memory was in use at the worst moment than at the start; None where the system does not tell.

    On a GPU torch's own count; on Linux the process's resident memory, so that what other threads take is in it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.bytes = device, None

    bytes: int | None

    def __enter__(self) -> Self:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            try:
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins here
            except OSError:
                return self
            self._before = _status("VmRSS") or 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self._before
        elif hasattr(self, "_before"):
            peak = _status("VmHWM")
            self.bytes = None if peak is None else max(0, peak - self._before)


def _status(name: str) -> int | None:
    for line in _lines("/proc/self/status"):
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return []
