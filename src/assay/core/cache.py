"""Where what can be made again is kept on this machine: `ASSAY_CACHE`, or the platform's folder for caches."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """`ASSAY_CACHE`, or `assay` in the platform's folder for caches. It need not exist yet."""
    if named := os.environ.get("ASSAY_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "assay"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "assay" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "assay"
