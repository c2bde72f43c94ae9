"""What was measured on what, without naming the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform

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


def versions(*packages: str) -> dict[str, str]:
    """Versions of what is installed."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
