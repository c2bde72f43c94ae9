"""Activations of one site as a stream of shuffled batches: from memory, or from a harvest's shards on disk.

Memory holds the pool that is shuffled: all rows where they are in memory anyway, else two shards or POOL rows, whichever is
more. Each pass over the rows sees each of them once, but for what does not fill a last batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import DataError
from assay.core.seeds import generator
from assay.engine.harvest import Harvest

POOL = 65_536
"""Rows that are shuffled together at least."""
SAMPLE = 8_192
"""Rows that statistics such as the median are taken from."""

Rows = Float[Tensor, "token d"]


@dataclass(frozen=True)
class Activations:
    """The rows of one site."""

    site: str
    rows: int
    parts: Callable[[], Iterator[Rows]]
    """Gives them anew, part by part."""

    @classmethod
    def of(cls, kept: Harvest | str | Path, site: str) -> Activations:
        """Those of a harvest: in memory, or the folder that it was written to (then one shard at a time is read).

        Raises:
            DataError: the harvest has no such site, or no vector for each token.
        """
        if isinstance(kept, Harvest):
            tensor = _rows(kept, site)
            return cls(site, len(tensor), lambda: iter([tensor]))
        folder = Path(kept)
        return cls(site, len(Harvest.open(folder)), lambda: (_rows(part, site) for part in Harvest.stream(folder)))

    @classmethod
    def in_memory(cls, rows: Rows, *, site: str = "") -> Activations:
        """Rows that are there already."""
        return cls(site, len(rows), lambda: iter([rows]))

    def sample(self, n: int = SAMPLE, *, seed: int = 0) -> Rows:
        """Some rows, the same share of every part."""
        share, drawn = min(1.0, n / self.rows), generator(seed, "sample")
        found = [
            part[torch.randperm(len(part), generator=drawn)[: max(1, round(share * len(part)))]]
            for part in self.parts()
        ]
        return torch.cat(found).float()

    def batches(self, size: int, *, seed: int) -> Iterator[Rows]:
        """All rows once, in a random order; a last batch that is not full is left out, unless it is the only one."""
        if self.rows < size:
            yield self.sample(self.rows, seed=seed)
            return
        drawn, pool = generator(seed, "order"), None
        for part in self.parts():
            pool = part if pool is None else torch.cat([pool, part])
            if len(pool) >= 2 * POOL:
                pool, ready = _parted(pool, len(pool) - POOL, size, drawn)
                yield from ready
        if pool is not None:
            yield from _parted(pool, len(pool), size, drawn)[1]


def _parted(pool: Rows, ready: int, size: int, drawn: torch.Generator) -> tuple[Rows, Iterator[Rows]]:
    """What stays in the pool, and whole batches of about `ready` rows of it, drawn at random."""
    order = torch.randperm(len(pool), generator=drawn)
    used = ready // size * size
    chosen = (pool[order[start : start + size]].float() for start in range(0, used, size))
    return (pool[order[used:]] if used < len(pool) else pool[:0]), chosen


def _rows(kept: Harvest, site: str) -> Rows:
    if site not in kept.tensors:
        raise DataError(f"This harvest has no {site!r}: it has {', '.join(kept.tensors) or 'no activations'}.")
    tensor = kept.tensors[site]
    if tensor.ndim != 2:
        raise DataError(
            f"{site} has {tensor.ndim - 1} axes for each token: a dictionary is of one vector for each, such as "
            "resid_post or mlp_out."
        )
    return tensor
