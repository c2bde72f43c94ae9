"""Every architecture against its row of the record: a regression fails, and so does an improvement not yet recorded."""

from __future__ import annotations

import pytest
from tests.conformance import record, table, zoo
from tests.conformance.examine import examine

FEWEST_RESIDUAL, FEWEST_INTERNALS = 155, 125
"""Causal-LM types, of those in transformers' mapping."""


@pytest.mark.parametrize("name", list(record.recorded()))
def test_architecture(name: str) -> None:
    expected = record.recorded()[name]
    changes = record.changes(expected, examine(name))
    assert not changes, "\n".join([f"{name} differs from the record; if that is meant: {record.REGENERATE}", *changes])


def test_record_covers_the_zoo() -> None:
    assert set(record.recorded()) >= {*zoo.causal_types(), *zoo.encoders()}


def test_residual_identities_on_most_causal_types() -> None:
    rows = [record.recorded()[name] for name in zoo.causal_types()]
    assert sum(row.residual for row in rows) >= FEWEST_RESIDUAL


def test_attention_internals_on_most_causal_types() -> None:
    rows = [record.recorded()[name] for name in zoo.causal_types()]
    assert sum(row.internals for row in rows) >= FEWEST_INTERNALS


def test_page_is_current() -> None:
    assert table.PAGE.read_text() == table.page(record.recorded(), record.versions()), f"run {record.REGENERATE} --page"
