"""Values with a row for each example: every example gets its own, however examples are grouped and batched."""

from __future__ import annotations

import pytest
import torch
from tests.engine import by_hand

from assay import Experiment, Run, edit, metric, sweep
from assay.core.errors import ShapeError
from assay.engine.model import Model

IDS = [[5, 7, 11, 3], [5, 9], [6, 7, 12, 3], [8, 2]]
"""Two lengths, taking turns."""
VALUES = torch.randn(4, 1, 32, generator=torch.Generator().manual_seed(0)).double()
SITE = "L1.resid_post"


def test_in_prompts_of_two_lengths(llama: Model) -> None:
    run = llama.run(IDS, edits=edit.add(SITE, VALUES), capture=SITE)
    for row, ids in enumerate(IDS):
        alone = llama.run([ids], edits=edit.add(SITE, VALUES[row]), capture=SITE)
        by_hand.close(run[SITE][row, : len(ids)], alone[SITE][0])
        by_hand.close(run.logits[row, : len(ids)], alone.logits[0])


@pytest.mark.parametrize("engine", ["naive", "scheduled"])
@pytest.mark.parametrize("batch", [None, 1, 2, 3])
def test_in_batches(llama: Model, engine: str, batch: int | None) -> None:
    ids = [[5, 7, 11, 3], [6, 7, 12, 3], [5, 9, 1, 1], [8, 2, 3, 3]]
    made = sweep(
        edit.add("resid_post", VALUES), over={"layer": [0, 1], "pos": [0, 3]}, inputs={"x": ids}, base="x",
        metrics=[metric.logit(3)],
    )  # fmt: skip
    found = llama.measure(made, engine=engine, batch=batch)["logit"]  # type: ignore[arg-type]
    for row, one in enumerate(ids):
        alone = llama.run([one], edits=edit.add("L1.resid_post", VALUES[row], pos=3), metrics=metric.logit(3))
        assert float(found.sel(layer=1, pos=3)[row]) == pytest.approx(float(alone.metrics["logit"]), abs=1e-9)


def test_of_chosen_examples_in_their_order(llama: Model) -> None:
    run = llama.run(IDS, edits=edit.set(SITE, VALUES[:2], examples=[2, 0]), capture=SITE)
    by_hand.close(run[SITE][2], VALUES[0].expand(4, -1))
    by_hand.close(run[SITE][0], VALUES[1].expand(4, -1))
    by_hand.close(run[SITE][1, :2], llama.run([IDS[1]], capture=SITE)[SITE][0])


def test_while_texts_are_generated(llama: Model) -> None:
    found = llama.generate(IDS, edits=edit.add(SITE, 10 * VALUES), max_new_tokens=4).tokens
    swept = llama.generate_sweep(IDS, edit.add(SITE, 10 * VALUES), over={"scale": [1.0]}, max_new_tokens=4, batch=2)
    for row, ids in enumerate(IDS):
        alone = llama.generate([ids], edits=edit.add(SITE, 10 * VALUES[row]), max_new_tokens=4).tokens[0]
        assert found[row] == alone
        assert tuple(swept["tokens"].values[0, row]) == alone


@pytest.mark.parametrize("shape", [(2, 1, 32), (3, 1, 32), (4, 4, 32)])
def test_other_numbers_are_refused(llama: Model, shape: tuple[int, ...]) -> None:
    """As many rows as one group has are no rows for all; as many positions as some prompts have are none for others."""
    made = Experiment(
        inputs={"x": IDS}, runs={"main": Run(input="x", edits=edit.add(SITE, torch.ones(shape)))}, main="main"
    )
    with pytest.raises(ShapeError, match=r"selected part \[example 4, pos, d_model 32\]"):
        llama.measure(made)
