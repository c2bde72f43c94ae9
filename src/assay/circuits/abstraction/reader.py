"""What reads a site: the weight of the linear module that takes the site's tensor, and what of a subspace it can see.

A direction splits into a part in the weight's row space and one in its null space. Whatever moves along the second changes
nothing that is read: a subspace that works only with its null-space part works through something else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.circuits.abstraction.alignment import Alignment
from assay.core.errors import SettingsError, nearest
from assay.engine.model import Model
from assay.models.offloaded import weight_of


@dataclass(frozen=True)
class Split:
    """A subspace, and its parts that are read and not read, each an orthonormal basis (with no column where empty)."""

    full: Float[Tensor, "d k"]
    row: Float[Tensor, "d r"]
    null: Float[Tensor, "d n"]
    null_share: float
    """The share of the squared length of the subspace's directions that lies in the null space."""
    expected: float
    """What that share is for a random subspace."""


def split(basis: Float[Tensor, "d k"], weight: Float[Tensor, "out d"]) -> Split:
    """Part a subspace by what a weight reads."""
    basis, weight = basis.double(), weight.double()
    right, sizes = torch.linalg.svd(weight, full_matrices=False)[1:][::-1]
    tolerance = sizes.max() * max(weight.shape) * torch.finfo(torch.float32).eps
    rows: Tensor = right[sizes > tolerance].T
    inside = rows @ (rows.T @ basis)
    share = float((basis - inside).square().sum() / basis.square().sum())
    expected = 1 - rows.shape[1] / basis.shape[0]
    return Split(basis.float(), spanned(inside).float(), spanned(basis - inside).float(), share, expected)


def spanned(columns: Float[Tensor, "d k"]) -> Float[Tensor, "d r"]:
    """An orthonormal basis of what columns span, directions shorter than a thousandth left out."""
    left, sizes, _ = torch.linalg.svd(columns, full_matrices=False)
    found: Tensor = left[:, sizes > 1e-3]
    return found


def reading_weight(model: Model, alignment: Alignment, reader: str | None) -> Float[Tensor, "out d"] | None:
    """The weight that reads the alignment's site: of the module `reader`, or of the one whose input the site is.

    None where the site is not one linear module's input and no reader is named.

    Raises:
        SettingsError: there is no such module, it has no matrix, or its matrix has another width.
    """
    site = model.site(alignment.site)
    if reader is None:
        if site.tap.port.side != "in":
            return None
        reader = site.tap.port.module
        if weight_of(model.network.modules[reader]) is None:
            return None
    if reader not in model.network.modules:
        near = nearest(reader, model.network.modules)
        raise SettingsError(f"no module is called {reader!r}: name the linear one that reads {alignment.site}.{near}")
    module = model.network.modules[reader]
    weight = weight_of(module)
    if weight is None or weight.ndim != 2:
        raise SettingsError(f"{reader!r} has no weight matrix: name the linear module that reads {alignment.site}.")
    read = weight.detach() if isinstance(module, nn.Linear) else weight.detach().T
    return _of_head(read.float(), model, alignment, reader)


def _of_head(weight: Tensor, model: Model, alignment: Alignment, reader: str) -> Tensor:
    """The columns that read the head which is meant, at a site that has heads."""
    site = model.site(alignment.site)
    heads = next((site.sizes[axis] for axis in ("head", "kv_head") if axis in site.sizes), None)
    if heads is not None:
        if not isinstance(alignment.head, int):
            raise SettingsError(f"each head of {alignment.site} has a reader of its own: align one head.")
        weight = weight.unflatten(1, (heads, -1))[:, alignment.head]
    width = site.sizes.get(site.axes[-1]) if site.axes else None
    if width is not None and weight.shape[1] != width:
        raise SettingsError(f"{reader!r} reads {weight.shape[1]} entries, and {alignment.site} has {width}.")
    return weight
