"""What all tests share: no network, one thread, and a cache for the embedded model that all of them use."""

from __future__ import annotations

import os

# before torch or transformers is imported anywhere
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """A test that forgets to seed still gives the same numbers every time."""
    torch.manual_seed(0)
    yield
