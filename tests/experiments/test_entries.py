"""Every verb of a model refuses what is wrong before the model runs at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tests.conformance import zoo
from tests.tiny_pairs import tiny_llama

from assay import Experiment, Run, capture, edit, metric, sweep
from assay.core.errors import AssayError, ExperimentError, InputError, SiteError
from assay.engine.model import Model, load
from assay.experiments.inputs import as_input

IDS = [[5, 7, 11, 13], [6, 9, 12, 2]]


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_llama()


@pytest.fixture
def unused(model: Model) -> Iterator[Model]:
    """The model, which must not run during the test."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the model ran")

    handle = model.native.register_forward_pre_hook(refuse)
    yield model
    handle.remove()


def experiment(*edits: Any) -> Experiment:
    return Experiment(inputs={"a": IDS}, runs={"main": Run(input="a", edits=edits)}, metrics=[metric.logit(3)])


VERBS: dict[str, Callable[[Model, Any], Any]] = {
    "run": lambda model, wrong: model.run(IDS, edits=wrong),
    "measure": lambda model, wrong: model.measure(experiment(wrong)),
    "explain": lambda model, wrong: model.explain(experiment(wrong)),
    "gradients": lambda model, wrong: model.gradients(IDS, of=metric.logit(3), sites="z", edits=wrong),
    "generate": lambda model, wrong: model.generate(IDS, edits=wrong),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (edit.zero("L3.z"), SiteError, "it has layers 0-2. Nearest: L2.z (the last layer)."),
        (edit.zero("L0.router"), SiteError, "'L0.router' is not in this model: "),
        (edit.zero("z", pos=4), InputError, "position 4 is out of range"),
        (edit.zero("z", head=-5), InputError, "head -5 is out of range for an axis of 4"),
        (edit.zero("mlp_out", dims=32), InputError, "d_model 32 is out of range for an axis of 32"),
        (edit.set("v", [0.0] * 16), ExperimentError, "selected part [example 2, pos 4, kv_head 2, d_head 8]"),
    ],
    ids=str,
)
def test_nothing_runs_when_an_edit_is_wrong(
    unused: Model, verb: str, wrong: Any, kind: type[AssayError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        VERBS[verb](unused, wrong)
    assert message in str(caught.value)


def test_nothing_runs_when_something_else_is_wrong(unused: Model) -> None:
    with pytest.raises(SiteError, match=r"the capture 'L9\.z'"):
        unused.run(IDS, capture="L9.z")
    with pytest.raises(ExperimentError, match="the token id 60 is not one of this model's 0-59"):
        unused.run(IDS, metrics=metric.logit(60))
    with pytest.raises(ExperimentError, match="the token id 60"):
        unused.gradients(IDS, of=metric.logit(60), sites="z")
    with pytest.raises(InputError, match="they part at token 3: '13' and the end"):
        unused.run(IDS[0], edits=edit.patch("z", "short"), sources={"short": [5, 7, 11]})
    with pytest.raises(SiteError, match="L9"):
        unused.harvest(IDS, "L9.z")


def test_a_sweep_is_checked_before_its_first_variant(unused: Model) -> None:
    inputs = {"a": IDS[0], "b": IDS[1]}
    swept = sweep(edit.patch("z", "b"), {"layer": [0, 1, 7]}, inputs=inputs, base="a", metrics=[metric.entropy()])
    for verb in (unused.measure, unused.explain):
        with pytest.raises(ExperimentError, match="asks for layer 7 of 'z': its layers are 0-2"):
            verb(swept)


def test_text_answers_without_a_tokenizer(unused: Model) -> None:
    with pytest.raises(
        InputError, match="this model has no tokenizer, so the answer ' Mary' must be given as a token id"
    ):
        unused.run(IDS, metrics=metric.logit(" Mary"))


@pytest.mark.parametrize(
    "name",
    [
        "T5ForConditionalGeneration",
        "ViTForImageClassification",
        "Gemma3ForConditionalGeneration",
        "mamba",
        "gpt_oss",
        "BertForMaskedLM",
    ],
)
def test_nothing_that_is_there_is_refused(name: str) -> None:
    """Positions of images and of encoders are not those of a prompt, and patterns with sinks have the keys' own length."""
    native, inputs = zoo.build(name)
    model = load(native, inputs=inputs)
    given = {"input": as_input(inputs), "other": as_input(inputs)}
    for site in model.sites:
        has_positions = any(axis in ("pos", "query") for axis in site.axes)
        places: list[Any] = [None, 0, -1, [0, -1], slice(1, None)] if has_positions else [None]
        for pos in places:
            edits: list[Any] = [edit.patch(str(site), "other", pos=pos)] if site.writable else []
            if site.writable:
                edits.append(edit.set(str(site), torch.ones(site.sizes.get(site.axes[-1], 1)), pos=pos))
            run = Run(input="input", edits=edits, captures=[capture.site(str(site), pos=pos)])
            model.explain(Experiment(inputs=given, runs={"main": run}))
    assert model.run(inputs, edits=edit.zero(str(model.sites[-1]), pos=0)).output is not None
