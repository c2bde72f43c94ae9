"""The benchmarks' own modules are found as the benchmarks find them: beside the scripts."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent.parent.parent / "benchmarks"
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))
