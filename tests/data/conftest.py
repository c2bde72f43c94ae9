"""Three tokenizers: the embedded model's, one token for each word, and a few bytes at a time."""

from __future__ import annotations

from typing import Any

import pytest
from tests.data.small_tokenizers import byte_level, word_level

from assay.models.loading import load_native


@pytest.fixture(scope="session")
def embedded() -> Any:
    return load_native().tokenizer


@pytest.fixture(scope="session")
def wordwise() -> Any:
    return word_level()


@pytest.fixture(scope="session")
def bytewise() -> Any:
    return byte_level()
