"""Runs whose output nobody asked for: the same tensors and metrics, from fewer blocks and fewer logits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.conformance import zoo
from torch import nn

from assay import edit, metric
from assay.core.errors import InputError
from assay.engine.model import Model, load
from assay.experiments import capture

IDS = [[5, 7, 11, 13], [2, 3, 17, 19]]


@pytest.fixture(scope="module")
def llama() -> Model:
    return load(zoo.build("llama")[0])


@pytest.fixture
def reached(llama: Model) -> Iterator[list[str]]:
    """The modules that passes have run, by path."""
    seen: list[str] = []
    named = {module: path for path, module in llama.native.named_modules()}

    def note(module: nn.Module, args: object, out: object) -> None:
        seen.append(named[module])

    watched = [*llama.native.model.layers, llama.native.lm_head]
    handles = [module.register_forward_hook(note) for module in watched]
    yield seen
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("site", ["L0.mlp_out", "L1.resid_pre", "L0.pattern", "resid_mid"])
def test_captures_are_those_of_a_whole_run(llama: Model, site: str) -> None:
    edits = edit.zero("L0.z", head=1)
    whole = llama.run(IDS, capture=site, edits=edits)
    alone = llama.run(IDS, capture=site, edits=edits, output=False)
    assert whole.captured.keys() == alone.captured.keys()
    assert all(torch.equal(whole[name], alone[name]) for name in whole.captured)


def test_blocks_after_the_last_captured_site_are_not_run(llama: Model, reached: list[str]) -> None:
    llama.run(IDS, capture="L0.resid_post", output=False)  # what it may leave out is tried first
    reached.clear()
    llama.run(IDS, capture="L0.resid_post", output=False)
    assert reached in ([], ["model.layers.0"])  # the pass ends before later hooks of the last block
    llama.run(IDS, capture="L0.resid_post")
    assert {"model.layers.1", "lm_head"} <= {*reached}


def test_metrics_are_those_of_a_whole_run(llama: Model) -> None:
    asked = [metric.logit_diff(3, 4), metric.norm("L0.resid_post", pos=-1), metric.entropy()]
    edits = edit.zero("L1.mlp_out", pos=-1)
    whole = llama.run(IDS, metrics=asked, edits=edits).metrics
    alone = llama.run(IDS, metrics=asked, edits=edits, output=False).metrics
    for name, value in whole.items():
        # products of other heights round otherwise
        torch.testing.assert_close(alone[name], value, rtol=1e-5, atol=1e-6)


def test_of_logits_only_what_metrics_read_is_computed(llama: Model) -> None:
    positions: list[int] = []
    handle = llama.native.lm_head.register_forward_hook(lambda module, args, out: positions.append(args[0].numel()))
    llama.run(IDS, metrics=metric.entropy(), output=False)  # what it may leave out is tried first
    try:
        positions.clear()
        llama.run(IDS, metrics=metric.entropy(), output=False)
        few = sum(positions)
        positions.clear()
        llama.run(IDS, metrics=metric.entropy())
        assert 0 < 4 * few == sum(positions)  # the last of four positions
    finally:
        handle.remove()


def test_prompts_of_different_length_keep_their_order(llama: Model) -> None:
    prompts = [[5, 7, 11, 13], [2, 3], [1, 4, 6, 8]]
    whole, alone = (llama.run(prompts, capture="L0.mlp_out", output=o)["L0.mlp_out"] for o in (True, False))
    assert torch.equal(whole.isnan(), alone.isnan())
    assert torch.equal(whole.nan_to_num(), alone.nan_to_num())


def test_gradients_are_captured_too(llama: Model) -> None:
    of = capture.grad("L0.resid_post", of=metric.logit_diff(3, 4))
    whole, alone = (llama.run(IDS, capture=of, output=o) for o in (True, False))
    for name, value in whole.captured.items():
        torch.testing.assert_close(alone[name], value, rtol=1e-5, atol=1e-6)


def test_logits_of_such_a_run_are_refused(llama: Model) -> None:
    run = llama.run(IDS, capture="L0.resid_post", output=False)
    for read in (lambda: run.logits, run.top):
        with pytest.raises(InputError, match="output=False"):
            read()


def test_a_run_that_returns_nothing_is_refused(llama: Model) -> None:
    with pytest.raises(InputError, match="nothing to return"):
        llama.run(IDS, output=False)
