"""What a run has finished, written as it comes and replayed when the run is made again.

An engine works group by group (examples that run together) and variant by variant, and puts numbers into a `Table`. The
journal hears them. For each group it says what is finished already, after putting those numbers into the table:

    journal.open(table, [v.index for v in variants], groups, spent=cost_so_far)
    for rows in groups:
        group = journal.group(rows)
        if group.complete:
            continue
        ...                                 # runs that do not vary
        if not group.fixed:
            ...                             # put their numbers into the table
            group.commit(fixed=True)
        for number, variant in enumerate(variants):
            if number not in group.finished:
                ...                         # put its numbers into the table
                group.commit([number])

A commit is on disk at once if the last write is a second ago, or if there is much to write; else with the next that is.
So `kill -9` loses what was in flight, or the last second where variants are quicker than that. Without a store a journal
does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from assay.core.provenance import Cost
from assay.engine.store.keeper import Keeper
from assay.engine.store.part import Index, Part, Piece, joined
from assay.engine.table import Cell, Table

MUCH = 64 * 2**20
"""Bytes that are written without waiting."""


@dataclass
class Group:
    """What is finished of one group of examples."""

    journal: Journal
    rows: Index
    finished: set[int]
    """Numbers of the variants whose values are in the table."""
    fixed: bool = False
    """Whether the values of what does not vary are in the table."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left to compute."""
        return self.fixed and len(self.finished) == len(self.journal.places)

    def commit(self, variants: Iterable[int] = (), *, fixed: bool = False) -> None:
        """These variants (or what does not vary) are in the table now, whole."""
        numbers = list(variants)
        self.finished.update(numbers)
        self.fixed = self.fixed or fixed
        self.journal.commit(self.rows, [self.journal.places[number] for number in numbers], fixed=fixed)


class Journal:
    """The finished pieces of one run."""

    def __init__(self, keeper: Keeper | None = None) -> None:
        self.keeper = keeper
        self.places: Sequence[Index] = ()
        self.groups = 0
        self.spent: Callable[[], Cost] = Cost
        self.earlier = Cost(flops=0.0, peak_bytes=0)
        """What other runs have computed of what is in this one's table."""
        self.resumed = 0
        """Variants, by group of examples, that were read."""
        self._table: Table | None = None
        self._told = Cost()
        self._found: dict[Index, list[tuple[int, Piece]]] = {}
        self._costs: list[Cost | None] = []
        self._heard: list[Cell] = []
        self._pending: list[Piece] = []
        self._bytes = 0

    def open(
        self, table: Table, places: Sequence[Index], groups: Sequence[Sequence[int]], *, spent: Callable[[], Cost]
    ) -> None:
        """Begin: `places` are the variants' in order, `groups` the examples of each; `spent` tells the cost so far.

        An engine that gives up may hand over to another, which begins again with a table of its own and goes on from what
        the first has kept.
        """
        self.flush()
        self.places, self.groups, self.spent, self._table = places, len(groups), spent, table
        self.earlier, self.resumed, self._told = Cost(flops=0.0, peak_bytes=0), 0, Cost()
        self._found = {tuple(rows): [] for rows in groups}
        self._costs, self._heard, self._pending, self._bytes = [], [], [], 0
        if self.keeper is not None:
            sizes = {"variants": len(places), "groups": len(groups), "examples": sum(map(len, groups))}
            self.keeper.about = self.keeper.about.model_copy(update=sizes)
            self.keeper.seen.clear()
            table.hear = self._heard.append

    def group(self, rows: Sequence[int]) -> Group:
        """A group of examples, with what is finished of it put into the table."""
        group = Group(self, tuple(rows), set())
        if self.keeper is None:
            return group
        self._read(self.keeper)
        numbers = {place: number for number, place in enumerate(self.places)}
        for source, piece in self._found.get(group.rows, ()):
            new = {numbers[place] for place in piece.variants} - group.finished
            if self._replay(piece, new, group):
                self._account(source)
            self.resumed += len(new)
        self._found.pop(group.rows, None)
        return group

    def commit(self, rows: Index, variants: Sequence[Index], *, fixed: bool) -> None:
        """Take what the table has heard of these variants."""
        if self.keeper is None:
            return
        wanted = _indices(variants, fixed=fixed)
        cells = [cell for cell in self._heard if cell.index in wanted and tuple(cell.rows) == rows]
        self._heard[:] = [cell for cell in self._heard if not (cell.index in wanted and tuple(cell.rows) == rows)]
        self._pending.append(Piece(rows, fixed, tuple(variants), tuple(cells)))
        self._bytes += sum(cell.values.nbytes for cell in cells)
        if self.keeper.due() or (self._bytes >= MUCH and self.keeper.wait <= self.keeper.every):
            self.flush()

    def flush(self) -> None:
        """Write what is committed now, as one part."""
        if self.keeper is None or not self._pending:
            return
        now = self.spent()
        if self.keeper.write(Part(joined(self._pending), _since(now, self._told))):
            self._told, self._bytes = now, 0
            self._pending.clear()

    def _read(self, keeper: Keeper) -> None:
        """Parts that have appeared, by group; other groups are of another size of batch, and of no use here."""
        known = set(self.places)
        for part in keeper.parts():
            useful = [piece for piece in part.pieces if piece.rows in self._found and known.issuperset(piece.variants)]
            for piece in useful:
                self._found[piece.rows].append((len(self._costs), piece))
            self._costs.append(part.cost)

    def _replay(self, piece: Piece, new: set[int], group: Group) -> bool:
        """Put into the table what it has not; whether there was anything."""
        assert self._table is not None
        fixed = piece.fixed and not group.fixed
        wanted = _indices([self.places[number] for number in new], fixed=fixed)
        for cell in piece.cells:
            if cell.index in wanted:
                self._table.place(cell)
        group.finished |= new
        group.fixed = group.fixed or fixed
        return fixed or bool(new)

    def _account(self, source: int) -> None:
        cost = self._costs[source]
        if cost is not None:
            self.earlier += cost
            self._costs[source] = None


def _indices(variants: Iterable[Index], *, fixed: bool) -> set[Index]:
    """The indices of cells; what does not vary has the empty one, and so has the one variant without a sweep."""
    return set(variants) | {()} if fixed else set(variants) - {()}


def _since(now: Cost, before: Cost) -> Cost:
    """What was computed in between; the peak is that of all, and the estimate is of no part."""
    names = set(Cost.model_fields) - {"peak_bytes", "estimate"}
    pairs = {name: (getattr(now, name), getattr(before, name)) for name in names}
    values = {name: None if one is None else one - (two or 0) for name, (one, two) in pairs.items()}
    return Cost(**{**values, "peak_bytes": now.peak_bytes})
