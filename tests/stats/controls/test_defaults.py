"""Every kind of claim has its controls, all of them registered."""

from __future__ import annotations

from typing import get_args

import pytest

from assay.core.errors import SettingsError
from assay.stats.controls import DEFAULTS, Claim, claim_of, controls, controls_for

from .planted import localise, prompts, pushed, steering


def test_every_claim_has_controls_that_exist() -> None:
    assert set(DEFAULTS) == set(get_args(Claim))
    for claim, names in DEFAULTS.items():
        assert len(names) >= 3 and set(names) <= set(controls()), claim


def test_what_a_method_declares_decides_else_what_it_gives() -> None:
    assert claim_of(localise(None, 5), None) == "localisation"
    model, planted = steering()
    found = pushed(model, prompts(6), direction=planted).against(resamples=100)
    assert {row.name for row in found.rows} <= set(controls_for("steering"))


def test_unknown_kinds() -> None:
    with pytest.raises(SettingsError, match="Nearest: monitor"):
        controls_for("monitors")
