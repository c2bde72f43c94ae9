"""The scheduled engine and a store: batches of variants are parts, and a second start goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.engine.store.sweeps import finished, only_entry, same, small

from assay.engine.model import Model
from assay.engine.schedule.batch import RowRun
from assay.engine.schedule.outline import ROWS_AT_ONCE
from assay.engine.store import Store


def test_it_goes_on_after_the_last_batch(llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROWS_AT_ONCE, "cpu", 8)  # one variant in a batch
    whole = llama.measure(small(), engine="scheduled")
    original, batches = RowRun.make, [0]

    def make(self: RowRun, *args: Any) -> Any:
        batches[0] += 1
        if batches[0] == 4:
            raise KeyboardInterrupt
        return original(self, *args)

    monkeypatch.setattr(RowRun, "make", make)
    with pytest.raises(KeyboardInterrupt):
        llama.measure(small(), engine="scheduled", store=Store(tmp_path, every=0.0))
    before = len(finished(only_entry(tmp_path)))
    assert before >= 3
    batches[0] = 100
    second = llama.measure(small(), engine="scheduled", store=tmp_path)
    assert batches[0] - 100 == 24 - before and same(second, whole)
    third = llama.measure(small(), engine="scheduled", store=str(tmp_path))
    assert batches[0] - 100 == 24 - before and same(third, whole) and third.cost == second.cost


def test_the_engines_do_not_answer_for_each_other(llama: Model, tmp_path: Path) -> None:
    def read() -> bool:
        facts = llama.measure(small(), engine="naive", store=tmp_path).provenance.facts
        return any("read from the store" in fact for fact in facts)

    llama.measure(small(), engine="scheduled", store=tmp_path)
    assert not read()
    assert read()
    assert len(Store(tmp_path).entries()) == 2
