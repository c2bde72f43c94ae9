"""Values of another run in the place of a pass's own."""

from __future__ import annotations

from torch import Tensor

from assay.core.errors import InputError
from assay.models.structure import Site


def fitting(other: Tensor, site: Site, value: Tensor) -> Tensor:
    """The other run's value at a site, like the one in this pass.

    Raises:
        InputError: the two are of different shapes, since the prompts are parted otherwise.
    """
    if other.shape != value.shape:
        raise InputError(
            f"{site} is {list(other.shape)} in the source's run and {list(value.shape)} in this one: their prompts are parted "
            "otherwise (BLT's bytes into patches). Take prompts that give as many positions there."
        )
    return other.to(value)
