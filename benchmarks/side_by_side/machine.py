"""What was measured on what, without naming the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time

import torch


def machine() -> dict[str, object]:
    """Cores, threads, and the load of the last minute: a loaded machine makes ratios noisy, not wrong."""
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_1_min": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def peak() -> float:
    """Operations a second of this machine's matrix products in float32: the best of a few large ones."""
    best = 0.0
    for rows, inner, out in ((2048, 2048, 2048), (2048, 576, 1536)):
        one, other = torch.ones(rows, inner), torch.ones(inner, out)
        for _ in range(6):
            start = time.perf_counter()
            one @ other
            best = max(best, 2.0 * rows * inner * out / (time.perf_counter() - start))
    return best


def versions(*packages: str) -> dict[str, str]:
    """Versions of what is installed."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
