"""Whether a layout gives each document the numbers that it has alone: tried on the model, not assumed.

Three short documents of random tokens are run apart and in the layout. Their numbers must agree; and when every token
that a document is not to see is exchanged, its numbers must stay. Recurrent layers in packed rows fail, and so do models
whose forward takes no positions or whose attention does not look at them. The answer is kept with the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from assay.core.errors import InputError
from assay.engine.harvest.collect import run_shard
from assay.engine.harvest.pieces import Piece
from assay.engine.harvest.rules import Rules
from assay.engine.harvest.statistics import Statistics
from assay.models.network import Network
from assay.models.structure import Site

LENGTHS = (7, 4, 9)
NEEDS = {"padded": ("attention_mask", "a mask"), "packed": ("position_ids", "positions")}
TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-4}
"""Of the largest entry, against a run alone: models compute norms and softmax in single precision, and other dtypes round
at 1 %. What leaks is a hundred times as large."""

_ANSWERS: WeakKeyDictionary[nn.Module, dict[tuple[str, tuple[str, ...]], str | None]] = WeakKeyDictionary()


def refuse_inexact(network: Network, sites: Sequence[Site], layout: str) -> None:
    """Raise InputError when documents would not keep their own numbers in this layout."""
    if layout not in NEEDS:
        return
    known = _ANSWERS.setdefault(network.native, {})
    key = layout, tuple(map(str, sites))
    if key not in known:
        known[key] = _why_not(network, sites, layout)
    if (why := known[key]) is not None:
        raise InputError(f"layout={layout!r} is not exact for this model: {why}. Use layout='bucketed'.")


def _why_not(network: Network, sites: Sequence[Site], layout: str) -> str | None:
    argument, what = NEEDS[layout]
    if layout == "packed" and not network.takes(argument):
        return f"its forward takes no {what} ({argument})"
    rules = Rules(tuple(map(str, sites)), layout=layout, context=sum(LENGTHS) + 2, dtype="float64")
    drawn = torch.Generator().manual_seed(0)
    first, other = (_documents(network, drawn) for _ in range(2))
    alone = _run(network, sites, replace(rules, layout="bucketed"), first)
    together = _run(network, sites, rules, first)
    mixed = _run(network, sites, rules, [other[0], first[1], other[2]])
    parameter = next(network.native.parameters(), None)
    tolerance = TOLERANCE.get(parameter.dtype if parameter is not None else torch.float32, 5e-2)
    for site, wanted in alone.items():
        own = slice(LENGTHS[0], LENGTHS[0] + LENGTHS[1])
        if not _close(together[site], wanted, tolerance):
            return f"{site} is not what it is without it"
        if not _close(mixed[site][own], wanted[own], tolerance):
            return f"{site} depends on the documents beside it"
    return None


def _documents(network: Network, drawn: torch.Generator) -> list[Tensor]:
    size = network.vocabulary or 50
    return [torch.randint(min(5, size - 1), size, (length,), generator=drawn) for length in LENGTHS]


def _run(network: Network, sites: Sequence[Site], rules: Rules, documents: Sequence[Tensor]) -> dict[str, Tensor]:
    pieces = [Piece(ids, torch.zeros_like(ids), torch.arange(len(ids)), torch.arange(len(ids))) for ids in documents]
    _, found = run_shard(network, sites, rules, pieces, Statistics({}, 0, torch.device("cpu")))
    return {str(site): found[str(site)] for site in sites}


def _close(one: Tensor, two: Tensor, tolerance: float) -> bool:
    return bool((one - two).abs().max() <= tolerance * two.abs().max())
