"""What a batch of rows left at sites, seen as if every variant had been run for itself.

Where a sequence was not under way, the unchanged pass says what was there: blocks before the first change, and positions
before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from assay.engine.measures import Places, take
from assay.engine.schedule.base import Base
from assay.engine.schedule.departures import entry
from assay.engine.schedule.rows import Rows
from assay.engine.select import position_axis
from assay.models.chain import Chain
from assay.models.structure import Site


@dataclass
class Values:
    """Tensors of a batch at sites, and its output."""

    base: Base
    rows: Rows
    chain: Chain
    sites: dict[Site, Tensor] = field(default_factory=dict)
    read: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """The row of `output` for a (sequence, position)."""
    results: Tensor | None = None

    def whole(self, variant: int, site: Site) -> Tensor:
        """The site's tensor of one variant, [batch, …]."""
        s = self.rows.sequences
        mine = [n for n, v in enumerate(s.variant) if v == variant]
        made = self.base.kept.sites[site]
        live = [n for n in mine if site in self.sites and n < self._began(site)]
        if not live:
            return made
        made = made.clone()
        for n in live:
            made[s.example[n]] = self._one(n, site, made[s.example[n]])
        return made

    def _one(self, sequence: int, site: Site, unchanged: Tensor) -> Tensor:
        """One sequence's tensor at a site, [pos, …] (or [head, query, key])."""
        if position_axis(site.axes) != 1:
            return self.sites[site][sequence]
        first = self.rows.sequences.first[sequence]
        positions = torch.arange(first, unchanged.shape[0])
        index = self.rows.index(torch.full_like(positions, sequence), positions)
        return torch.cat([unchanged[:first], self.sites[site][index]])

    def at(self, site: Site, places: Places) -> Tensor:
        """The site's tensor of every sequence at positions, [sequence, pos, …]; `places` has a list for each."""
        s, axis = self.rows.sequences, position_axis(site.axes) or 1
        made = take(self.base.kept.sites[site][list(s.example)].transpose(1, axis), places)
        if site not in self.sites:
            return made
        began = self._began(site)
        live = [(n, k, p) for n in range(began) for k, p in enumerate(places[n]) if p >= s.first[n]]
        if live:
            sequence, number, position = (torch.tensor(column) for column in zip(*live, strict=True))
            made[sequence, number] = self.sites[site].transpose(1, axis)[self.rows.index(sequence, position)]
        return made

    def output(self, places: Places) -> Tensor:
        """The output of every sequence at positions, [sequence, pos, vocab]."""
        s = self.rows.sequences
        assert self.base.kept.output is not None
        wanted = [(n, k, p) for n in range(len(s)) for k, p in enumerate(places[n])]
        if self.results is not None and all((n, p) in self.read for n, _, p in wanted):
            rows = [self.read[n, p] for n, _, p in wanted]
            ordered = rows == list(range(self.results.shape[0]))
            found = self.results if ordered else self.results[rows]
            return found.reshape(len(s), -1, found.shape[-1])
        made = take(self.base.kept.output[list(s.example)], places)
        there = [(n, k, self.read[n, p]) for n, k, p in wanted if (n, p) in self.read]
        if there and self.results is not None:
            sequence, number, row = (torch.tensor(column) for column in zip(*there, strict=True))
            made[sequence, number] = self.results[row]
        return made

    def _began(self, site: Site) -> int:
        """How many sequences were under way when this site was read."""
        return self.rows.sequences.under_way(entry(site, self.chain))
