"""The model's own inputs with a mask: what is padding is never read or changed by its position as if it were text."""

from __future__ import annotations

import pytest
import torch
from tests.engine import by_hand

from assay import Experiment, Run, capture, edit, metric, sweep
from assay.core.errors import InputError
from assay.engine.model import Model
from assay.experiments.inputs import as_input

TEXT = [5, 7, 11, 3]
LEFT = {"input_ids": [[0, 0, *TEXT], [1, 2, 3, 4, 5, 6]], "attention_mask": [[0, 0, 1, 1, 1, 1], [1] * 6]}
RIGHT = {"input_ids": [[*TEXT, 0, 0], [1, 2, 3, 4, 5, 6]], "attention_mask": [[1, 1, 1, 1, 0, 0], [1] * 6]}
SITE = "L1.resid_post"


def test_at_positions_of_the_text_there_are_the_texts_numbers(llama: Model) -> None:
    alone = llama.run([TEXT], metrics=metric.entropy())
    padded = llama.run(LEFT, metrics=metric.entropy())
    by_hand.close(padded.metrics["entropy"][0], alone.metrics["entropy"][0])
    assert padded.top(1)[0][0] == alone.top(1)[0][0]
    with pytest.raises(InputError, match="position 5 of prompt 0 is padding"):
        llama.run(RIGHT).top(1)
    assert llama.run(RIGHT).top(1, pos=3)[0][0] == alone.top(1)[0][0]


@pytest.mark.parametrize(
    ("inputs", "asked"),
    [
        (RIGHT, {"metrics": metric.entropy()}),
        (RIGHT, {"metrics": metric.norm(SITE)}),
        (LEFT, {"metrics": metric.loss()}),
        (LEFT, {"edits": edit.zero(SITE, pos=0)}),
        (RIGHT, {"edits": edit.zero(SITE, pos="end")}),
        (LEFT, {"capture": capture.site(SITE, pos=slice(0, 3))}),
    ],
)
def test_a_position_that_is_padding_is_refused(
    llama: Model, inputs: dict[str, object], asked: dict[str, object]
) -> None:
    with pytest.raises(InputError, match="of example 0 in 'input' is padding"):
        llama.run(inputs, **asked)  # type: ignore[arg-type]


def test_an_example_without_padding_may_be_changed_anywhere(llama: Model) -> None:
    run = llama.run(LEFT, edits=edit.zero(SITE, pos=0, examples=1), capture=SITE)
    assert not run[SITE][1, 0].any() and run[SITE][0].any(-1).all()


def test_a_sweep_over_all_positions_is_refused(llama: Model) -> None:
    for inputs in (LEFT, RIGHT):
        made = sweep(edit.zero(SITE), over=["pos"], inputs={"x": inputs}, base="x", metrics=[metric.logit(3, pos=2)])
        with pytest.raises(InputError, match="is padding"):
            llama.measure(made)


def test_a_text_does_not_go_on_after_padding(llama: Model) -> None:
    alone = llama.generate([TEXT], max_new_tokens=4).tokens[0]
    assert llama.generate(LEFT, max_new_tokens=4).tokens[0] == alone
    with pytest.raises(InputError, match="pad at the left"):
        llama.generate(RIGHT, max_new_tokens=4)


def test_positions_as_many_as_the_example_has_are_refused(llama: Model) -> None:
    named = as_input([TEXT, [9, 8, 7, 6]], positions={"from": (1, 2)})
    for asked in ({"captures": [capture.site(SITE, pos=slice("from", None))]}, {}):
        measured = [] if asked else [metric.norm(SITE, pos=slice("from", None), reduce="mean")]
        made = Experiment(inputs={"x": named}, runs={"main": Run(input="x", **asked)}, metrics=measured, main="main")
        with pytest.raises(InputError, match="selects 2 or 3 positions, depending on the example"):
            llama.explain(made)


def test_a_place_that_no_prompt_has_is_none_to_look_at(llama: Model) -> None:
    run = llama.run([TEXT, [1, 2]])
    assert run.top(1, pos=1, row=1) == run.top(1, row=-1)
    for wrong in ({"pos": 4}, {"pos": 2, "row": 1}, {"row": 2}):
        with pytest.raises(InputError, match="out of range"):
            run.top(1, **wrong)
    assert torch.isfinite(torch.tensor(run.top(1, pos=-2, row=1)[0][1]))
