"""Other libraries as fixtures: a test that needs one that is not installed is skipped, with the command to install it."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

import pytest

# what other libraries warn about is theirs to mend
OTHERS_WARN = "ignore::Warning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "peers" in item.path.parts:
            item.add_marker(pytest.mark.peers)
            item.add_marker(pytest.mark.filterwarnings(OTHERS_WARN))


def peer(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError as missing:
            pytest.skip(f"{name} is not installed ({missing}): make peers")


@pytest.fixture(scope="session")
def transformer_lens() -> ModuleType:
    return peer("transformer_lens")


@pytest.fixture(scope="session")
def nnsight() -> ModuleType:
    return peer("nnsight")


@pytest.fixture(scope="session")
def pyvene() -> ModuleType:
    return peer("pyvene")
