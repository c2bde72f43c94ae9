"""Tensor parallelism on two processes: the residual stream is the plain model's, and half of the heads is never `z`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tiny_pairs import tiny_llama

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_processes(tmp_path: Path) -> None:
    tiny_llama().native.save_pretrained(tmp_path)  # type: ignore[operator]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [*torchrun, str(ROOT / "tests" / "engine" / "tensor_parallel.py"), str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "same" in ended.stdout
