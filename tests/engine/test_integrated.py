"""Integrated gradients against integrals that are known, or taken by scipy; and completeness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad_vec
from torch import Tensor, nn

from assay import edit, metric
from assay.core.errors import AssayError, ExperimentError, InputError, SettingsError
from assay.engine.model import Model, load

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
OTHER = [[35, 7, 31, 13, 17], [6, 29, 12, 25, 18]]
DIFFERENCE = metric.logit_diff(4, 9)


class Smooth(nn.Module):
    """y = sin(x W) for the embedding x of each token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.wave = nn.Embedding(20, 6), nn.Linear(6, 5, bias=False), nn.Identity()

    def forward(self, ids: Tensor) -> Tensor:
        return self.wave(torch.sin(self.mix(self.embed(ids))))


@pytest.fixture(scope="module")
def smooth() -> Model:
    torch.manual_seed(0)
    return load(Smooth().double(), inputs={"ids": torch.tensor([[1, 2, 3], [4, 5, 6]])})


AT = "native:embed:out"
U = torch.linspace(-1, 2, 5).double()
OF = metric.dot("native:wave:out", U, pos=1)
HERE, THERE = [[1, 2, 3], [7, 8, 9]], [[11, 12, 13], [17, 18, 19]]


def by_hand(model: Model, steps: int) -> Tensor:
    """The midpoint rule written out: d(sin(xW)·u)/dx = W (cos(xW) ⊙ u), at position 1 alone."""
    native: Any = model.native
    x, begin = (native.embed(torch.tensor(ids)).detach() for ids in (HERE, THERE))
    weight, total = native.mix.weight.detach(), torch.zeros_like(x)
    for k in range(1, steps + 1):
        point = begin + (k - 0.5) / steps * (x - begin)
        total[:, 1] += (torch.cos(point @ weight.T) * U)[:, 1] @ weight
    return (x - begin) * total / steps


@pytest.mark.parametrize("steps", [1, 3, 16])
def test_the_midpoint_rule(smooth: Model, steps: int) -> None:
    found = smooth.integrated_gradients(HERE, of=OF, sites=AT, source=THERE, steps=steps)
    torch.testing.assert_close(found[AT], by_hand(smooth, steps), rtol=1e-12, atol=1e-14)


def test_against_the_integral(smooth: Model) -> None:
    """With 200 steps the midpoint rule is within 1e-4 of scipy's adaptive integral."""
    native: Any = smooth.native
    x, begin = (native.embed(torch.tensor(ids)).detach() for ids in (HERE, THERE))
    weight = native.mix.weight.detach()

    def integrand(alpha: float) -> Any:
        point = begin + alpha * (x - begin)
        return ((torch.cos(point @ weight.T) * U)[:, 1] @ weight).numpy()

    integral, _ = quad_vec(integrand, 0, 1, epsabs=1e-12)
    found = smooth.integrated_gradients(HERE, of=OF, sites=AT, source=THERE, steps=200, batch=50)
    np.testing.assert_allclose(found[AT][:, 1].numpy(), (x - begin)[:, 1].numpy() * integral, atol=1e-4)
    assert (found[AT][:, [0, 2]] == 0).all()


def test_completeness_and_its_order(smooth: Model) -> None:
    """Attributions add up to the metric's change, with an error that falls as 1/steps²."""
    gaps = []
    for steps in (8, 16, 32):
        found = smooth.integrated_gradients(HERE, of=OF, sites=AT, source=THERE, steps=steps)
        here, there = (smooth.run(ids, metrics=OF).metrics["dot"] for ids in (HERE, THERE))
        torch.testing.assert_close(found.effects[AT], here - there, rtol=1e-12, atol=1e-12)
        gap = found.completeness_gap[AT]
        torch.testing.assert_close(gap, here - there - found[AT].sum((1, 2)), rtol=0, atol=1e-12)
        gaps.append(gap.abs().max())
    assert gaps[0] < 0.05 * found.effects[AT].abs().max()
    assert 3.5 < gaps[0] / gaps[1] < 4.5 and 3.5 < gaps[1] / gaps[2] < 4.5


def test_what_is_linear_needs_one_step(smooth: Model) -> None:
    linear = metric.dot("native:mix:out", U, pos=None, reduce="sum")
    found = smooth.integrated_gradients(HERE, of=linear, sites=AT, source=THERE, steps=1)
    assert found.completeness_gap[AT].abs().max() < 1e-12
    assert found.effects[AT].abs().max() > 0.1


@pytest.mark.parametrize("site", ["L0.resid_pre", "L1.z", "L0.pattern", "L1.resid_mid", "L1.head_out", "L0.mlp_post"])
def test_sites_of_a_transformer(gpt2: Model, site: str) -> None:
    """Gradients of runs in which the site is set to each point, one by one."""
    steps = 3
    here, there = (gpt2.run(ids, capture=site)[site] for ids in (IDS, OTHER))
    mean = torch.zeros_like(here)
    for k in range(steps):
        point = there + (k + 0.5) / steps * (here - there)
        mean += gpt2.gradients(IDS, of=DIFFERENCE, sites=site, edits=edit.set(site, point))[site] / steps
    found = gpt2.integrated_gradients(IDS, of=DIFFERENCE, sites=site, source=OTHER, steps=steps)
    torch.testing.assert_close(found[site], (here - there) * mean, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(found.gradients[site], mean, rtol=1e-8, atol=1e-10)
    patched = gpt2.run(IDS, edits=edit.patch(site, "o"), sources={"o": OTHER}, metrics=DIFFERENCE)
    effect = gpt2.run(IDS, metrics=DIFFERENCE).metrics["logit_diff"] - patched.metrics["logit_diff"]
    torch.testing.assert_close(found.effects[site], effect, rtol=1e-8, atol=1e-10)


def test_from_zero(gpt2: Model) -> None:
    site = "L1.mlp_post"
    found = gpt2.integrated_gradients(IDS, of=DIFFERENCE, sites=site, steps=32)
    without = gpt2.run(IDS, edits=edit.zero(site), metrics=DIFFERENCE).metrics["logit_diff"]
    effect = gpt2.run(IDS, metrics=DIFFERENCE).metrics["logit_diff"] - without
    torch.testing.assert_close(found.effects[site], effect, rtol=1e-8, atol=1e-10)
    assert found.completeness_gap[site].abs().max() < 1e-2 * effect.abs().max()


def test_points_are_rows_of_one_pass(gpt2: Model) -> None:
    rows: list[int] = []
    handle = gpt2.native.transformer.h[0].register_forward_hook(lambda m, a, o: rows.append(a[0].shape[0]))
    try:
        found = gpt2.integrated_gradients(IDS, of=DIFFERENCE, sites=["L0.z", "L1.z"], source=OTHER, steps=8)
        assert sorted(rows) == [2, 2, 18, 18], "two runs, and for each site one pass of eight points and the end"
        rows.clear()
        parts = gpt2.integrated_gradients(IDS, of=DIFFERENCE, sites=["L0.z", "L1.z"], source=OTHER, steps=8, batch=5)
        assert max(rows) == 4
    finally:
        handle.remove()
    for site in ("L0.z", "L1.z"):
        torch.testing.assert_close(found[site], parts[site], rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(found.effects[site], parts.effects[site], rtol=1e-8, atol=1e-10)


def test_prompts_of_different_length(llama: Model) -> None:
    ragged, other = [[5, 7, 11], [6, 9, 12, 15, 18]], [[8, 7, 10], [6, 9, 2, 15, 1]]
    found = llama.integrated_gradients(ragged, of=DIFFERENCE, sites="L1.z", source=other, steps=4)
    for row in range(2):
        alone = llama.integrated_gradients([ragged[row]], of=DIFFERENCE, sites="L1.z", source=[other[row]], steps=4)
        torch.testing.assert_close(found["L1.z"][row, : len(ragged[row])], alone["L1.z"][0], rtol=1e-5, atol=1e-6)
        gap, single = found.completeness_gap["L1.z"][row], alone.completeness_gap["L1.z"][0]
        torch.testing.assert_close(gap, single, rtol=1e-4, atol=1e-5)


def test_under_edits_and_with_frozen_parts(gpt2: Model) -> None:
    """An edit that takes values from another run acts on every point."""
    more = [[26, 29, 22, 25, 28], [35, 37, 31, 33, 37]]
    made, site, steps = edit.patch("L1.attn_out", "more", pos=-1), "L0.resid_post", 2
    here, there = (
        gpt2.run(IDS, edits=made, sources={"more": more}, capture=site)[site],
        gpt2.run(OTHER, capture=site)[site],
    )
    mean = torch.zeros_like(here)
    for k in range(steps):
        point = edit.set(site, there + (k + 0.5) / steps * (here - there))
        mean += gpt2.gradients(
            IDS, of=DIFFERENCE, sites=site, edits=[made, point], sources={"more": more}, frozen="norms"
        )[site] / steps  # fmt: skip
    found = gpt2.integrated_gradients(
        IDS, of=DIFFERENCE, sites=site, source=OTHER, steps=steps, edits=made, sources={"more": more}, frozen="norms"
    )
    torch.testing.assert_close(found[site], (here - there) * mean, rtol=1e-8, atol=1e-10)


def test_all_layers_of_a_site(llama: Model) -> None:
    found = llama.integrated_gradients(IDS, of=metric.norm("L2.resid_post"), sites="mlp_out", source=OTHER, steps=2)
    assert list(found.attributions) == ["L0.mlp_out", "L1.mlp_out", "L2.mlp_out"]


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"steps": 0}, SettingsError, "at least 1"),
        ({"batch": 0}, SettingsError, "at least 1"),
        ({"source": [[1, 2, 3], [4, 5, 6]]}, AssayError, "3"),
        ({"of": metric.rank(4)}, ExperimentError, "counts"),
        ({"sites": "L9.z"}, AssayError, r"L9\.z"),
        ({"edits": edit.resample("L0.z", "more"), "sources": {"more": OTHER}}, ExperimentError, "resample edits"),
    ],
)
def test_what_makes_no_sense(llama: Model, more: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        llama.integrated_gradients(IDS, **{"of": DIFFERENCE, "sites": "L0.z", "source": OTHER, **more})


def test_a_source_of_another_length_is_refused(smooth: Model) -> None:
    with pytest.raises((InputError, AssayError)):
        smooth.integrated_gradients(HERE, of=OF, sites=AT, source=[[1, 2], [3, 4]])
