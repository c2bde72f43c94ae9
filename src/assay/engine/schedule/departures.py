"""Where each variant leaves the unchanged pass: the first block, and the first position of every example, that differ.

A patch whose value equals what is there changes nothing, bit for bit, so positions before the first real difference cost
nothing: in a causal model they, and all that they are computed from, stay what they were. Cost: one comparison of tensors
for each site and source, then one lookup for each variant and example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from assay.core.sites import SiteName
from assay.engine.changes import Sources
from assay.engine.schedule.joint import same_so_far
from assay.engine.select import Scope, edited_examples, head_axis, position_axis
from assay.experiments.edits import Edit
from assay.experiments.given_edits import Noise
from assay.experiments.positions import Slice, resolve_indices
from assay.experiments.sourced_edits import Freeze, Patch
from assay.models.chain import Chain
from assay.models.network import Network
from assay.models.structure import Site

Placed = tuple[Edit, Site]


@dataclass(frozen=True)
class Departure:
    """`first[e]` is the first position of example e that may differ, None where nothing does."""

    layer: int
    first: tuple[int | None, ...]

    @property
    def nowhere(self) -> bool:
        """The variant is the unchanged pass."""
        return all(p is None for p in self.first)


@dataclass
class Departures:
    """Finds departures for the examples of one group."""

    network: Network
    chain: Chain
    inputs: Mapping[str, Any]
    kept: Mapping[Site, Tensor] | None
    """What the unchanged pass has at sites; None before it was made: then places are told from the tokens alone."""
    scope: Scope
    sources: Sources
    fixed: frozenset[str]
    """Runs whose values are known before the variants'."""
    plain: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The inputs of runs without edits."""
    skip_equal: bool = True
    by_position: bool = True
    by_depth: bool = True
    _compared: dict[tuple[str, Site], Tensor | None] = field(default_factory=dict)
    _changed: dict[tuple[str, Site, Any], list[list[bool]]] = field(default_factory=dict)
    _places: dict[tuple[int | str | None, int], Sequence[int]] = field(default_factory=dict)

    def of(self, edits: Sequence[Placed]) -> Departure:
        """Where a run with these edits departs."""
        layer = len(self.chain)
        first: list[int | None] = [None] * len(self.scope.rows)
        for edit, site in edits:
            places = self._first(edit, site)
            if any(p is not None for p in places):
                layer = min(layer, entry(site, self.chain) if self.by_depth else 0)
                first = [_earlier(a, b) for a, b in zip(first, places, strict=True)]
        if not self.by_position:
            first = [None if p is None else 0 for p in first]
        return Departure(layer, tuple(first))

    def _first(self, edit: Edit, site: Site) -> list[int | None]:
        changed = self._comparison(edit, site)
        axis = position_axis(site.axes)
        chosen = None if edit.examples is None else set(edited_examples(edit, self.scope))
        places: list[int | None] = []
        for b, row in enumerate(self.scope.rows):
            if chosen is not None and row not in chosen:
                places.append(None)
                continue
            if axis is None:
                places.append(0)
                continue
            positions: Sequence[int] = self._positions(edit, row)
            if changed is not None:
                flags = changed[b]
                positions = [p for p in positions if flags[p]]
            places.append(min(positions, default=None))
        return places

    def _positions(self, edit: Edit, row: int) -> Sequence[int]:
        if not isinstance(edit.pos, int | str | None) or edit.step is not None:
            return self.scope.positions(edit.pos, row, self.scope.tokens, edit.step)
        key = (edit.pos, row)
        if key not in self._places:
            self._places[key] = self.scope.positions(edit.pos, row, self.scope.tokens, None)
        return self._places[key]

    def _comparison(self, edit: Edit, site: Site) -> list[list[bool]] | None:
        """Which positions a patch changes, for each example; None when that is not known."""
        if not self.skip_equal or not comparable(edit) or (self.kept is not None and site not in self.kept):
            return None
        assert isinstance(edit, Patch | Freeze)
        if edit.source not in self.fixed or not same_places(edit, self.scope, self.sources.scope_of(edit.source)):
            return None
        if position_axis(site.axes) != 1:
            return None
        heads = head_axis(site.axes)
        head = tuple(edit.head) if isinstance(edit.head, list | tuple) else edit.head
        key = (edit.source, site, head if heads is not None and isinstance(head, int | tuple) else None)
        if key not in self._changed:
            different = self._different(edit.source, site)
            if different is None:
                return None
            if heads is not None and different.ndim > heads:
                index = resolve_indices(edit.head, size=different.shape[heads], axis="head")
                different = different[:, :, index].any(-1)
            if heads is not None and not isinstance(head, int | tuple | None):
                return different.tolist()
            self._changed[key] = different.tolist()
        return self._changed[key]

    def _different(self, source: str, site: Site) -> Tensor | None:
        """Where a source's value is another one, [batch, pos] or [batch, pos, head]."""
        if (source, site) not in self._compared:
            may = self._may_differ(source)
            if self.kept is None:
                self._compared[source, site] = may
            else:
                here, there = self.kept[site], self.sources.value(source, site)
                differs = None if here.shape != there.shape else (here != there).any(-1).cpu()
                if differs is not None and may is not None:
                    differs &= may.reshape(*may.shape, *(1,) * (differs.ndim - 2))
                self._compared[source, site] = differs
        return self._compared[source, site]

    def _may_differ(self, source: str) -> Tensor | None:
        """Where a causal model's passes can differ at all, told from the tokens, [batch, pos]; None where it is not."""
        if source not in self.plain or not self.by_position:
            return None
        same = same_so_far(self.inputs, self.plain[source])
        return None if same is None else ~same.cpu()


def entry(site: Site, chain: Chain) -> int:
    """The block before which a pass must begin so that this site is computed; the chain's length for what follows it."""
    return len(chain) if site.name.layer is None else site.name.layer


def outside(site: Site, chain: Chain) -> bool:
    """Whether a site lies before the chain, or in another one."""
    name: SiteName = site.name
    if name.layer is not None:
        return name.stack != chain.stack
    return name.name not in ("final_norm", "final_norm_scale", "logits") or name.stack not in (None, chain.stack)


def moved_up(
    edits: Sequence[Placed],
    network: Network,
    chain: Chain,
    read: frozenset[Site],
    fixed: Mapping[str, frozenset[Site]],
) -> list[Placed]:
    """Edits of what leaves a block, as edits of what enters the next: one block less to run. The tensors are the same.

    `fixed` are the sites that runs which do not vary edit. Edits stay that draw by the site's name, or that read another run
    at that site, unless it is such a one and leaves the next block's entry alone; and then all others at the site stay too,
    since their order counts.
    """
    taken = {site for _, site in edits} | read
    above = {site: _above(site, network, chain) for _, site in edits if site not in read}
    stay = {site for edit, site in edits if not _moves(edit, above.get(site), fixed) or above.get(site) in taken}
    return [(edit, site if site in stay else above[site] or site) for edit, site in edits]


def _above(site: Site, network: Network, chain: Chain) -> Site | None:
    """The entry of the next block, for what leaves a block."""
    name = site.name
    if name.name != "resid_post" or name.layer is None or name.layer + 1 >= len(chain):
        return None
    return network.structure.sites.get(SiteName("resid_pre", layer=name.layer + 1, stack=name.stack))


def _moves(edit: Edit, above: Site | None, fixed: Mapping[str, frozenset[Site]]) -> bool:
    if above is None:
        return False
    source = edit.source_run
    if comparable(edit):
        return source is not None and source in fixed and above not in fixed[source]
    return source is None and not isinstance(edit, Noise)


def _earlier(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)


def same_places(edit: Edit, here: Scope, there: Scope) -> bool:
    """Whether an edit's positions mean the same indices in a source: as long, and its names at the same places."""
    pos = edit.pos if isinstance(edit.pos, list | tuple) else [edit.pos]
    names = [p for p in pos if isinstance(p, str)]
    if isinstance(edit.pos, Slice):
        names = [p for p in (edit.pos.start, edit.pos.stop) if isinstance(p, str)]
    agree = all(there.named.get(name, here.named.get(name)) == here.named.get(name) for name in names)
    return agree and there.prompt == here.prompt


def comparable(edit: Edit) -> bool:
    """Whether the new value is another run's at the very same place, so that it can be compared with the old one."""
    if isinstance(edit, Patch):
        return edit.source_pos is None and edit.source_site is None
    return isinstance(edit, Freeze)
