"""Passes that begin at a site: the plain pass's numbers, gradients of the new value, and no more of the network run."""

from __future__ import annotations

import pytest
import torch
from tests.conformance.zoo import build
from tests.tiny_pairs import pairs_of_ids
from torch import nn

from assay.core.errors import ExperimentError, SiteError
from assay.engine.model import Model, load
from assay.engine.resumed import Resumed, resumed
from assay.experiments import edit

SITES = (
    "embed", "L0.resid_pre", "L0.attn_out", "L1.resid_mid", "L1.q", "L1.q_rot", "L1.z", "L1.head_out", "L1.mlp_post",
    "L1.mlp_out", "L1.resid_post",
)  # fmt: skip
EXACT = 1e-12
"""Double precision; the plain pass unembeds every position, a resumed one the last."""


def begun(model: Model, site: str, **where: object) -> list[Resumed]:
    inputs = pairs_of_ids(6).as_inputs()
    place = edit.patch(site, source="corrupt", **where)
    batches = [[0, 2, 4], [1, 3, 5]]
    return resumed(model.network, inputs["clean"], {"corrupt": inputs["corrupt"]}, place=place, batches=batches)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("which", ["llama", "gpt2"])
def test_a_resumed_pass_is_the_patched_pass(which: str, site: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(which)
    tokens = pairs_of_ids(6).aligned_tokens()
    for batch in begun(model, site, pos="subject"):
        clean, corrupt = ([list(getattr(tokens[i], side)) for i in batch.rows] for side in ("clean", "corrupt"))
        names = {"subject": [3] * len(clean)}
        change = edit.patch(site, source="corrupt", pos="subject")
        wanted = model.run(clean, edits=change, sources={"corrupt": corrupt}, positions=names).logits[:, -1]
        with torch.no_grad():
            assert (batch.read(batch.sources["corrupt"]) - wanted).abs().max() < EXACT
            same = edit.patch(site, source="clean", pos="subject")
            plain = model.run(clean, edits=same, sources={"clean": clean}, positions=names).logits[:, -1]
            assert (batch.read(batch.base) - plain).abs().max() < EXACT


def test_one_head_alone_is_changed(llama: Model) -> None:
    batch = begun(llama, "L1.z", pos="end", head=1)[0]
    tokens = pairs_of_ids(6).aligned_tokens()
    clean, corrupt = ([list(getattr(tokens[i], side)) for i in batch.rows] for side in ("clean", "corrupt"))
    change = edit.patch("L1.z", source="corrupt", pos=-1, head=1)
    wanted = llama.run(clean, edits=change, sources={"corrupt": corrupt}).logits[:, -1]
    assert batch.base.shape == (3, 1, 1, 8)
    assert (batch.read(batch.sources["corrupt"]).detach() - wanted).abs().max() < EXACT


def test_gradients_are_finite_differences_and_reach_nothing_else(gpt2: Model) -> None:
    batch = begun(gpt2, "L0.mlp_out", pos="subject")[0]
    new = batch.base.clone().requires_grad_()
    (slope,) = torch.autograd.grad(batch.read(new)[:, 5].sum(), new)
    direction = torch.randn(new.shape, dtype=new.dtype, generator=torch.Generator().manual_seed(0))
    step = 1e-5
    with torch.no_grad():
        up, down = (batch.read(batch.base + sign * step * direction)[:, 5].sum() for sign in (1, -1))
    # central differences in double precision: an error of step² and of 1e-16 / step
    assert torch.isclose((slope * direction).sum(), (up - down) / (2 * step), rtol=1e-6, atol=1e-8)
    assert slope.abs().max() > 0 and all(p.grad is None for p in gpt2.native.parameters())


def test_earlier_blocks_are_not_run_again(llama: Model) -> None:
    batch = begun(llama, "L1.resid_post", pos="end")[0]
    ran: list[int] = []
    hooks = [
        block.self_attn.register_forward_hook(lambda *_, i=i: ran.append(i))
        for i, block in enumerate(llama.native.model.layers)
    ]
    batch.read(batch.base)
    for hook in hooks:
        hook.remove()
    assert ran == [2]


def test_the_model_is_left_as_it_was(llama: Model) -> None:
    before = llama.run([[1, 2, 3]]).logits
    begun(llama, "L1.resid_post", pos="end")[0].read(begun(llama, "L1.resid_post", pos="end")[0].base)
    assert torch.equal(llama.run([[1, 2, 3]]).logits, before)
    assert not any("forward" in module.__dict__ for module in llama.native.modules())


class Residual(nn.Module):
    """Reads early tensors again after the site, and writes into one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.zeroth, self.first, self.second, self.third = nn.Linear(6, 6), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start = self.zeroth(x)
        early = self.first(start)
        late = self.second(early.clone())
        early += 1
        return self.third(late + early + start)


def test_native_code_that_reads_earlier_tensors_again_and_writes_into_them_gets_what_it_needs() -> None:
    torch.manual_seed(0)
    native = Residual().double().eval()
    x = torch.randn(4, 6, dtype=torch.float64)
    model = load(native, inputs={"x": x})
    place = edit.patch("native:second:out", source="other")
    batch = resumed(model.network, {"x": x}, {"other": {"x": x.flip(0)}}, place=place)[0]
    for _ in range(2):
        assert torch.equal(batch.read(batch.base).detach(), native(x).detach())
    assert set(batch._done) == {"zeroth", "second"}  # what was written into is computed again
    changed = model.run({"x": x}, edits=place, sources={"other": {"x": x.flip(0)}}).logits
    assert torch.equal(batch.read(batch.sources["other"]).detach(), changed)


def test_a_place_must_be_one_writable_site_and_there_must_be_logits(llama: Model) -> None:
    with pytest.raises(SiteError, match="means 3 sites"):
        begun(llama, "resid_post")
    native = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Unflatten(1, (1, 2))).eval()
    model = load(native, inputs={"input": torch.randn(2, 1, 5)})
    with pytest.raises(ExperimentError, match="name the site that is read"):
        resumed(model.network, {"input": torch.randn(2, 1, 5)}, {}, place=edit.patch("native:0:out", source="s"))


@pytest.mark.parametrize("which", ["gemma2", "mixtral", "falcon", "qwen3", "mamba", "gpt_neox"])
def test_other_architectures_are_skipped_in_the_same_way(which: str) -> None:
    native, _ = build(which)
    model = load(native.eval())
    ids, other = [[1, 5, 7, 9], [2, 6, 8, 3]], [[4, 5, 3, 9], [2, 1, 8, 7]]
    place = edit.patch("L0.resid_post", source="other", pos=2)
    batch = resumed(model.network, ids, {"other": other}, place=place)[0]
    wanted = model.run(ids, edits=place, sources={"other": other}).logits[:, -1]
    with torch.no_grad():
        found = batch.read(batch.sources["other"])
    # single precision: the plain run unembeds every position, a resumed one the last
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert any(".0" in path for path in batch._done)
