"""Frozen norms, patterns and MLPs: derivatives of a model in which these are constants, values that stay what they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import torch
from tests.conformance.zoo import build
from tests.engine import by_hand
from torch import Tensor, nn

from assay import edit, metric
from assay.core.errors import ExperimentError, SettingsError
from assay.engine.followed import followed
from assay.engine.frozen import freezing
from assay.engine.model import Model, load

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
ALL = ("norms", "patterns", "mlps")


@contextmanager
def frozen_by_hand(native: nn.Module, kinds: tuple[str, ...]) -> Iterator[None]:
    """The native model's norms written out with a detached scale, its softmax with a detached result."""

    def normed(module: Any) -> Any:
        def forward(x: Tensor) -> Tensor:
            if isinstance(module, nn.LayerNorm):
                x = x - x.mean(-1, keepdim=True)
                scale = (x.square().mean(-1, keepdim=True) + module.eps).sqrt()
                return x / scale.detach() * module.weight + module.bias
            scale = (x.square().mean(-1, keepdim=True) + module.variance_epsilon).sqrt()
            return module.weight * (x / scale.detach())

        return forward

    real = nn.functional.softmax
    norms = [m for m in native.modules() if "norm" in type(m).__name__.lower()] if "norms" in kinds else []
    for module in norms:
        module.forward = normed(module)
    softmax = (lambda *a, **k: real(*a, **k).detach()) if "patterns" in kinds else real
    config: Any = native.config
    before = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        with mock.patch.object(nn.functional, "softmax", softmax):
            yield
    finally:
        config._attn_implementation = before
        for module in norms:
            del module.forward


def gradient_by_hand(native: Any, kinds: tuple[str, ...]) -> Tensor:
    """Of the last position's logit of token 4 less that of 9, with respect to what enters the first block."""
    base = native.model if hasattr(native, "model") else native.transformer
    blocks = base.layers if hasattr(base, "layers") else base.h
    leaves: list[Tensor] = []

    def cut(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        leaves.append((args[0] if args else kwargs["hidden_states"]).detach().requires_grad_())
        return ((leaves[0], *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": leaves[0]})

    handles = [blocks[0].register_forward_pre_hook(cut, with_kwargs=True)]
    if "mlps" in kinds:
        handles += [block.mlp.register_forward_hook(lambda *a: a[-1].detach()) for block in blocks]
    try:
        with frozen_by_hand(native, kinds):
            logits = native(input_ids=torch.tensor(IDS), use_cache=False).logits[:, -1]
            return torch.autograd.grad((logits[:, 4] - logits[:, 9]).sum(), leaves[0])[0]
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("kinds", [(), ("norms",), ("patterns",), ("mlps",), ("norms", "patterns"), ALL], ids=str)
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_against_norms_and_softmaxes_written_out(name: str, kinds: tuple[str, ...], llama: Model, gpt2: Model) -> None:
    """For GPT-2 in double precision throughout; Llama's own norms and softmax compute in float32."""
    model = {"llama": llama, "gpt2": gpt2}[name]
    found = model.gradients(IDS, of=metric.logit_diff(4, 9), sites="L0.resid_pre", frozen=kinds)["L0.resid_pre"]
    wanted = gradient_by_hand(model.native, kinds)
    if name == "gpt2":
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    else:
        by_hand.close(found, wanted)
    if kinds:
        free = model.gradients(IDS, of=metric.logit_diff(4, 9), sites="L0.resid_pre")["L0.resid_pre"]
        assert (found - free).abs().max() > 1e-3 * free.abs().max()


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "olmo2", "granite", "bloom", "BertForMaskedLM"])
def test_values_stay_what_they_are_bit_for_bit(name: str) -> None:
    native, inputs = build(name)
    model = load(native)
    kinds = [
        kind for kind in ALL if kind == "norms" or not model.why_not({"patterns": "pattern", "mlps": "mlp_out"}[kind])
    ]
    assert len(kinds) == 3
    plain = followed(model.network, inputs).output
    kept = followed(model.network, inputs, frozen=freezing(model.network, kinds)).output
    assert plain is not None and kept is not None and torch.equal(plain, kept)


@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen3", "olmo2", "mistral", "granite", "starcoder2", "gpt_neox"])
def test_a_model_with_everything_frozen_is_linear(name: str) -> None:
    """What leaves the last block is the sum of what its constants and its input send there: embedding, MLPs, biases.

    1e-5 of the largest: most of these compute their norms in float32.
    """
    native, _ = build(name)
    with torch.no_grad():
        for path, parameter in native.named_parameters():
            if path.endswith("bias"):
                parameter.zero_()
    model = load(native.double())
    last = f"L{model.n_layers - 1}.resid_post"
    run = model.run(IDS, capture=["L0.resid_pre", "mlp_out", last])
    total = torch.zeros_like(run[last])
    for source in ["L0.resid_pre", *(f"L{layer}.mlp_out" for layer in range(model.n_layers))]:
        total += model.jvp(IDS, at=source, tangent=run[source], to=last, frozen=ALL)[last]
    torch.testing.assert_close(total, run[last], rtol=0, atol=1e-5 * float(run[last].abs().max()))
    free = model.jvp(IDS, at="L0.resid_pre", tangent=run["L0.resid_pre"], to=last, frozen=ALL[:1])[last]
    assert (free - run[last]).abs().max() > 1e-3, "with free patterns and MLPs it is not"


def test_gradient_times_activation_adds_up_to_the_logit(llama: Model) -> None:
    """Without biases a logit is the sum of gradient · activation over what is not computed from anything else."""
    sites = ["L0.resid_pre", "mlp_out"]
    run = llama.run(IDS, capture=sites, metrics=metric.logit(4))
    found = llama.gradients(IDS, of=metric.logit(4), sites=sites, frozen=ALL)
    shares = {site: (gradient * run[site]).sum((1, 2)) for site, gradient in found.items()}
    by_hand.close(torch.stack(list(shares.values())).sum(0), run.metrics["logit"])
    # with MLPs set to zero nothing but the embedding is left
    without = llama.run(IDS, edits=edit.zero("mlp_out"), capture="L0.resid_pre", metrics=metric.logit(4))
    alone = llama.gradients(
        IDS, of=metric.logit(4), sites="L0.resid_pre", frozen=("norms", "patterns"), edits=edit.zero("mlp_out")
    )
    share = (alone["L0.resid_pre"] * without["L0.resid_pre"]).sum((1, 2))
    by_hand.close(share, without.metrics["logit"])


def test_centring_is_differentiated(gpt2: Model) -> None:
    """LayerNorm subtracts the mean: a gradient before it has none, with a frozen scale too."""
    site = f"L{gpt2.n_layers - 1}.resid_post"
    found = gpt2.gradients(IDS, of=metric.logit(4), sites=site, frozen="norms")[site][:, -1]
    assert found.abs().max() > 1e-3
    assert found.sum(-1).abs().max() < 1e-12


def test_an_edit_after_a_frozen_norm_cuts_it_off(llama: Model) -> None:
    """What an edit sets does not depend on the norm before it, whose scale is no part of the sum any more."""
    of = metric.dot("L2.mlp_out", torch.linspace(-1, 1, 32))
    for place in ("L2.mlp_in", "native:model.layers.2.post_attention_layernorm:out"):
        found = llama.gradients(IDS, of=of, sites="L2.resid_mid", edits=edit.set(place, 0.5), frozen="norms")
        assert (found["L2.resid_mid"] == 0).all(), place


def test_an_edited_scale_is_constant_already(gpt2: Model) -> None:
    made = edit.set("L1.mlp_norm_scale", 0.7)
    both = [
        gpt2.gradients(IDS, of=metric.logit(4), sites="L1.resid_mid", edits=made, frozen=frozen)["L1.resid_mid"]
        for frozen in ((), "norms")
    ]
    # the final norm is frozen in one of them: compare up to what the MLP receives
    of = metric.dot("L1.mlp_out", torch.linspace(-1, 1, 32))
    free, frozen = (
        gpt2.gradients(IDS, of=of, sites="L1.resid_mid", edits=made, frozen=kinds)["L1.resid_mid"]
        for kinds in ((), "norms")
    )
    torch.testing.assert_close(free, frozen, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(*both)


def test_a_gradient_at_the_frozen_part_itself(llama: Model) -> None:
    """The pattern is a constant of what comes before it, and may still be asked what comes of changing it."""
    sites = ["L1.pattern", "L1.scores", "L1.attn_norm_scale", "L1.mlp_out"]
    found = llama.gradients(IDS, of=metric.logit(4), sites=sites, frozen=ALL)
    assert found["L1.pattern"].abs().max() > 0 and found["L1.mlp_out"].abs().max() > 0
    assert (found["L1.scores"] == 0).all()
    assert found["L1.attn_norm_scale"].abs().max() > 0


def test_nothing_stays_frozen(llama: Model) -> None:
    before = llama.gradients(IDS, of=metric.logit(4), sites="L0.z")["L0.z"]
    llama.gradients(IDS, of=metric.logit(4), sites="L0.z", frozen=ALL)
    assert torch.equal(llama.gradients(IDS, of=metric.logit(4), sites="L0.z")["L0.z"], before)


def test_what_can_not_be_frozen(llama: Model) -> None:
    with pytest.raises(SettingsError, match="Nearest: patterns"):
        llama.gradients(IDS, of=metric.logit(4), sites="L0.z", frozen="pattern")
    bare = load(nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10)), inputs={"input": torch.tensor([[1, 2]])})
    with pytest.raises(ExperimentError, match="frozen norms: no module"):
        bare.gradients([[1, 2]], of=metric.dot("native:1:out", torch.ones(10)), sites="native:0:out", frozen="norms")
    native, _ = build("mamba")
    with pytest.raises(ExperimentError, match="frozen patterns"):
        load(native).gradients([[1, 2, 3]], of=metric.logit(4), sites="L0.resid_post", frozen="patterns")
