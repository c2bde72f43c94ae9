"""Jacobian-vector products against finite differences and against gradients: ⟨u, J v⟩ = ⟨Jᵀ u, v⟩.

Finite differences are taken on a GPT-2 in double precision throughout, where the step of 1e-5 leaves about 1e-9.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.conformance.zoo import build
from torch import Tensor, nn

from assay import edit, metric
from assay.core.errors import AssayError, ExperimentError
from assay.engine import jvp as module
from assay.engine.model import Model, load

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
SITES = [
    "L0.resid_pre", "L0.attn_in", "L0.q", "L0.k", "L0.v", "L0.z", "L0.head_out", "L0.attn_out", "L0.resid_mid",
    "L0.mlp_pre", "L0.mlp_post", "L0.mlp_out", "L0.resid_post", "L1.attn_norm_scale", "L0.scores", "L0.pattern",
]  # fmt: skip
TO = ["L1.resid_post", "L1.z", "L1.pattern", "logits"]


def tangent(model: Model, site: str, ids: Any = IDS) -> Tensor:
    value = model.run(ids, capture=site)[site]
    drawn = torch.randn(value.shape, dtype=value.dtype, generator=torch.Generator().manual_seed(0))
    return torch.where(value.abs() < 1e6, drawn, 0)  # masked scores stay masked


def slopes(
    model: Model, site: str, v: Tensor, metrics: list[Any], *, edits: Any = (), step: float = 1e-5
) -> dict[str, Tensor]:
    def at(s: float) -> dict[str, Tensor]:
        run = model.run(IDS, edits=[*edits, edit.add(site, v, scale=s)], capture=TO, metrics=metrics)
        return {**{name: run[name] for name in TO}, **run.metrics}

    there, back = at(step), at(-step)
    return {name: (there[name] - back[name]) / (2 * step) for name in there}


def near(found: Tensor, wanted: Tensor, tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * max(float(wanted.abs().max()), 1e-3))


@pytest.mark.parametrize("site", SITES)
def test_against_finite_differences(gpt2: Model, site: str) -> None:
    metrics = [metric.logit_diff(4, 9), metric.entropy(pos=None), metric.norm("L1.mlp_out")]
    v = tangent(gpt2, site)
    found = gpt2.jvp(IDS, at=site, tangent=v, to=[*TO, *metrics])
    wanted = slopes(gpt2, site, v, metrics)
    assert list(found) == [*TO, "logit_diff", "entropy", "norm"]
    for name, product in found.items():
        near(product, wanted[name])
        assert name == "L1.pattern" or wanted[name].abs().max() > 1e-4


@pytest.mark.parametrize("frozen", [(), ("norms",), ("norms", "patterns", "mlps")], ids=str)
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gpt_neox", "granite", "bloom", "falcon_h1"])
def test_a_gradient_is_the_other_way_round(name: str, frozen: tuple[str, ...]) -> None:
    """⟨u, J v⟩ = ⟨Jᵀ u, v⟩, 1e-5: most of these compute norms in float32."""
    native, _ = build(name)
    model = load(native.double())
    generator = torch.Generator().manual_seed(2)
    u = torch.randn(model.d_model, generator=generator, dtype=torch.float64)
    last = f"L{model.n_layers - 1}.resid_post"
    v = tangent(model, "L0.resid_pre")
    product = model.jvp(IDS, at="L0.resid_pre", tangent=v, to=last, frozen=frozen)[last]
    gradient = model.gradients(IDS, of=metric.dot(last, u), sites="L0.resid_pre", frozen=frozen)["L0.resid_pre"]
    forwards, backwards = (product[:, -1] @ u).sum(), (gradient * v).sum()
    assert forwards.abs() > 1e-3
    torch.testing.assert_close(forwards, backwards, rtol=1e-5, atol=1e-8)


class Cubed(torch.autograd.Function):
    """An operation that says nothing of forward derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(10, 6), nn.Linear(6, 6)
        self.cube = nn.Identity()

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(self.cube(Cubed.apply(self.embed(ids))))


def test_backwards_where_native_code_has_no_forward_derivative(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    native = Small().double()
    model = load(native, inputs={"ids": torch.tensor([[1, 2, 3], [4, 5, 6]])})
    used, real = [], module._Push._backwards
    monkeypatch.setattr(module._Push, "_backwards", lambda *a: (used.append(1), real(*a))[1])
    ids = [[1, 2, 3], [7, 8, 9]]
    v = torch.randn(2, 3, 6, dtype=torch.float64)
    of = metric.dot("native:out:out", torch.ones(6), pos=1)
    found = model.jvp(ids, at="native:embed:out", tangent=v, to=["native:out:out", of])
    assert used
    wanted = (3 * native.embed(torch.tensor(ids)) ** 2 * v) @ native.out.weight.T
    torch.testing.assert_close(found["native:out:out"], wanted.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found["dot"], wanted[:, 1].sum(-1).detach(), rtol=1e-12, atol=1e-12)
    assert not found["native:out:out"].requires_grad


def test_both_ways_agree(gpt2: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    v, to = tangent(gpt2, "L0.z"), ["L0.resid_mid", "L1.pattern", "L1.resid_post", "L0.resid_pre", metric.logit(4)]
    forwards = gpt2.jvp(IDS, at="L0.z", tangent=v, to=to)  # type: ignore[arg-type]

    def unknown(*_: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(module._Push, "_forwards", unknown)
    for name, product in gpt2.jvp(IDS, at="L0.z", tangent=v, to=to).items():  # type: ignore[arg-type]
        torch.testing.assert_close(product, forwards[name], rtol=1e-10, atol=1e-12)


def test_upstream_and_beside_nothing_moves(gpt2: Model) -> None:
    found = gpt2.jvp(
        IDS, at="L1.z", tangent=torch.ones(8), to=["L0.resid_post", "L1.pattern", metric.norm("L0.mlp_out")]
    )
    assert all((product == 0).all() for product in found.values())
    assert found["L1.pattern"].shape == (2, 4, 5, 5)


def test_positions_and_broadcasting(gpt2: Model) -> None:
    v = torch.linspace(-1, 1, 32).double()
    whole = torch.zeros(2, 5, 32, dtype=torch.float64)
    whole[:, 2] = v
    one = gpt2.jvp(IDS, at="L0.resid_post", tangent=v, pos=2, to="L1.resid_post")["L1.resid_post"]
    other = gpt2.jvp(IDS, at="L0.resid_post", tangent=whole, to="L1.resid_post")["L1.resid_post"]
    assert torch.equal(one, other)
    assert (one[:, :2] == 0).all() and (one[:, 3:] != 0).any()


def test_under_edits_at_and_before_the_site(gpt2: Model) -> None:
    edits = [edit.scale("L0.mlp_out", 0.5), edit.add("L0.resid_post", torch.linspace(-2, 2, 32))]
    v = tangent(gpt2, "L0.resid_post")
    found = gpt2.jvp(IDS, at="L0.resid_post", tangent=v, to=TO, edits=edits)
    wanted = slopes(gpt2, "L0.resid_post", v, [], edits=edits)
    for name in TO:
        near(found[name], wanted[name])
    plain = gpt2.jvp(IDS, at="L0.resid_post", tangent=v, to="logits")["logits"]
    assert not torch.allclose(plain, found["logits"])


def test_edits_that_take_values_from_another_run(gpt2: Model) -> None:
    other = [[35, 37, 31, 33, 37], [26, 29, 22, 25, 28]]
    v = tangent(gpt2, "L0.resid_pre")
    made = edit.patch("L0.mlp_out", "other", pos=-1)
    found = gpt2.jvp(IDS, at="L0.resid_pre", tangent=v, to="logits", edits=made, sources={"other": other})["logits"]
    step = 1e-5
    there, back = (
        gpt2.run(IDS, edits=[made, edit.add("L0.resid_pre", v, scale=s)], sources={"other": other}).logits
        for s in (step, -step)
    )
    near(found, (there - back) / (2 * step))


def test_prompts_of_different_length(llama: Model) -> None:
    ragged, v = [[5, 7, 11], [6, 9, 12, 15, 18]], torch.linspace(-1, 1, 32)
    found = llama.jvp(ragged, at="L0.resid_post", tangent=v, to=["L2.resid_post", metric.logit(4)])
    for row, ids in enumerate(ragged):
        alone = llama.jvp([ids], at="L0.resid_post", tangent=v, to=["L2.resid_post", metric.logit(4)])
        torch.testing.assert_close(found["L2.resid_post"][row, : len(ids)], alone["L2.resid_post"][0])
        torch.testing.assert_close(found["logit"][row], alone["logit"][0])
    assert found["L2.resid_post"][0, 3:].isnan().all()


def test_a_pass_ends_at_the_last_site(llama: Model) -> None:
    reached: list[int] = []
    handle = llama.native.model.layers[2].register_forward_hook(lambda *_: reached.append(1))
    try:
        llama.jvp(IDS, at="L0.z", tangent=torch.ones(8), to="L1.resid_post")
        assert not reached
        llama.jvp(IDS, at="L0.z", tangent=torch.ones(8), to=["L1.resid_post", metric.logit(4)])
        assert reached
    finally:
        handle.remove()


def test_nothing_is_left_behind(llama: Model) -> None:
    before = [p.requires_grad for p in llama.native.parameters()], llama.native.config._attn_implementation
    llama.jvp(IDS, at="L0.z", tangent=torch.ones(8), to="logits")
    assert ([p.requires_grad for p in llama.native.parameters()], llama.native.config._attn_implementation) == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.native.modules())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"to": metric.rank(4)}, "counts"),
        ({"to": metric.logprob([[4, 5], [4, 5]])}, "several tokens"),
        ({"to": "L9.z"}, r"L9\.z"),
        ({"at": "L9.z"}, r"L9\.z"),
        ({"tangent": torch.ones(7)}, "7"),
        ({"pos": 12}, "out of range"),
    ],
)
def test_what_makes_no_sense(llama: Model, more: dict[str, Any], message: str) -> None:
    with pytest.raises(AssayError, match=message):
        llama.jvp(IDS, **{"at": "L0.z", "tangent": torch.ones(8), "to": "logits", **more})


def test_a_site_of_every_layer_is_no_one_place(llama: Model) -> None:
    with pytest.raises((AssayError, ExperimentError), match="name one of them"):
        llama.jvp(IDS, at="z", tangent=torch.ones(8), to="logits")
