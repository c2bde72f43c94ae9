"""Attribution patching and AtP*: against autograd by hand, and cases in which the estimate is exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.circuits.by_hand import kept
from tests.circuits.tiny_postnorm import tiny_gemma2
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama
from torch import nn

from assay import metric
from assay.circuits import (
    ablate,
    ablate_positions,
    atp_star,
    attribution_patching,
    attribution_positions,
    patch,
    relevance_patching,
)
from assay.core.caveats import caveats_in
from assay.core.errors import DataError, ExperimentError, SettingsError
from assay.core.protocols import Scores
from assay.data.pairs import Pairs
from assay.engine.model import Model

EXACT = 1e-9  # double precision
SINGLE = 1e-5  # of a softmax in single precision
CF = {"ablation": "counterfactual", "direction": "noise"}
WITHOUT = {"check": 0}


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return pairs_of_ids()


def row(scores: Scores, name: str) -> np.ndarray:
    assert scores.per_example is not None
    return scores.per_example[scores.components.index(name)]


def gradient_by_hand(model: Model, pairs: Pairs, module: str, *, detached: tuple[str, ...] = ()) -> torch.Tensor:
    """d(logit difference)/d(input of a module) on the clean prompts; outputs of `detached` modules carry no gradient."""
    found: list[torch.Tensor] = []

    def watch(m: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        found.append(args[0].detach().requires_grad_() if not args[0].requires_grad else args[0])
        if found[-1].grad_fn is not None:
            found[-1].retain_grad()
        return (found[-1], *args[1:])

    def stop(m: nn.Module, args: object, out: torch.Tensor | tuple[torch.Tensor, ...]) -> object:
        return (out[0].detach(), *out[1:]) if isinstance(out, tuple) else out.detach()

    handles = [model.native.get_submodule(module).register_forward_pre_hook(watch)]
    handles += [model.native.get_submodule(name).register_forward_hook(stop) for name in detached]
    for parameter in model.native.parameters():
        parameter.requires_grad_(True)
    logits = model.native(input_ids=pairs.clean_tokens).logits[:, -1]
    rows = torch.arange(len(pairs))
    total = (logits[rows, pairs.answer_ids] - logits[rows, pairs.wrong_ids]).sum()
    for handle in handles:
        handle.remove()
    gradient = torch.autograd.grad(total, found[0], allow_unused=True)[0]
    return torch.zeros_like(found[0]) if gradient is None else gradient.detach()


def test_heads_and_neurons_by_hand(pairs: Pairs) -> None:
    model = tiny_llama()
    for granularity, module, name, columns in (
        ("head", "model.layers.1.self_attn.o_proj", "L1.H2", slice(16, 24)),
        ("neuron", "model.layers.1.mlp.down_proj", "L1.N7", slice(7, 8)),
    ):
        clean, corrupt = (kept(model, module, ids, "in") for ids in (pairs.clean_tokens, pairs.corrupt_tokens))
        gradient = gradient_by_hand(model, pairs, module)
        for ablation, value in (
            ("counterfactual", corrupt),
            ("zero", torch.zeros_like(clean)),
            ("mean", corrupt.mean((0, 1))),
        ):
            expected = ((clean - value) * gradient)[..., columns].sum(-1)
            settings = {"granularity": granularity, "ablation": ablation, "direction": "noise", "metric": "logit_diff"}
            found = attribution_patching(model, pairs, **WITHOUT, **settings)  # type: ignore[arg-type]
            np.testing.assert_allclose(row(found, name), expected.sum(1), atol=EXACT)
            places = attribution_positions(model, pairs, **settings).data["effect"].sel(component=name)  # type: ignore[arg-type]
            np.testing.assert_allclose(places, expected.T, atol=EXACT)


LINEAR = {
    "llama": (tiny_llama, "L2.resid_post", "L2", EXACT),
    "gpt2": (tiny_gpt2, "L1.resid_post", "L1", EXACT),
}


@pytest.mark.parametrize("which", LINEAR)
@pytest.mark.parametrize(
    "ablation", ["counterfactual", "zero", "mean", {"kind": "resample", "over": "clean", "seed": 1}]
)
def test_exact_where_the_metric_is_linear(which: str, ablation: object, pairs: Pairs) -> None:
    """A direction of the last stream is linear in what the last MLP's neurons and output add."""
    made, site, layer, close = LINEAR[which]
    model = made()
    direction = torch.randn(32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    settings = {"ablation": ablation, "metric": metric.dot(site, direction)}
    for granularity in ("mlp", "neuron"):
        exact = ablate(model, pairs, granularity=granularity, layers=(int(layer[1:]),), **settings)  # type: ignore[arg-type]
        found = attribution_patching(model, pairs, granularity=granularity, direction="noise", **settings, **WITHOUT)  # type: ignore[arg-type]
        for name in exact.components:
            np.testing.assert_allclose(row(found, name), row(exact, name), atol=close)


def test_it_tells_its_own_error(pairs: Pairs) -> None:
    """All parts are in the sample: the error is that of the whole; a linear metric has none; check=0 says so."""
    model = tiny_llama()
    settings = {"granularity": "head", "metric": "logit_diff"}
    found = attribution_patching(model, pairs, **settings, **CF, check=12)  # type: ignore[arg-type]
    exact = patch(model, pairs, direction="noise", **settings)  # type: ignore[arg-type]
    r2 = np.corrcoef(found.values, exact.values)[0, 1] ** 2
    assert f"of all components: R² {r2:.2f} [" in found.facts[-1]
    some = attribution_patching(model, pairs, **settings, **CF, check=5, seed=1)  # type: ignore[arg-type]
    assert "of 5 of 12 components" in some.facts[2]
    silent = attribution_patching(model, pairs, **settings, **CF, check=0)  # type: ignore[arg-type]
    assert caveats_in(silent.facts) == ("an estimate that was not compared with exact patching",)
    with pytest.raises(SettingsError, match="check=2: expected 0, or at least 3"):
        attribution_patching(model, pairs, **settings, **CF, check=2)  # type: ignore[arg-type]


def test_prompts_of_different_length_and_named_positions() -> None:
    model = tiny_gpt2()
    short, long = pairs_of_ids(3, length=6), pairs_of_ids(3, length=9, seed=4)
    mixed = Pairs((long[0], *short.examples, *long.examples[1:])).align(None)
    settings = {"granularity": "head", "metric": "logit_diff", **CF}
    whole, one, two = (attribution_patching(model, p, **settings, **WITHOUT) for p in (mixed, short, long))  # type: ignore[arg-type]
    np.testing.assert_allclose(row(whole, "L0.H1")[1:4], row(one, "L0.H1"), atol=EXACT)
    np.testing.assert_allclose(row(whole, "L0.H1")[[0, 4, 5]], row(two, "L0.H1"), atol=EXACT)
    named = attribution_positions(model, mixed, positions=("subject", "end", 0), **settings).data["effect"]  # type: ignore[arg-type]
    plain = attribution_positions(model, short, **settings).data["effect"]  # type: ignore[arg-type]
    np.testing.assert_allclose(named[:, :, 1:4], plain.sel(pos=[3, 5, 0]), atol=EXACT)
    with pytest.raises(ExperimentError, match="differ in length"):
        attribution_positions(model, mixed, **settings)  # type: ignore[arg-type]


def test_relevance_is_exact_for_the_direct_effect(pairs: Pairs) -> None:
    """With norms, patterns and MLPs frozen the whole is linear: patching a part moves the frozen metric by its score.
    The logit difference of the embedding and all parts' relevance against zero adds up to the logit difference."""
    model = tiny_llama()
    settings = {
        "ablation": "zero",
        "direction": "noise",
        "metric": "logit_diff",
        "frozen": ("norms", "patterns", "mlps"),
    }
    mlps = relevance_patching(model, pairs, granularity="mlp", **settings, **WITHOUT)  # type: ignore[arg-type]
    stream = relevance_patching(model, pairs, granularity="resid_pre", **settings, **WITHOUT)  # type: ignore[arg-type]
    whole = model.run(
        pairs.clean_tokens, metrics=metric.logit_diff(pairs.answer_ids.tolist(), pairs.wrong_ids.tolist())
    )
    assert mlps.per_example is not None
    total = mlps.per_example.sum(0) + row(stream, "L0.resid_pre")
    np.testing.assert_allclose(total, whole.metrics["logit_diff"], atol=SINGLE)
    queries = relevance_patching(
        model, pairs, granularity="q", ablation="zero", direction="noise", metric="logit_diff", **WITHOUT
    )  # type: ignore[arg-type]
    np.testing.assert_allclose(queries.values, 0, atol=EXACT)


@pytest.mark.parametrize("made", [tiny_llama, tiny_gpt2, tiny_gemma2], ids=["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("granularity", ["q", "k"])
def test_the_qk_fix_is_exact_where_only_the_softmax_is_not_linear(
    made: Callable[[], Model], granularity: str, pairs: Pairs
) -> None:
    """Read straight after the head: attention output of a layer. Plain attribution is off by far more."""
    model = made()
    site = "native:model.layers.1.self_attn.o_proj:out" if made is tiny_gemma2 else "L1.attn_out"
    direction = torch.randn(32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    settings = {"granularity": granularity, "direction": "noise", "metric": metric.dot(site, direction)}
    exact = patch(model, pairs, layers=(1,), **settings)  # type: ignore[arg-type]
    fixed = atp_star(model, pairs, ablation="counterfactual", grad_drop=False, **settings, **WITHOUT)  # type: ignore[arg-type]
    plain = attribution_patching(model, pairs, ablation="counterfactual", **settings, **WITHOUT)  # type: ignore[arg-type]
    for name in exact.components:
        np.testing.assert_allclose(row(fixed, name), row(exact, name), atol=SINGLE)
    assert max(abs(plain[name] - exact[name]) for name in exact.components) > 1e-2


def test_without_a_fix_or_dropped_layers_it_is_attribution_patching(pairs: Pairs) -> None:
    model = tiny_llama()
    settings = {"granularity": "q", "metric": "logit_diff", **CF, **WITHOUT}
    plain = attribution_patching(model, pairs, **settings)  # type: ignore[arg-type]
    star = atp_star(model, pairs, qk_fix=False, grad_drop=False, **settings)  # type: ignore[arg-type]
    np.testing.assert_allclose(star.values, plain.values, atol=EXACT)


def test_grad_drop_by_hand(pairs: Pairs) -> None:
    """Three layers: mean over examples of the sum over layers of |estimate without that layer|, over L − 1 = 2."""
    model, module = tiny_llama(), "model.layers.1.self_attn.o_proj"
    clean, corrupt = (kept(model, module, ids, "in") for ids in (pairs.clean_tokens, pairs.corrupt_tokens))
    total = torch.zeros(len(pairs), dtype=torch.float64)
    for layer in range(3):
        detached = (f"model.layers.{layer}.self_attn", f"model.layers.{layer}.mlp")
        gradient = gradient_by_hand(model, pairs, module, detached=detached)
        estimate = ((clean - corrupt) * gradient)[..., 16:24].sum((1, 2))
        assert (layer != 1) or float(estimate.abs().max()) == 0
        total += estimate.abs() / 2
    found = atp_star(model, pairs, granularity="head", metric="logit_diff", **CF, **WITHOUT)  # type: ignore[arg-type]
    np.testing.assert_allclose(row(found, "L1.H2"), total, atol=EXACT)


def test_grad_drop_finds_what_cancels(pairs: Pairs) -> None:
    """A direction of the last stream is chosen so that what the first MLP adds to it directly and what it does through the
    second layer cancel. Without the second layer the direct part is left, whose size is known."""
    model, one = tiny_gpt2(), pairs.take([0])
    settings = {"granularity": "mlp", **CF, **WITHOUT}

    def along(direction: torch.Tensor) -> dict[str, object]:
        return {"metric": metric.dot("L1.resid_post", direction), **settings}

    first, second = (
        row(attribution_patching(model, one, **along(axis)), "L0.mlp")[0] for axis in torch.eye(32).double()[:2]
    )  # type: ignore[arg-type]
    direction = torch.zeros(32, dtype=torch.float64)
    direction[:2] = torch.tensor([second, -first])
    plain = attribution_patching(model, one, **along(direction))  # type: ignore[arg-type]
    star = atp_star(model, one, **along(direction))  # type: ignore[arg-type]
    clean, corrupt = (kept(model, "transformer.h.0.mlp", ids, "out") for ids in (one.clean_tokens, one.corrupt_tokens))
    direct = float((clean - corrupt)[0, -1] @ direction)
    assert plain["L0.mlp"] == pytest.approx(0, abs=EXACT)
    assert star["L0.mlp"] == pytest.approx(abs(direct), abs=EXACT) and abs(direct) > 1e-4


def test_what_is_refused(pairs: Pairs) -> None:
    model = tiny_llama()
    with pytest.raises(ExperimentError, match="the gradient of kl to the clean run is zero"):
        attribution_patching(model, pairs, granularity="head", metric={"kind": "kl", "to": "clean"}, **CF)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="denoise puts clean values"):
        attribution_patching(
            model, pairs, granularity="head", ablation="zero", direction="denoise", metric="logit_diff"
        )
    broken = tiny_llama()
    with torch.no_grad():
        broken.native.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")  # type: ignore[union-attr, index]
    with pytest.raises(DataError, match="the metric logit_diff is not finite"):
        attribution_patching(broken, pairs, granularity="head", metric="logit_diff", **CF)  # type: ignore[arg-type]


def test_estimates_and_exact_effects_compare_the_same_values(pairs: Pairs) -> None:
    """Shrinking the change, the estimate approaches the exact effect: resampled values are the same draw in both."""
    model = tiny_gpt2()
    ablation = {"kind": "resample", "over": "counterfactual", "seed": 5}
    settings = {"granularity": "resid_post", "ablation": ablation, "metric": "logit_diff"}
    exact = ablate_positions(model, pairs, positions=("end",), layers=(1,), **settings).data["effect"]  # type: ignore[arg-type]
    found = attribution_positions(model, pairs, positions=("end",), direction="noise", **settings).data["effect"]  # type: ignore[arg-type]
    near = np.corrcoef(exact.values.ravel(), found.sel(component=["L1.resid_post"]).values.ravel())[0, 1]
    assert near > 0.9
