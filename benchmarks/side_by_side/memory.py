"""How much memory a piece of work took at most, beyond what the process held before: resident pages, as the system counts."""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident() -> int:
    """Bytes in memory now; 0 where the system does not tell."""
    return _status("VmRSS")


def grown(work: Callable[[], object], beyond: int) -> int:
    """Run it; the most bytes in memory meanwhile, less `beyond`.

    Where the system can't forget an earlier peak, it is the peak of the process so far: never less than the truth.
    """
    with suppress(OSError):
        CLEAR.write_text("5", encoding="ascii")
    work()
    most = _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return max(0, most - beyond)


def _status(key: str) -> int:
    if not STATUS.exists():
        return 0
    rows = (line.split() for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines())
    return next((int(row[1]) * 1024 for row in rows if row and row[0] == f"{key}:"), 0)
