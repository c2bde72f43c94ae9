"""AtP* with positions: exact where theory says so, and against patching one place at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.circuits.by_hand import kept
from tests.circuits.test_attribution import gradient_by_hand
from tests.circuits.tiny_postnorm import tiny_gemma2
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay import metric
from assay.circuits import atp_star, atp_star_positions, attribution_positions, patch_positions
from assay.circuits.key_changes import key_changes
from assay.core.caveats import caveats_in
from assay.core.errors import SettingsError, SiteError
from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.engine.model import Model

EXACT = 1e-9  # double precision
SINGLE = 1e-5  # of a softmax in single precision
CF = {"ablation": "counterfactual", "direction": "noise"}
QK = {"fixes": ("qk_fix",), "check": 0}


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """Counterfactuals that differ at two positions, so that keys replaced together and one at a time differ."""
    examples = []
    for each in pairs_of_ids(3, length=6):
        corrupt = list(each.corrupt)
        corrupt[1] = (corrupt[1] + 11) % 59 + 1
        examples.append(Example(**{**each.model_dump(), "corrupt": tuple(corrupt)}))
    return Pairs(tuple(examples)).align(None)


@pytest.mark.parametrize("made", [tiny_llama, tiny_gpt2, tiny_gemma2], ids=["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("granularity", ["q", "k"])
def test_the_qk_fix_is_exact_at_each_position_where_only_the_softmax_is_not_linear(
    made: Callable[[], Model], granularity: str, pairs: Pairs
) -> None:
    """Read straight after the head. Plain attribution is off by far more, and so are keys that are replaced together."""
    model = made()
    site = "native:model.layers.1.self_attn.o_proj:out" if made is tiny_gemma2 else "L1.attn_out"
    direction = torch.randn(32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    asked = {"granularity": granularity, "direction": "noise", "metric": metric.dot(site, direction)}
    exact = patch_positions(model, pairs, layers=(1,), **asked)["effect"]  # type: ignore[arg-type]
    fixed = atp_star_positions(model, pairs, ablation="counterfactual", **asked, **QK)["effect"]  # type: ignore[arg-type]
    fixed = fixed.sel(component=exact["component"].values)
    np.testing.assert_allclose(fixed.values, exact.values, atol=SINGLE)
    plain = attribution_positions(model, pairs, ablation="counterfactual", check=0, **asked)["effect"]  # type: ignore[arg-type]
    assert float(np.abs(plain.sel(component=exact["component"].values) - exact).max()) > 1e-2
    together = atp_star(model, pairs, ablation="counterfactual", grad_drop=False, check=0, **asked)  # type: ignore[arg-type]
    sums = (
        fixed.sum("pos").values
        - together.per_example[[list(together.components).index(c) for c in exact["component"].values]]
    )
    assert (np.abs(sums).max() > 1e-4) == (granularity == "k")


def test_grad_drop_takes_sizes_at_each_position(pairs: Pairs) -> None:
    """Three layers: the sum over layers of |estimate without that layer| at a position, over L − 1 = 2."""
    model, module = tiny_llama(), "model.layers.1.self_attn.o_proj"
    clean, corrupt = (kept(model, module, ids, "in") for ids in (pairs.clean_tokens, pairs.corrupt_tokens))
    total = torch.zeros(clean.shape[:2], dtype=torch.float64)
    for layer in range(3):
        detached = (f"model.layers.{layer}.self_attn", f"model.layers.{layer}.mlp")
        gradient = gradient_by_hand(model, pairs, module, detached=detached)
        total += ((clean - corrupt) * gradient)[..., 16:24].sum(-1).abs() / 2
    found = atp_star_positions(model, pairs, granularity="head", metric="logit_diff", check=0, **CF)["effect"]  # type: ignore[arg-type]
    np.testing.assert_allclose(found.sel(component="L1.H2").values, total.T, atol=EXACT)


def test_without_fixes_it_is_attribution_at_positions(pairs: Pairs) -> None:
    model = tiny_gpt2()
    asked = {"granularity": "k", "metric": "logit_diff", "positions": ("subject", 1), "check": 0, **CF}
    star = atp_star_positions(model, pairs, fixes=(), **asked)["effect"]  # type: ignore[arg-type]
    plain = attribution_positions(model, pairs, **asked)["effect"]  # type: ignore[arg-type]
    np.testing.assert_allclose(star.values, plain.values, atol=EXACT)
    assert list(star["pos"].values) == ["subject", "1"]


def test_prompts_of_different_length_are_those_alone() -> None:
    model = tiny_llama()
    short, long = pairs_of_ids(2, length=6), pairs_of_ids(2, length=9, seed=4)
    mixed = Pairs((long[0], *short.examples, long[1])).align(None)
    asked = {"granularity": "k", "metric": "logit_diff", "positions": ("subject", "end"), "check": 0, **CF}
    whole, one, two = (atp_star_positions(model, some, **asked)["effect"].values for some in (mixed, short, long))  # type: ignore[arg-type]
    np.testing.assert_allclose(whole[..., [1, 2]], one, atol=EXACT)
    np.testing.assert_allclose(whole[..., [0, 3]], two, atol=EXACT)


@pytest.mark.parametrize("method", [atp_star_positions, attribution_positions])
def test_it_tells_its_own_error(method: Callable[..., object], pairs: Pairs) -> None:
    """All places are in the sample: the correlation is that of the whole. None: that is said."""
    model = tiny_llama()
    asked = {"granularity": "mlp", "metric": "logit_diff", "positions": ("subject", "end"), **CF}
    found = method(model, pairs, **asked, check=6)  # type: ignore[call-arg]
    exact = patch_positions(
        model, pairs, granularity="mlp", metric="logit_diff", direction="noise", positions=("subject", "end")
    )["effect"]
    wanted = (np.abs(exact) if method is atp_star_positions else exact).mean("example").values
    r2 = np.corrcoef(found["effect"].mean("example").values.ravel(), wanted.ravel())[0, 1] ** 2
    assert f"R² {r2:.2f} [" in " ".join(found.provenance.facts)
    some = method(model, pairs, **asked, check=4)  # type: ignore[call-arg]
    assert "of 4 of 6 components" in " ".join(some.provenance.facts)
    silent = method(model, pairs, **asked, check=0)  # type: ignore[call-arg]
    assert caveats_in(silent.provenance.facts) == ("an estimate that was not compared with exact patching",)
    with pytest.raises(SettingsError, match="check=2: expected 0, or at least 3 places"):
        method(model, pairs, **asked, check=2)  # type: ignore[call-arg]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), case=st.sampled_from([(0.1, True), (0.1, False), (3.0, False), (40.0, False)]))
def test_one_key_at_a_time_by_softmax_after_softmax(seed: int, case: tuple[float, bool]) -> None:
    """The definition, key by key, with masks, where attention is all on one key, and with a sink that can be told from none."""
    spread, sink = case
    draw = torch.Generator().manual_seed(seed)
    queries, keys = 4, 4
    own, new, slope = (spread * torch.randn(1, queries, 1, keys, generator=draw, dtype=torch.float64) for _ in range(3))
    mask = torch.ones(queries, keys).tril().bool()[None, :, None]
    own, new = own.masked_fill(~mask, -torch.inf), new.masked_fill(~mask, -torch.inf)

    def pattern(scores: torch.Tensor) -> torch.Tensor:
        extra = torch.zeros(1, queries, 1, int(sink), dtype=torch.float64)
        return torch.softmax(torch.cat([scores, extra], -1), -1)[..., :keys]

    expected = []
    for key in range(keys):
        one = own.clone()
        one[..., key] = new[..., key]
        expected.append(((pattern(one) - pattern(own)) * slope).sum((1, 3)))
    found = key_changes(own, new, pattern=pattern(own), slope=slope)
    torch.testing.assert_close(found, torch.stack(expected, -1), atol=1e-8 * spread, rtol=1e-6)


def test_scores_that_are_relative_are_refused() -> None:
    scores = torch.tensor([[[[-1.0, 0.0]], [[0.0, -2.0]]]])
    with pytest.raises(SiteError, match="relative to each query's largest"):
        key_changes(scores, scores, pattern=torch.softmax(scores, -1), slope=scores)
