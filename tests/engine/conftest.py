"""Tiny models for tests of the engine, made once."""

from __future__ import annotations

import pytest
from tests.tiny_pairs import tiny_gpt2, tiny_llama

import assay
from assay.engine.model import Model


@pytest.fixture(scope="session")
def llama() -> Model:
    """Three layers, four heads on two key-value heads, double precision."""
    return tiny_llama()


@pytest.fixture(scope="session")
def gpt2() -> Model:
    """Two layers, four heads, learned positions, biases; double precision."""
    return tiny_gpt2()


@pytest.fixture(scope="session")
def smol() -> Model:
    """The embedded model."""
    return assay.load()
