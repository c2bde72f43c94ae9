"""Views: what is read can be written back bit for bit, and a write changes what the site covers and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from assay.models.views import (
    WHOLE,
    Abreast,
    Columns,
    Expand,
    First,
    Frame,
    Heads,
    MergeHeads,
    Newest,
    Scaled,
    Slice,
    SplitBatch,
    Swap,
    Unflatten,
    View,
)

B, P, H, D = 3, 5, 2, 4
FRAME = Frame(B, P)

CASES: dict[str, tuple[View, tuple[int, ...], tuple[int, ...]]] = {
    "whole": (WHOLE, (B, P, 8), (B, P, 8)),
    "tokens in a row": (View((Unflatten(),)), (B * P, 8), (B, P, 8)),
    "positions first": (View((Swap(0, 1),)), (P, B, 8), (B, P, 8)),
    "streams behind positions": (View((Abreast(2),)), (B, P, H, D), (B, P, H * D)),
    "streams before examples": (View((Abreast(0),)), (H, B, P, D), (B, P, H * D)),
    "heads": (View((Heads(H),)), (B, P, H * D), (B, P, H, D)),
    "heads apart": (View((Swap(1, 2), MergeHeads(H), Heads(H))), (B, H, P, D), (B, P, H, D)),
    "middle of a fused projection": (View((Slice(8, 16), Heads(H))), (B, P, 24), (B, P, H, D)),
    "first of a fused projection": (View((Slice(0, 8),)), (B, P, 24), (B, P, 8)),
    "last of a fused projection": (View((Slice(16, 24),)), (B, P, 24), (B, P, 8)),
    "interleaved": (View((Columns((1, 0, 7, 5, 20, 3, 11, 2)), Heads(H))), (B, P, 24), (B, P, H, D)),
    "tokens in a row, interleaved": (View((Unflatten(), Columns((3, 1)))), (B * P, 6), (B, P, 2)),
    "without a sink": (View((First(1),)), (B, H, P, P + 1), (B, H, P, P)),
    "batch and heads in one": (View((SplitBatch(),)), (B * H, P, P), (B, H, P, P)),
    "newest keys": (View((Newest(2), Swap(1, 2))), (B, H, P + 7, D), (B, P, H, D)),
}


@pytest.mark.parametrize("case", CASES)
def test_reading_writing_and_what_is_left_alone(case: str) -> None:
    view, native_shape, site_shape = CASES[case]
    native = torch.arange(float(torch.tensor(native_shape).prod())).reshape(native_shape)
    kept = native.clone()
    site = view.read(native, FRAME)
    assert site.shape == site_shape
    assert torch.equal(view.write(native, site, FRAME), native)
    new = -1 - torch.arange(float(site.numel())).reshape(site_shape)  # no number occurs in `native`
    written = view.write(native, new, FRAME)
    assert written.shape == native.shape
    assert torch.equal(view.read(written, FRAME), new)
    outside = written >= 0
    assert torch.equal(written[outside], native[outside])
    assert int((~outside).sum()) == site.numel()
    assert torch.equal(native, kept), "the native tensor is not changed in place"


@pytest.mark.parametrize("case", CASES)
def test_gradients_pass_through_a_write(case: str) -> None:
    view, native_shape, site_shape = CASES[case]
    native, new = torch.randn(native_shape), torch.randn(site_shape, requires_grad=True)
    view.write(native, new, FRAME).square().sum().backward()
    assert new.grad is not None
    torch.testing.assert_close(new.grad, 2 * new.detach())


@pytest.mark.parametrize("shape", [(P, 8), (1, P, 8), (B, P, 8)])
def test_what_the_batch_shares_is_seen_once_for_each_example(shape: tuple[int, ...]) -> None:
    view, native = View((Expand(),)), torch.randn(shape)
    site = view.read(native, FRAME)
    assert site.shape == (B, P, 8)
    new = site.clone()
    new[1] = 0.0
    stream = torch.zeros(B, P, 8)
    added: Tensor = stream + view.write(native, new, FRAME)
    assert torch.equal(added, new), "one example's change is its own"


def test_a_multiplied_branch_is_seen_as_it_is_added() -> None:
    view, native = View((Scaled(0.22),)), torch.randn(B, P, 8)
    site = view.read(native, FRAME)
    assert torch.equal(site, native * 0.22)
    assert torch.equal(view.write(native, site, FRAME), native), "bit for bit, though x·f/f need not be x"
    new = site + 1.0
    torch.testing.assert_close(view.read(view.write(native, new, FRAME), FRAME), new, rtol=1e-6, atol=1e-6)


def test_steps_are_undone_in_the_opposite_order() -> None:
    view = View((Swap(1, 2),)).then(MergeHeads(H))
    native = torch.randn(B, H, P, D)
    assert torch.equal(view.read(native, FRAME), native.transpose(1, 2).flatten(-2))
    assert torch.equal(view.write(native, view.read(native, FRAME), FRAME), native)
