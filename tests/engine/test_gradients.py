"""Gradients against autograd with leaves put in by hand."""

from __future__ import annotations

import pytest
import torch
from tests.engine import by_hand
from torch import Tensor

from assay import Experiment, Run, capture, edit, metric
from assay.core.errors import AssayError
from assay.engine.model import Model

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
VECTOR = torch.linspace(-1, 2, 32).double()


def leaf(value: Tensor) -> Tensor:
    return value.detach().requires_grad_()


def wanted(model: Model, site: str, of: object, changes: dict[str, by_hand.Change] | None = None) -> Tensor:
    """The gradient at one site: its value is made a leaf, on which the rest of the pass depends."""
    found: list[Tensor] = []
    change = (changes or {}).get(site, lambda x: x)

    def cut(value: Tensor) -> Tensor:
        found.append(leaf(change(value)))
        return found[-1]

    logits, _ = by_hand.run(model.native, IDS, {**(changes or {}), site: cut}, grad=True)
    return torch.autograd.grad(of(logits), found[0])[0]  # type: ignore[operator]


@pytest.mark.parametrize("name", [*by_hand.PLACES])
def test_a_site_of_every_kind(llama: Model, name: str) -> None:
    site = f"L1.{name}"
    found = llama.gradients(IDS, of=metric.logit_diff(4, 9), sites=site)
    by_hand.close(found[site], wanted(llama, site, lambda logits: (logits[:, -1, 4] - logits[:, -1, 9]).sum()))
    assert found[site].abs().max() > 1e-4


def test_several_sites_in_one_backward_pass(llama: Model) -> None:
    """Sites that lie upstream of each other, in one pass: each gradient is the whole one."""
    sites = ["L0.resid_post", "L1.z", "L1.mlp_post", "L2.resid_pre", "L2.q"]
    found = llama.gradients(IDS, of=metric.entropy(pos=None), sites=sites)

    def entropy(logits: Tensor) -> Tensor:
        log = logits.log_softmax(-1)
        return -(log.exp() * log).sum()

    assert list(found) == sites
    for site in sites:
        by_hand.close(found[site], wanted(llama, site, entropy))


def test_without_a_layer_all_layers(llama: Model) -> None:
    found = llama.gradients(IDS, of=metric.logit(4), sites="mlp_out")
    assert list(found) == ["L0.mlp_out", "L1.mlp_out", "L2.mlp_out"]


@pytest.mark.parametrize(
    "site", ["L1.pattern", "L1.scores", "L1.head_out", "L1.q_rot", "L1.resid_mid", "L1.attn_norm_scale"]
)
def test_against_finite_differences(gpt2: Model, site: str) -> None:
    """Sites without a module of their own: the gradient along a direction is the slope of the metric along it."""
    if gpt2.why_not(site):
        pytest.skip(f"GPT-2 has no {site}")
    found = gpt2.gradients(IDS, of=metric.logit(4), sites=site)[site]
    at = torch.where(found.abs() < 1e8, found, 0).double()
    direction = at / at.norm()
    step = 1e-4

    def along(s: float) -> Tensor:
        moved = edit.call(site, lambda x: x + s * direction.to(x))
        return gpt2.run(IDS, edits=moved, metrics=metric.logit(4)).metrics["logit"].sum()

    there, back = along(step), along(-step)
    slope = ((there - back) / (2 * step)).item()
    assert slope == pytest.approx((at * direction).sum().item(), rel=1e-4)


def test_under_edits_at_and_before_the_site(llama: Model) -> None:
    edits = [edit.scale("L0.mlp_out", 0.5), edit.add("L1.resid_post", VECTOR)]
    changes = {"L0.mlp_out": lambda x: 0.5 * x, "L1.resid_post": lambda x: x + VECTOR}
    found = llama.gradients(IDS, of=metric.logit(4), sites=["L1.resid_post", "L0.z"], edits=edits)
    for site, gradient in found.items():
        by_hand.close(gradient, wanted(llama, site, lambda logits: logits[:, -1, 4].sum(), changes))


def test_mean_and_sum_over_positions(llama: Model) -> None:
    whole = llama.gradients(IDS, of=metric.logit(4, pos=None), sites="L1.z")["L1.z"]
    total = llama.gradients(IDS, of=metric.logit(4, pos=None, reduce="sum"), sites="L1.z")["L1.z"]
    mean = llama.gradients(IDS, of=metric.logit(4, pos=None, reduce="mean"), sites="L1.z")["L1.z"]
    by_hand.close(whole, total)
    by_hand.close(5 * mean, total)


def test_a_metric_at_a_site(llama: Model) -> None:
    """A dot product at a later site; with respect to that very site the gradient is the direction."""
    found = llama.gradients(IDS, of=metric.dot("L1.resid_post", VECTOR), sites=["L0.mlp_out", "L1.resid_post"])
    direct = torch.zeros(2, 5, 32, dtype=torch.float64)
    direct[:, -1] = VECTOR
    by_hand.close(found["L1.resid_post"], direct)
    cuts: list[Tensor] = []

    def cut(value: Tensor) -> Tensor:
        cuts.append(leaf(value))
        return cuts[-1]

    _, kept = by_hand.run(llama.native, IDS, {"L0.mlp_out": cut}, keep=["L1.resid_post"], grad=True)
    upstream = torch.autograd.grad((kept["L1.resid_post"][:, -1] @ VECTOR).sum(), cuts[0])[0]
    by_hand.close(found["L0.mlp_out"], upstream)


def test_what_the_metric_does_not_depend_on_is_zero(llama: Model) -> None:
    found = llama.gradients(IDS, of=metric.norm("L0.mlp_out"), sites=["L2.z"])
    assert (found["L2.z"] == 0).all()


def test_kl_to_another_run_goes_through_the_edited_run_only(llama: Model) -> None:
    found = llama.gradients(IDS, of=metric.kl("input"), sites="L2.resid_pre", edits=edit.zero("L1.mlp_out"))
    there = by_hand.run(llama.native, IDS)[0][:, -1].log_softmax(-1)

    def kl(logits: Tensor) -> Tensor:
        return (there.exp() * (there - logits[:, -1].log_softmax(-1))).sum()

    by_hand.close(found["L2.resid_pre"], wanted(llama, "L2.resid_pre", kl, {"L1.mlp_out": torch.zeros_like}))


@pytest.mark.parametrize("of", [metric.logprob([[4, 9]]), metric.rank(4), metric.accuracy(4)])
def test_what_has_no_gradient_is_refused(llama: Model, of: metric.Metric) -> None:
    with pytest.raises(AssayError, match=r"several tokens|no gradient"):
        llama.gradients(IDS, of=of, sites="L1.resid_post")


def test_gradients_are_a_capture_too(llama: Model) -> None:
    run = Run(
        input="a",
        captures=[
            "L1.z",
            capture.grad("L1.z", of=metric.logit(4)),
            capture.grad("L1.z", of=metric.logit(9), pos=-1, head=[2], name="other"),
        ],
    )
    result = llama.measure(Experiment(inputs={"a": IDS}, runs={"main": run}))
    plain = llama.gradients(IDS, of=metric.logit(4), sites="L1.z")["L1.z"]
    assert result["grad.L1.z"].dims == ("example", "position", "head", "d_head")
    by_hand.close(torch.tensor(result["grad.L1.z"].values), plain)
    other = llama.gradients(IDS, of=metric.logit(9), sites="L1.z")["L1.z"][:, -1:, 2:3]
    by_hand.close(torch.tensor(result["other"].values), other)
    assert result.cost.backward_passes == 2


def test_ragged_prompts(llama: Model) -> None:
    ragged = [[5, 7, 11], [6, 9, 12, 15, 18]]
    found = llama.gradients(ragged, of=metric.logit(4), sites="L1.z")["L1.z"]
    for row, ids in enumerate(ragged):
        alone = llama.gradients([ids], of=metric.logit(4), sites="L1.z")["L1.z"][0]
        by_hand.close(found[row, : len(ids)], alone)


def test_all_sites_in_one_backward_pass(llama: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, real = [], torch.autograd.grad

    def counted(*args: object, **kwargs: object) -> object:
        calls.append(args)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.autograd, "grad", counted)
    found = llama.gradients(IDS, of=metric.logit(4), sites=["resid_post", "z", "mlp_post", "pattern"])
    assert len(found) == 12 and len(calls) == 1


def test_nothing_is_kept_before_the_first_site_nor_for_weights(llama: Model) -> None:
    """Bytes that autograd keeps: at the last layer a small part, although the model's weights require gradients."""
    assert all(p.requires_grad for p in llama.native.parameters())

    def kept(site: str) -> int:
        sizes: list[int] = []

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            llama.gradients(IDS, of=metric.logit(4), sites=site)
        return sum(sizes)

    assert kept("L2.resid_post") < 0.2 * kept("L0.resid_pre")


def test_a_pass_ends_where_its_metric_is(llama: Model) -> None:
    """A metric at a site of the first block needs no block after it, and no logits."""
    reached: list[str] = []
    watched = {"head": llama.native.lm_head, "L1": llama.native.model.layers[1], "L0": llama.native.model.layers[0]}
    handles = [
        module.register_forward_hook(lambda *_, name=name: reached.append(name)) for name, module in watched.items()
    ]
    try:
        early = metric.dot("L0.resid_post", VECTOR)
        found = llama.gradients(IDS, of=early, sites=["L0.mlp_out", "L0.z"], edits=edit.scale("L2.mlp_out", 0.5))
        assert reached == []
        same = llama.run(IDS, capture=capture.grad("L0.z", of=early))
        assert reached == ["L0", "L1", "head"], "a run gives its logits too"
    finally:
        for handle in handles:
            handle.remove()
    assert torch.equal(found["L0.z"], same["grad.L0.z"])
    assert (found["L0.mlp_out"][:, -1] == VECTOR).all()


def test_at_an_edited_norm_scale(gpt2: Model) -> None:
    """The slope along the scale, at the value that an edit gave it."""
    site, value = "L1.mlp_norm_scale", 0.7

    def at(scale: float) -> Tensor:
        made = edit.set(site, scale, pos=-1)
        return gpt2.run(IDS, edits=made, metrics=metric.logit(4)).metrics["logit"].sum()

    found = gpt2.gradients(IDS, of=metric.logit(4), sites=site, edits=edit.set(site, value, pos=-1))[site]
    slope = (at(value + 1e-5) - at(value - 1e-5)) / 2e-5
    torch.testing.assert_close(found[:, -1].sum(), slope, rtol=1e-6, atol=0)


def test_weights_keep_no_gradient_and_their_setting(llama: Model) -> None:
    before = [p.requires_grad for p in llama.native.parameters()]
    llama.gradients(IDS, of=metric.logit(4), sites="L1.z")
    assert [p.requires_grad for p in llama.native.parameters()] == before
    assert all(p.grad is None for p in llama.native.parameters())


def test_frozen_weights_and_no_grad_do_not_matter(llama: Model) -> None:
    before = llama.gradients(IDS, of=metric.logit(4), sites="L1.z")["L1.z"]
    llama.native.requires_grad_(False)
    try:
        with torch.no_grad():
            after = llama.gradients(IDS, of=metric.logit(4), sites="L1.z")["L1.z"]
    finally:
        llama.native.requires_grad_(True)
    assert torch.equal(before, after)
    assert not after.requires_grad


def test_a_plain_run_keeps_no_graph(llama: Model) -> None:
    run = llama.run(IDS, capture=["L1.z"], metrics=metric.logit(4))
    assert not run.logits.requires_grad
    assert not run["L1.z"].requires_grad


def test_a_site_that_is_not_there(llama: Model) -> None:
    with pytest.raises(AssayError, match=r"L9\.z"):
        llama.gradients(IDS, of=metric.logit(4), sites="L9.z")
