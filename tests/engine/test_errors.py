"""Bad input is refused before anything runs, with a text that says what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.conformance import zoo

from assay import capture, edit, metric
from assay.core.errors import AssayError, ExperimentError
from assay.engine.model import Model, load

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
NAMED = {"subject": [1, 2]}
SHAPES = r"31.*32|32.*31"
ONES = torch.ones(31)

CASES: dict[str, tuple[Callable[[Model], object], str]] = {
    "unknown site": (lambda m: m.run(IDS, capture="L0.resid_pst"), r"resid_pst.*Nearest: .*resid_p"),
    "layer that is not there": (lambda m: m.run(IDS, edits=edit.zero("L3.z")), r"layers 0-2"),
    "unknown module": (lambda m: m.run(IDS, capture="native:model.layer.0:out"), r"no module.*Nearest"),
    "head out of range": (lambda m: m.run(IDS, edits=edit.zero("L0.z", head=4)), r"head 4 .*-4 … 3"),
    "key-value head out of range": (lambda m: m.run(IDS, edits=edit.zero("L0.k", head=2)), r"2 .*-2 … 1"),
    "head of a capture": (lambda m: m.run(IDS, capture=capture.site("L0.z", head=7)), r"head 7"),
    "head where there are none": (lambda m: m.run(IDS, edits=edit.zero("L0.mlp_out", head=0)), r"without heads"),
    "position out of range": (lambda m: m.run(IDS, edits=edit.zero("L0.z", pos=5)), r"position 5 .*-5 … 4"),
    "position of a metric": (lambda m: m.run(IDS, metrics=metric.logit(4, pos=-6)), r"position -6"),
    "unknown named position": (lambda m: m.run(IDS, edits=edit.zero("L0.z", pos="subj"), positions=NAMED), r"'subj'.*subject"),
    "dims out of range": (lambda m: m.run(IDS, edits=edit.zero("L0.mlp_out", dims=32)), r"32"),
    "example out of range": (lambda m: m.run(IDS, edits=edit.zero("L0.mlp_out", examples=2)), r"example 2"),
    "wrong shape": (lambda m: m.run(IDS, edits=edit.add("L0.mlp_out", ONES)), SHAPES),
    "wrong shape of directions": (lambda m: m.run(IDS, edits=edit.project_out("L0.mlp_out", torch.ones(2, 31))), SHAPES),
    "wrong shape of a basis": (lambda m: m.run(IDS, edits=edit.swap("L0.mlp_out", "input", basis=ONES)), SHAPES),
    "wrong shape of a metric's direction": (lambda m: m.run(IDS, metrics=metric.dot("L0.mlp_out", ONES)), SHAPES),
    "NaN": (lambda m: m.run(IDS, edits=edit.add("L0.mlp_out", torch.full((32,), torch.nan))), r"NaN"),
    "unknown source": (lambda m: m.run(IDS, edits=edit.patch("L0.z", "corupt"), sources={"corrupt": IDS}), r"corupt.*corrupt"),
    "no prompt": (lambda m: m.run([]), r"empty"),
    "empty prompt": (lambda m: m.run([[5], []]), r"at least 1|empty|at least one"),
    "text without a tokenizer": (lambda m: m.run("Hello"), r"no tokenizer.*token ids"),
    "token that is not there": (lambda m: m.run([[5, 60]]), r"60 is out of range.*0-59"),
    "answer that is not there": (lambda m: m.run(IDS, metrics=metric.logit(60)), r"60"),
    "answers of another number": (lambda m: m.run(IDS, metrics=metric.logit([1, 2, 3])), r"3 .*2 examples"),
    "text answer without a tokenizer": (lambda m: m.run(IDS, metrics=metric.logit(" yes")), r"tokenizer"),
    "names of positions for other examples": (lambda m: m.run(IDS, positions={"subject": [1]}), r"subject.*1 .*2 examples"),
    "no value": (lambda m: m.run(IDS, edits=edit.set("L0.z")), r"value"),
    "a function that changes the shape": (lambda m: m.run(IDS, edits=edit.call("L0.z", lambda x: x[:1])), r"returned shape"),
    "not an input": (lambda m: m.run(3.5), r"float"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_refused_with_a_useful_text(llama: Model, name: str) -> None:
    call, text = CASES[name]
    with pytest.raises(AssayError, match=f"(?s){text}"):
        call(llama)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.native.modules())


def test_nothing_runs_before_the_check(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(type(llama.native), "forward", never)
    for name, (call, text) in CASES.items():
        if name not in ("a function that changes the shape",):
            with pytest.raises(AssayError, match=f"(?s){text}"):
                call(llama)


@pytest.mark.parametrize("name", ["gpt2", "BertForMaskedLM", "RobertaForMaskedLM"])
def test_prompts_longer_than_the_learned_positions(name: str) -> None:
    native, inputs = zoo.build(name)
    model = load(native, inputs=inputs)
    longest = model.network.longest
    assert longest is not None
    assert model.run([[5] * longest]).logits.shape[1] == longest
    with pytest.raises(AssayError, match=rf"{longest + 1} tokens.*at most {longest}"):
        model.run([[5] * (longest + 1)])


def test_rotary_models_have_no_last_position(llama: Model) -> None:
    assert llama.network.longest is None
    assert llama.run([[5] * 40]).logits.isfinite().all()


def test_generation_past_the_learned_positions(gpt2: Model) -> None:
    with pytest.raises(AssayError, match="at most 32"):
        gpt2.generate([[5] * 30], max_new_tokens=10)


def test_a_site_that_this_model_lacks_says_why(gpt2: Model) -> None:
    why = gpt2.why_not("L0.mlp_up")
    assert why
    with pytest.raises(AssayError, match=r"L0\.mlp_up"):
        gpt2.run([[5, 7]], capture="L0.mlp_up")


def test_functions_that_return_something_else(llama: Model) -> None:
    with pytest.raises(ExperimentError, match="returned NoneType: expected the site's new tensor"):
        llama.run([[1, 2]], edits=edit.call("L1.z", lambda value: None))  # type: ignore[arg-type,return-value]
    with pytest.raises(ExperimentError, match="returned 1 numbers for 2 examples: expected one each"):
        llama.run([[1, 2], [3, 4]], metrics=metric.call(lambda run: 3.0))
