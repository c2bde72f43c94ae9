"""Seeds depend on what they are for, and on nothing else."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.core.seeds import child_seed, generator


def test_known_values_never_change() -> None:
    """Saved experiments hold seeds: another value here would be another experiment."""
    assert child_seed(0) == 3456079177858693020
    assert child_seed(7, "noise", "L3.z") == 8692980104802064014


@given(st.integers(-(2**40), 2**40), st.lists(st.text(max_size=5), max_size=3))
def test_fits_every_generator(seed: int, names: list[str]) -> None:
    assert 0 <= child_seed(seed, *names) < 2**63


def test_uses_are_told_apart() -> None:
    seeds = {child_seed(0), child_seed(1), child_seed(0, "a"), child_seed(0, "a", "b"), child_seed(0, "ab")}
    assert len(seeds) == 5


def test_global_randomness_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.randn(2)
    torch.manual_seed(3)
    one = torch.randn(2, generator=generator(5, "x"))
    assert torch.equal(torch.randn(2), expected)
    assert torch.equal(torch.randn(2, generator=generator(5, "x")), one)
