"""Where a variant of a sweep leaves the unedited pass over the prompt: the first block and position that may differ.

Positions before it have the keys and values of the unedited prompt, blocks before it its residual stream; so variants
share both. A variant that edits only what is generated shares the whole prompt. Edits that change nothing bit for bit
(adding zero times a vector, multiplying by one) count as none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from assay.engine.generation.row_edits import Placed
from assay.engine.select import Scope, edited_examples, position_axis
from assay.experiments.edits import Edit
from assay.experiments.given_edits import Add, Noise, Scale
from assay.models.chain import Chain
from assay.models.network import Network
from assay.models.structure import Site

FRONT = -1
"""The entry of what is computed before the first block."""


@dataclass(frozen=True)
class Departure:
    """`position` is None where the pass over the prompt stays as it was; then `block` means nothing."""

    block: int = FRONT
    position: int | None = None


def departure(edits: Sequence[Placed], chain: Chain | None, scope: Scope) -> Departure:
    """Where these edits depart from the unedited pass over the prompts of a group."""
    prompt = replace(scope, offset=0, tokens=scope.prompt)
    found = [
        (entry(site, chain), first) for _, edit, site in edits if (first := _first(edit, site, prompt)) is not None
    ]
    if not found:
        return Departure()
    return Departure(min(block for block, _ in found), min(position for _, position in found))


def entry(site: Site, chain: Chain | None) -> int:
    """The block before which a row must be there for an edit of this site; the chain's length for what follows it."""
    if chain is None or site.name.native is not None:
        return FRONT
    if site.name.layer is not None:
        return site.name.layer if site.name.stack == chain.stack else FRONT
    after = ("final_norm", "final_norm_scale", "logits")
    return len(chain) if site.name.name in after and site.name.stack in (None, chain.stack) else FRONT


def idle(edit: Edit) -> bool:
    """Whether an edit changes nothing, bit for bit."""
    match edit:
        case Add():
            return edit.scale == 0 and bool(torch.isfinite(edit.vector.tensor).all())
        case Scale():
            return edit.factor == 1
        case Noise():
            return edit.std == 0
    return False


def main_chain(network: Network) -> Chain | None:
    """The blocks of the language model as a plain chain; None where they are none."""
    chains = {chain.stack: chain for chain in network.structure.chains}
    chain = chains.get(None) or chains.get("dec")
    return None if chain is None or chain.broken else chain


def _first(edit: Edit, site: Site, scope: Scope) -> int | None:
    """The first position of the prompt that an edit changes in any example."""
    if idle(edit):
        return None
    rows = scope.rows if edit.examples is None else tuple(set(scope.rows) & set(edited_examples(edit, scope)))
    known = position_axis(site.axes) is not None and site.name.native is None
    if not known:
        acts = edit.step is None or bool(scope.positions(None, scope.rows[0], scope.tokens, edit.step))
        return 0 if rows and acts else None
    places = [scope.positions(edit.pos, row, scope.tokens, edit.step) for row in rows]
    return min((min(at) for at in places if at), default=None)
