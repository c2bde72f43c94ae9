"""Functions at sites for a while, and what is left afterwards: nothing."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import pytest
import torch
from tests.conformance import zoo
from tests.engine import by_hand
from torch import Tensor, nn

import assay
from assay import capture, edit, metric
from assay.core.errors import SiteError
from assay.engine.model import Model, load

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
VECTOR = torch.linspace(-1, 1, 32).double()


def hooks(native: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in native.modules() for kind in kinds)


def clean(model: Model) -> bool:
    """No hook, the attention implementation that was there, and the native numbers."""
    return hooks(model.native) == 0 and torch.equal(model.run(IDS).logits, by_hand.run(model.native, IDS)[0])


def test_the_native_module_runs_under_the_functions(llama: Model) -> None:
    ids = torch.tensor(IDS)
    wanted, _ = by_hand.run(llama.native, IDS, {"L1.mlp_out": lambda x: x + VECTOR})
    with llama.hooked({"L1.mlp_out": lambda x: x + VECTOR}) as native, torch.no_grad():
        assert native is llama.native
        assert torch.equal(native(input_ids=ids).logits, wanted)
    assert clean(llama)


def test_looking_changes_nothing(llama: Model) -> None:
    seen: list[Tensor] = []

    def look(value: Tensor) -> None:
        seen.append(value.clone())

    with llama.hooked({"z": look}) as native, torch.no_grad():
        logits = native(input_ids=torch.tensor(IDS)).logits
    assert torch.equal(logits, by_hand.run(llama.native, IDS)[0])
    kept = by_hand.run(llama.native, IDS, keep=["L0.z", "L1.z", "L2.z"])[1]
    assert all(torch.equal(one, two) for one, two in zip(seen, kept.values(), strict=True))


def test_native_generate_under_functions(llama: Model) -> None:
    ids = torch.tensor(IDS)
    wanted = llama.generate(IDS, edits=edit.add("L1.mlp_out", VECTOR), max_new_tokens=5).tokens
    with llama.hooked({"L1.mlp_out": lambda x: x + VECTOR}) as native:
        out = native.generate(  # type: ignore[operator]
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False, pad_token_id=0
        )
    assert [tuple(row)[: len(t)] for row, t in zip(out[:, 5:].tolist(), wanted, strict=True)] == list(wanted)


def test_contexts_nest_and_runs_go_on_inside(llama: Model) -> None:
    with llama.hooked({"L0.mlp_out": torch.zeros_like}):
        with llama.hooked({"L1.mlp_out": torch.zeros_like}):
            both = llama.run(IDS, capture=["L2.resid_post"])
        one = llama.run(IDS).logits
    changes: dict[str, by_hand.Change] = {"L0.mlp_out": torch.zeros_like, "L1.mlp_out": torch.zeros_like}
    by_hand.close(both.logits, by_hand.run(llama.native, IDS, changes)[0])
    by_hand.close(one, by_hand.run(llama.native, IDS, {"L0.mlp_out": torch.zeros_like})[0])
    assert clean(llama)


@pytest.mark.parametrize("name", [*by_hand.PLACES])
def test_captures_inside_a_context_see_what_it_made(llama: Model, name: str) -> None:
    site = f"L1.{name}"
    with llama.hooked({site: lambda x: 1.5 * x}), llama.hooked({site: lambda x: x + 1}):
        run = llama.run(IDS, edits=edit.scale(site, 2.0), capture=[site])
    logits, kept = by_hand.run(llama.native, IDS, {site: lambda x: 2 * (1.5 * x + 1)}, keep=[site])
    by_hand.close(run[site], kept[site])
    by_hand.close(run.logits, logits)


@pytest.mark.parametrize("site", ["L1.q_rot", "L1.k_rot", "L1.pattern", "L1.scores", "L1.head_out"])
def test_contexts_nest_inside_attention(llama: Model, site: str) -> None:
    with llama.hooked({site: lambda x: 1.5 * x}), llama.hooked({site: lambda x: 2 * x}):
        both = llama.run(IDS, capture=[site])
    once = llama.run(IDS, edits=edit.scale(site, 3.0), capture=[site])
    if site != "L1.scores":  # masked entries overflow; and the inner context sees them first
        by_hand.close(both[site], once[site])
    by_hand.close(both.logits, once.logits)
    assert clean(llama)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("site", ["L1.mlp_out", "L1.pattern", "L1.scores", "L1.q_rot", "L0.head_out", "logits"])
def test_removed_after_an_error_in_a_function(llama: Model, site: str, error: type[BaseException]) -> None:
    def fail(_: Tensor) -> Tensor:
        raise error

    with pytest.raises(error), llama.hooked({site: fail, "L0.z": lambda x: 2 * x}) as native:
        native(input_ids=torch.tensor(IDS))
    assert clean(llama)


@pytest.mark.parametrize(
    "verb",
    [
        lambda m, e: m.run(IDS, edits=e, capture=["L2.pattern"]),
        lambda m, e: m.gradients(IDS, of=metric.logit(4), sites="pattern", edits=e),
        lambda m, e: m.generate(IDS, edits=e, use_cache=False),
        lambda m, e: m.measure(assay.Experiment(inputs={"a": IDS}, runs={"r": assay.Run(input="a", edits=[e])})),
    ],
    ids=["run", "gradients", "generate", "measure"],
)
def test_ctrl_c_in_the_middle_of_any_verb(llama: Model, verb: Callable[[Model, object], object]) -> None:
    def interrupt(_: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verb(llama, edit.call("L1.pattern", interrupt))
    assert clean(llama)


def test_an_unknown_site_hooks_nothing(llama: Model) -> None:
    with pytest.raises(SiteError), llama.hooked({"L0.z": lambda x: x, "L9.z": lambda x: x}):
        pass
    assert clean(llama)


def test_two_threads_on_one_model_do_not_see_each_other(llama: Model) -> None:
    """Runs with edits in one thread, plain ones in the other: every number is the one it would be alone."""
    plain = by_hand.run(llama.native, IDS)[0]
    edited = by_hand.run(llama.native, IDS, {"L1.mlp_out": lambda x: x + VECTOR})[0]
    wrong: list[str] = []
    start = threading.Barrier(2)

    def work(edits: list[edit.Edit], wanted: Tensor) -> None:
        start.wait()
        for _ in range(25):
            run = llama.run(IDS, edits=edits, capture=[capture.site("L1.pattern"), "L2.resid_post"])
            if not torch.allclose(run.logits, wanted, atol=2e-6):
                wrong.append("edited" if edits else "plain")

    threads = [
        threading.Thread(target=work, args=([edit.add("L1.mlp_out", VECTOR)], edited)),
        threading.Thread(target=work, args=([], plain)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert clean(llama)


def test_a_copy_is_independent(llama: Model) -> None:
    twin = copy.deepcopy(llama)
    with llama.hooked({"L1.mlp_out": torch.zeros_like}):
        assert torch.equal(twin.run(IDS).logits, by_hand.run(twin.native, IDS)[0])
        assert hooks(twin.native) == 0


def test_a_model_in_training_mode_is_put_into_evaluation_and_says_so() -> None:
    native, inputs = zoo.build("gpt2")
    native.config.attn_pdrop = native.config.resid_pdrop = 0.5  # type: ignore[union-attr]
    for module in native.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    native.train()
    model = load(native)
    one, two = model.run(inputs["input_ids"]).logits, model.run(inputs["input_ids"]).logits
    assert torch.equal(one, two)
    assert any("training mode" in fact for fact in model.network.source.facts)


def test_dropout_that_is_switched_on_later_is_a_fact_of_the_result() -> None:
    native, inputs = zoo.build("gpt2")
    model = load(native)
    native.train()
    try:
        run = model.run(inputs["input_ids"])
    finally:
        native.eval()
    assert any("training mode" in fact for fact in run.facts)
    assert not any("training mode" in fact for fact in model.run(inputs["input_ids"]).facts)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision(dtype: torch.dtype) -> None:
    native, inputs = zoo.build("llama")
    native.to(dtype)
    ids = inputs["input_ids"]
    with torch.no_grad():
        wanted = native(input_ids=ids).logits
    model = load(native)
    width = model.d_model
    basis = torch.randn(width, 2)
    edits = [
        edit.add("L0.resid_post", torch.ones(width)),
        edit.project_out("L0.resid_post", basis.T),
        edit.swap("L1.mlp_out", "o", basis=basis),
        edit.mean("L1.attn_out", "o"),
        edit.noise("L0.mlp_out", 0.1),
        edit.patch("L1.z", "o", head=0),
    ]
    run = model.run(ids, capture=["L1.resid_post", "L1.pattern"], metrics=[metric.logprob(3), metric.kl("input")])
    assert torch.equal(run.logits, wanted)
    assert run["L1.resid_post"].dtype == dtype
    assert run.metrics["logprob"].dtype == torch.float32
    assert (run.metrics["kl"] == 0).all()
    changed = model.run(
        ids, edits=edits, sources={"o": (ids + 1) % 50}, metrics=[metric.kl("input"), metric.logprob([[3, 4]])]
    )
    assert changed.logits.dtype == dtype
    assert changed.logits.isfinite().all()
    assert (changed.metrics["kl"] > 0).all()
    gradient = model.gradients(ids, of=metric.logit(3), sites="L0.resid_post")["L0.resid_post"]
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()
