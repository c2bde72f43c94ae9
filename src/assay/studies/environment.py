"""What a run was made with: versions and the kind of machine, never names of people, hosts or folders."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, entry_points, version
from typing import Any

import torch

from assay.core.registry import ENTRY_POINT_GROUP

PACKAGES = ("assay", "torch", "transformers", "tokenizers", "safetensors", "gguf", "numpy", "scipy", "xarray", "pandas")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def distributions() -> dict[str, str]:
    """The exact version of every installed package that assay, or a package with methods for it, asks for, by any way.

    Optional parts count where they are installed by another way.
    """
    waiting = ["assay", *(each.dist.name for each in entry_points(group=ENTRY_POINT_GROUP) if each.dist is not None)]
    found: dict[str, str] = {}
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:  # for another system or Python
            continue
        found[name] = package.version
        needed = [line for line in package.requires or () if not re.search(r";.*\bextra\s*==", line)]
        waiting += [re.split(r"[^A-Za-z0-9._-]", line.strip(), maxsplit=1)[0] for line in needed]
    return dict(sorted(found.items()))


def environment() -> dict[str, Any]:
    """Versions and machine."""
    return {
        "versions": versions(),
        "distributions": dict(distributions()),
        "system": platform.system(),
        "machine": platform.machine(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
