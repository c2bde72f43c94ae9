"""The passes of a schedule before they are made: what each covers, and what it should cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from assay.engine.costs import Costs, Work, total
from assay.engine.schedule.departures import Departure

ROWS_AT_ONCE = {"cpu": 2048}
"""Rows of one pass at most, unless a single variant has more. A processor's caches are no better filled by more."""

ROWS_ELSEWHERE = 1 << 16


@dataclass(frozen=True)
class PassPlan:
    """One pass. Layers and positions count from 0, and the ends are not in it."""

    run: str
    variants: int
    rows: int
    """Rows (one position of one variant of one example, or whole sequences) at the widest block."""
    layers: tuple[int, int]
    positions: tuple[int, int]
    token_layers: int
    work: Work

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def unchanged_pass(
    run: str, examples: int, tokens: int, costs: Costs, *, read: int | None = None, depth: int | None = None
) -> PassPlan:
    """A plain pass of one input through `depth` blocks, or all, with the logits of `read` positions, or of all."""
    n, depth = examples * tokens, len(costs.blocks) if depth is None else depth
    return PassPlan(run, 1, n, (0, depth), (0, tokens), n * depth, costs.base(examples, tokens, read=read, depth=depth))


def variant_pass(
    run: str, departures: Sequence[Departure], tokens: int, last: int, costs: Costs, *, read: int, flat: bool
) -> PassPlan:
    """A pass of some variants as rows. `last` is the block after the last that is needed; `read` the positions, of every
    sequence, whose logits are asked for."""
    begins = [(d.layer, first) for d in departures for first in d.first if first is not None]
    depth = min(last, len(costs.blocks))
    added = [0] * (depth + 1)
    for layer, first in begins:
        added[min(layer, depth)] += tokens - first if flat else tokens
    rows, under_way = [], 0
    for layer in range(depth):
        under_way += added[layer]
        rows.append(under_way)
    keys = _mean([(first + 1 + tokens) / 2 for _, first in begins]) if flat else (tokens + 1) / 2
    lowest = min((layer for layer, _ in begins), default=depth)
    earliest = min((first for _, first in begins), default=tokens) if flat else 0
    work = costs.flow(rows, keys=keys, read=read * len(begins))
    variants = sum(not d.nowhere for d in departures)
    return PassPlan(run, variants, max(rows, default=0), (lowest, depth), (earliest, tokens), sum(rows), work)


def chunks(
    order: Sequence[int], sizes: Mapping[int, int], begins: Mapping[int, int], *, room: int, one_layer: bool
) -> Iterator[list[int]]:
    """Variants that go together: in order, as many as there is room for; of one layer only with `one_layer`."""
    chunk: list[int] = []
    size, layer = 0, -1
    for v in order:
        full = size + sizes[v] > room or (one_layer and begins[v] != layer)
        if chunk and full:
            yield chunk
            chunk, size = [], 0
        chunk.append(v)
        size, layer = size + sizes[v], begins[v]
    if chunk:
        yield chunk


def room(costs: Costs, device: str, memory: int | None) -> int:
    """Rows for which there is memory, and that are worth having in one pass."""
    most = ROWS_AT_ONCE.get(device, ROWS_ELSEWHERE)
    if memory is None or not costs.row_bytes:
        return most
    return max(1, min(most, memory // costs.row_bytes))


def summed(plans: Iterable[PassPlan]) -> Work:
    """All passes together."""
    return total(plan.work for plan in plans)


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0
