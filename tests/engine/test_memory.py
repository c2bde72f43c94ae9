"""Budgets, what happens when memory runs out, and what is said of it."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import torch

from assay import edit, metric, sweep
from assay.core.errors import ExperimentError
from assay.engine.hooks import Tapping
from assay.engine.memory import Peak, budget, free_bytes
from assay.engine.model import Model
from assay.engine.schedule.batch import RowRun

CPU = torch.device("cpu")
INPUTS = {"a": [[5, 7, 11, 13, 17]] * 2, "b": [[35, 37, 31, 33, 37]] * 2}
EXPERIMENT = sweep(edit.patch("resid_pre", "b"), ["layer", "pos"], inputs=INPUTS, base="a", metrics=[metric.logit(4)])


def test_budgets() -> None:
    assert budget("4GiB", CPU) == 4 * 2**30 and budget("500MB", CPU) == 500 * 10**6 and budget("1.5 gb", CPU) == 1.5e9
    assert budget(0.25, CPU) == pytest.approx(free_bytes(CPU) * 0.25, rel=0.2)  # others use memory meanwhile
    for wrong in ("much", "4 GiB of it", 0, 1.5, -1, True):
        with pytest.raises(ExperimentError, match="expected a size such as '4GiB'"):
            budget(wrong, CPU)


def test_a_small_budget_makes_small_batches(llama: Model) -> None:
    wide, narrow = llama.measure(EXPERIMENT), llama.measure(EXPERIMENT, memory="20kB")
    assert narrow.cost.passes > wide.cost.passes
    assert narrow.cost.token_layers == wide.cost.token_layers
    assert narrow.cost.passes == llama.explain(EXPERIMENT, memory="20kB").passes
    np.testing.assert_allclose(narrow["logit"], wide["logit"], rtol=1e-12)  # double precision, other batch shapes


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_a_batch_that_does_not_fit_is_halved(llama: Model, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    whole, make, sizes = llama.measure(EXPERIMENT), RowRun.make, list[int]()

    def scarce(self: RowRun, placed: Any, departures: Any) -> Any:
        sizes.append(len(placed))
        if len(placed) > 4:
            raise error
        return make(self, placed, departures)

    monkeypatch.setattr(RowRun, "make", scarce)
    found = llama.measure(EXPERIMENT)
    assert sizes[0] == 15 and max(s for s in sizes[1:] if s <= 4) <= 4 and sum(s for s in sizes if s <= 4) == 15
    assert any("memory ran out" in fact and "halved" in fact for fact in found.provenance.facts)
    np.testing.assert_allclose(found["logit"], whole["logit"], rtol=1e-12)


def test_one_variant_that_does_not_fit_is_an_error(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: RowRun, placed: Any, departures: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(RowRun, "make", never)
    with pytest.raises(ExperimentError, match=r"memory.*batch="):
        llama.measure(EXPERIMENT)


def test_other_errors_are_not_taken_for_it(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: RowRun, placed: Any, departures: Any) -> Any:
        raise RuntimeError("something else")

    monkeypatch.setattr(RowRun, "make", broken)
    with pytest.raises(RuntimeError, match="something else"):
        llama.measure(EXPERIMENT)


def test_the_peak_is_seen() -> None:
    """Sixty-four megabytes, of which the allocator may round up some, and other threads may take some."""
    with Peak(CPU) as peak:
        torch.ones(2**24).sum()
    assert peak.bytes is None or 48 * 2**20 < peak.bytes < 256 * 2**20


def test_what_passes_leave_is_gone_at_once(llama: Model) -> None:
    """Not when Python next looks for cycles: until then logits of every pass would be in memory."""
    llama.measure(EXPERIMENT)
    gc.collect()
    gc.disable()
    try:
        llama.measure(EXPERIMENT)
        llama.run(INPUTS["a"], edits=[edit.zero("L0.mlp_out")], capture=["L1.pattern"])
        left = [each for each in gc.get_objects() if type(each) is Tapping]
    finally:
        gc.enable()
    assert left == []
