"""Infinities in edits: −inf before a softmax rules something out; anything else is refused before it makes NaN."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from assay import edit, metric
from assay.core.errors import AssayError, ExperimentError
from assay.engine.model import Model

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
INF = float("inf")
VECTOR = torch.zeros(32).index_fill_(0, torch.tensor([3]), INF)

WRONG: dict[str, tuple[Any, str]] = {
    "a number": (lambda: edit.set("L1.resid_post", INF), r"set L1\.resid_post: the value is infinite"),
    "a vector": (lambda: edit.set("L1.resid_post", VECTOR), r"the value has 1 infinite entry of 32"),
    "what is added": (lambda: edit.add("L1.mlp_out", -VECTOR), r"the vector has 1 infinite entry of 32"),
    "+inf among scores": (lambda: edit.set("L1.scores", INF, dims=[0]), r"−inf alone is taken at .*scores"),
    "−inf turned round": (lambda: edit.add("L1.scores", [-INF], scale=-1.0, dims=[0]), r"the vector is infinite"),
    "a pattern": (lambda: edit.set("L1.pattern", -INF, dims=[0]), r"the value is infinite"),
    "a direction": (lambda: edit.project_out("L1.mlp_out", VECTOR), r"the set of directions has 1 infinite"),
    "a basis": (lambda: edit.swap("L1.mlp_out", "input", basis=VECTOR), r"the basis has 1 infinite"),
    "a factor": (lambda: edit.scale("L1.mlp_out", INF), r"finite number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused_before_anything_runs(llama: Model, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(type(llama.native), "forward", never)
    make, text = WRONG[name]
    with pytest.raises(AssayError, match=text):
        llama.run(IDS, edits=make())


def test_a_metrics_direction(llama: Model) -> None:
    with pytest.raises(ExperimentError, match="the metric 'dot': the direction has 1 infinite entry of 32"):
        llama.run(IDS, metrics=metric.dot("L1.mlp_out", VECTOR))


@pytest.mark.parametrize("change", [edit.set("L1.scores", -INF, head=1, dims=[1], pos=slice(2, None)),
                                    edit.add("L1.scores", [-INF], head=1, dims=[1], pos=slice(2, None))])  # fmt: skip
def test_a_key_that_is_ruled_out_is_attended_to_no_more(llama: Model, change: Any) -> None:
    """What the others had is shared out in proportion, and the result is the model with that key masked."""
    plain, run = (llama.run(IDS, edits=edits, capture="L1.pattern") for edits in ((), change))
    expected = plain["L1.pattern"].clone()
    expected[:, 1, 2:, 1] = 0
    expected[:, 1] /= expected[:, 1].sum(-1, keepdim=True)
    torch.testing.assert_close(
        run["L1.pattern"], expected, rtol=0, atol=1e-6
    )  # the native softmax is in single precision
    assert run.logits.isfinite().all()


def test_a_query_must_keep_a_key(llama: Model) -> None:
    """Ruled out at position 0 too, its only key: it would attend to all that the causal mask hides, and nothing would tell."""
    with pytest.raises(
        ExperimentError, match=r"the query at position 0 \(head 0, row 0 of the pass\) is left without any key"
    ):
        llama.run(IDS, edits=edit.set("L1.scores", -INF, dims=[0]))


def test_a_token_that_is_ruled_out_is_never_written(llama: Model) -> None:
    plain = llama.generate(IDS, max_new_tokens=4).tokens
    banned = sorted({token for row in plain for token in row})
    change = edit.set("logits", -INF, dims=banned)
    found = llama.generate(IDS, edits=change, max_new_tokens=4).tokens
    assert not {token for row in found for token in row} & set(banned)
    kinds = [metric.entropy(), metric.logprob(banned[0]), metric.rank(banned[0])]
    run = llama.run(IDS, edits=change, metrics=kinds)
    assert run.metrics["entropy"].isfinite().all() and (run.metrics["logprob"] == -INF).all()
    log = run.logits[:, -1].log_softmax(-1)
    left = [i for i in range(log.shape[-1]) if i not in banned]
    torch.testing.assert_close(run.metrics["entropy"], -(log.exp() * log)[:, left].sum(-1))
    gradient = llama.gradients(IDS, of=metric.entropy(), sites="L1.resid_post", edits=change)
    assert all(value.isfinite().all() for value in gradient.values())
