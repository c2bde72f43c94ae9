"""What somebody types who comes from another library: understood, or told how it is done here."""

from __future__ import annotations

from copy import copy, deepcopy
from typing import Any

import pytest
import torch

from assay import edit, metric, sweep
from assay.core.errors import ExperimentError, SiteError
from assay.engine.model import Model

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run_with_cache", r"a Model has no 'run_with_cache': here it is model\.run\(inputs, capture="),
        ("run_with_hooks", r"edit\.call\(site, function\)"),
        ("cfg", r"model\.n_layers"),
        ("W_U", r"get_output_embeddings"),
        ("n_layer", r"Nearest: n_layers"),
        ("zzz", r"a Model has no 'zzz'\.$"),
    ],
)
def test_what_a_model_does_not_have_is_said(llama: Model, name: str, text: str) -> None:
    with pytest.raises(AttributeError, match=text):
        getattr(llama, name)
    assert not hasattr(llama, name)


def test_a_model_is_still_copied(llama: Model) -> None:
    assert torch.equal(copy(llama).run(IDS).logits, llama.run(IDS).logits)
    assert torch.equal(deepcopy(llama).run(IDS).logits, llama.run(IDS).logits)


def test_weights_by_the_hints_are_the_unembedding(llama: Model) -> None:
    run = llama.run(IDS, capture="final_norm")
    unembedding = llama.native.get_output_embeddings().weight.T  # type: ignore[operator]
    torch.testing.assert_close(run["final_norm"] @ unembedding, run.logits)


def test_a_cache_is_indexed_by_site_and_layer(llama: Model) -> None:
    run = llama.run(IDS, capture=["resid_pre", "pattern"])
    assert run["resid_pre", 1] is run["L1.resid_pre"] is run["blocks.1.hook_resid_pre"]
    assert run["hook_resid_pre", 2] is run["L2.resid_pre"]
    assert torch.equal(run.stack("resid_pre"), torch.stack([run[f"L{i}.resid_pre"] for i in range(3)]))
    assert "L1.pattern" in run and "L1.z" not in run and next(iter(run)) == "L0.resid_pre"
    with pytest.raises(SiteError, match=r"'pattern' was captured in 3 layers: name one, 'L0\.pattern', or run\.stack"):
        run["pattern"]
    with pytest.raises(SiteError, match=r"'z' was captured in no layer"):
        run.stack("z")
    for wrong in (("pattern", 0, "attn"), (0, "pattern"), ("pattern",)):
        with pytest.raises(SiteError, match=r"names no site: expected its name, 'L5\.pattern', or its name and layer"):
            run[wrong]  # type: ignore[index]
    with pytest.raises(SiteError, match=r"'L0\.z' was not captured"):
        run["z", 0]


def test_what_is_no_capture_metric_or_experiment_is_said(llama: Model) -> None:
    wrong: list[tuple[Any, type[Exception], str]] = [
        (lambda: llama.run(IDS, capture=True), ExperimentError, "True is no capture: expected the name of a site"),  # type: ignore[arg-type]
        (lambda: llama.run(IDS, metrics="loss"), ExperimentError, r"'loss' is no metric: .* such as metric\.loss"),  # type: ignore[arg-type]
        (lambda: llama.run(IDS, metrics=hook), ExperimentError, r"is no metric: .* such as metric\.call\(function\)"),  # type: ignore[arg-type]
        (lambda: llama.run(IDS, metrics=metric.call(lambda out: out[:, -1])), ExperimentError, r"read run\.logits"),
        (lambda: llama.measure(edit.zero("z")), ExperimentError, "expected an Experiment.* got a Zero"),  # type: ignore[arg-type]
        (lambda: llama.explain(edit.zero("z")), ExperimentError, "expected an Experiment.* got a Zero"),  # type: ignore[arg-type]
        (lambda: llama(IDS), TypeError, r"a Model is not called: model\.run"),  # type: ignore[operator]
    ]
    for call, kind, message in wrong:
        with pytest.raises(kind, match=message):
            call()
    mine = llama.run(IDS, metrics=metric.call(lambda run: run.logits[:, -1, 3], name="mine")).metrics["mine"]
    assert torch.equal(mine, llama.run(IDS).logits[:, -1, 3])


def test_names_without_a_layer_are_swept(llama: Model) -> None:
    settings: dict[str, Any] = {
        "inputs": {"a": IDS, "b": [row[::-1] for row in IDS]},
        "base": "a",
        "metrics": [metric.logit(3)],
    }
    theirs, ours = (
        llama.measure(sweep(edit.patch(site, source="b"), ["layer", "head"], **settings))["logit"].values
        for site in ("attn.hook_z", "z")
    )
    assert (theirs == ours).all()


def hook(value: torch.Tensor, hook: object) -> torch.Tensor:
    return value


def test_a_hook_with_two_arguments_is_told_that_it_gets_one(llama: Model) -> None:
    message = r"the function at 'L0\.z' takes \(value, hook\): expected one argument, the site's tensor"
    with pytest.raises(ExperimentError, match=message):
        llama.run(IDS, edits=edit.call("L0.z", hook))  # type: ignore[arg-type]
    with pytest.raises(ExperimentError, match=message), llama.hooked({"L0.z": hook}):  # type: ignore[dict-item]
        pass
    with pytest.raises(ExperimentError, match="not as a list"), llama.hooked([("L0.z", hook)]):  # type: ignore[arg-type]
        pass
    with llama.hooked({"L0.z": lambda value, hook=None: value * 0, "L1.z": torch.relu}) as native:
        assert native(torch.tensor(IDS)).logits.isfinite().all()
