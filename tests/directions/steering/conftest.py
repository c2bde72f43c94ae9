"""A small untrained model with a tokenizer of words."""

from __future__ import annotations

import pytest
from tests.studies.small import model_folder

import assay
from assay.engine.model import Model


@pytest.fixture(scope="session")
def worded(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Two layers, every word a token."""
    return assay.load(str(model_folder(tmp_path_factory.mktemp("worded"))))
