"""The hierarchical equality network: trained to every input, with a control that is not."""

from __future__ import annotations

import torch

from assay.circuits import patch_residual
from assay.training.planted.equality import equality_network, equality_pairs, every_input, right_class


def test_it_is_right_on_every_input_and_the_untrained_one_is_not() -> None:
    ids = every_input()
    said = [
        equality_network(seed=3, trained=trained).native(ids)["logits"][:, -1].argmax(-1) for trained in (True, False)
    ]
    assert torch.equal(said[0], right_class(ids))
    pairs = equality_pairs(seed=1, n=200)
    untrained = equality_network(seed=3, trained=False).native(pairs.clean_tokens)["logits"][:, -1].argmax(-1)
    assert 0.3 < float((untrained == pairs.answer_ids).double().mean()) < 0.7


def test_pairs_are_balanced_and_change_the_answer() -> None:
    pairs = equality_pairs(seed=0, n=40)
    assert torch.equal(right_class(pairs.clean_tokens), pairs.answer_ids)
    assert torch.equal(right_class(pairs.corrupt_tokens), pairs.wrong_ids)
    a, b, c, d = pairs.clean_tokens.unbind(1)
    cases = torch.stack([a == b, c == d]).int()
    assert [int(((cases[0] == i) & (cases[1] == j)).sum()) for i in (0, 1) for j in (0, 1)] == [10] * 4


def test_its_sites_can_be_patched() -> None:
    """All that is known at the last position goes through every layer."""
    model = equality_network(seed=3)
    assert [str(site) for site in model.sites if site.name.name == "resid_post"] == [
        f"L{i}.resid_post" for i in range(3)
    ]
    share = patch_residual(model, equality_pairs(n=8), direction="denoise", positions=("end",))["share"]
    assert abs(share.mean("example").values - 1).max() < 1e-6


def test_a_position_sees_what_has_come_so_far() -> None:
    native = equality_network(seed=3, trained=False).native
    first, second = (native(torch.tensor([[1, 2, 3, last]]))["logits"] for last in (4, 5))
    assert torch.equal(first[:, :3], second[:, :3]) and not torch.equal(first[:, 3], second[:, 3])
