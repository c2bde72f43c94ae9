"""Experiments for tests of the store, and how to tell what was computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay import Experiment, Run, capture, edit, metric, sweep
from assay.core.result import Result
from assay.engine import naive, runner
from assay.engine.model import Model
from assay.engine.store import Store
from assay.engine.store.entry import Entry

IDS = [[5, 7, 11, 13], [6, 9, 12, 2], [1, 2, 3], [8, 4, 3]]
OTHER = [[35, 37, 31, 33], [26, 29, 22, 25], [41, 42, 43], [44, 45, 46]]


def small() -> Experiment:
    """12 variants (layer × head) for two groups of examples of equal length; numbers of a run that does not vary, and
    captures in another dtype and with gaps where prompts are shorter."""
    made = sweep(
        edit.zero("z"), over=["layer", "head"], inputs={"a": IDS, "b": OTHER}, base="a",
        metrics=[metric.logit_diff(3, 4), metric.loss(), metric.entropy(run="b")],
    )  # fmt: skip
    captures = (capture.site("L2.mlp_out", dtype="bfloat16"), capture.site("L1.resid_post", pos=-1, name="late"))
    runs = {**made.runs, "swept": made.runs["swept"].model_copy(update={"captures": captures})}
    return Experiment(**{**dict(made), "runs": {**runs, "b kept": Run(input="b", captures=(capture.site("L0.z"),))}})


def plain() -> Experiment:
    """Without a sweep: all is fixed."""
    return Experiment(inputs={"a": IDS}, metrics=[metric.entropy(), metric.loss()])


def measure(model: Model, experiment: Experiment, store: Store | str | Path | None = None, **more: Any) -> Result:
    """By the naive engine."""
    return naive.measure(model.network, experiment, store=store, **more)


def only_entry(store: Store | Path) -> Entry:
    """The one entry of a store."""
    (entry,) = Store.of(store).entries()
    return entry


def same(one: Result, two: Result) -> bool:
    """The same variables in the same order, with the same bits: replayed numbers are copies, and the naive engine makes
    the same again."""
    assert one.names == two.names
    for name in one.names:
        a, b = one[name], two[name]
        if a.dims != b.dims or a.values.tobytes() != b.values.tobytes() or not a.coords.equals(b.coords):
            return False
    return one.data.attrs == two.data.attrs


def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of every forward pass from now on."""
    seen: list[int] = []
    original = runner.forward

    def forward(network: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(len(inputs["input_ids"]))
        return original(network, inputs, *args, **kwargs)

    monkeypatch.setattr(runner, "forward", forward)
    return seen


def stopping(monkeypatch: pytest.MonkeyPatch, after: int, error: Callable[[], BaseException]) -> None:
    """Raise an error in the forward pass after so many."""
    original, count = runner.forward, [0]

    def forward(*args: Any, **kwargs: Any) -> Any:
        if count[0] == after:
            raise error()
        count[0] += 1
        return original(*args, **kwargs)

    monkeypatch.setattr(runner, "forward", forward)


def finished(entry: Entry) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(examples, variant) of all parts."""
    parts = (entry.read_part(path) for path in entry.parts)
    return {(piece.rows, variant) for part in parts for piece in part.pieces for variant in piece.variants}


def is_finite(result: Result) -> bool:
    """Whether there are numbers at all."""
    return all(np.isfinite(result[name].values).any() for name in result.names)
