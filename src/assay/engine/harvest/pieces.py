"""How a corpus becomes passes: documents are cut into pieces, and pieces share a pass in one of four layouts.

| layout | a pass | what a token sees |
|---|---|---|
| bucketed | pieces of equal length | its own piece; nothing is padded |
| padded | pieces of similar length, padded at the right under a mask | its own piece |
| packed | rows of up to `context` tokens, several pieces side by side | its own piece: the boundaries are those of attention, and positions start again |
| joined | the documents of a shard one after another, cut into rows of `context` tokens | everything before it in its row, other documents too |

Padded positions are never kept. Rows of the result are in the order of the corpus in every layout.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from assay.core.errors import InputError
from assay.engine.harvest.rules import Rules
from assay.engine.passes import check_length
from assay.engine.select import Positions
from assay.experiments.positions import resolve
from assay.models.network import Network
from assay.models.prompts import tokenise


@dataclass(frozen=True)
class Piece:
    """Tokens that are run as one sequence, where each comes from, and which of them are kept."""

    ids: Int[Tensor, " pos"]
    document: Int[Tensor, " pos"]
    position: Int[Tensor, " pos"]
    kept: Int[Tensor, " kept"]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Batch:
    """One pass: inputs, which of its tokens (counted through all rows; None: all in order) go to which rows."""

    inputs: dict[str, Tensor]
    take: Int[Tensor, " kept"] | None
    rows: Int[Tensor, " kept"] | slice


def pieces_of(network: Network, documents: Sequence[Any], first: int, rules: Rules) -> list[Piece]:
    """The pieces of a shard, whose first document is number `first`, in the order of the corpus."""
    tokens = [torch.tensor(tokenise(document, network.tokenizer).rows[0]) for document in documents]
    labelled = [(ids, torch.full_like(ids, first + i), torch.arange(len(ids))) for i, ids in enumerate(tokens)]
    if rules.layout == "joined":
        labelled = [tuple(torch.cat(parts) for parts in zip(*labelled, strict=True))]  # type: ignore[list-item]
    pieces = [_piece(whole, at, rules) for whole in labelled for at in range(0, len(whole[0]), rules.context)]
    check_length(network, max((piece.ids for piece in pieces), key=len)[None])
    return pieces


def labels(pieces: Sequence[Piece]) -> dict[str, Tensor]:
    """Token id, document and position of every row that is kept."""
    return {
        "tokens": torch.cat([piece.ids[piece.kept] for piece in pieces]),
        "document": torch.cat([piece.document[piece.kept] for piece in pieces]),
        "position": torch.cat([piece.position[piece.kept] for piece in pieces]),
    }


def batches(pieces: Sequence[Piece], rules: Rules, *, filler: int = 0) -> Iterator[Batch]:
    """The passes of a shard. Pieces of which nothing is kept are not run, unless others see them."""
    starts = torch.tensor([0, *(len(piece.kept) for piece in pieces)]).cumsum(0).tolist()
    live = [i for i, piece in enumerate(pieces) if len(piece.kept)]
    for rows in _arranged(pieces, live, rules):
        yield _batch([[(pieces[i], starts[i]) for i in row] for row in rows], filler, packed=rules.layout == "packed")


def _piece(whole: Sequence[Tensor], at: int, rules: Rules) -> Piece:
    ids, document, position = (part[at : at + rules.context] for part in whole)
    return Piece(ids, document, position, torch.tensor(chosen(rules.pos, len(ids)), dtype=torch.long))


def chosen(pos: Positions, length: int) -> list[int]:
    """The positions that are kept of a piece; none if it is too short for them."""
    try:
        return resolve(pos, length=length)
    except InputError:
        return []


def _arranged(pieces: Sequence[Piece], live: list[int], rules: Rules) -> Iterator[list[list[int]]]:
    """For each pass its rows, for each row the numbers of the pieces in it."""
    if rules.layout == "packed":
        rows = _side_by_side(pieces, live, rules.context)
        yield from (rows[i : i + rules.batch] for i in range(0, len(rows), rules.batch))
        return
    groups: dict[int, list[int]] = {}
    for i in live if rules.layout != "padded" else sorted(live, key=lambda i: len(pieces[i])):
        groups.setdefault(0 if rules.layout == "padded" else len(pieces[i]), []).append(i)
    for same in groups.values():
        yield from ([[i] for i in same[at : at + rules.batch]] for at in range(0, len(same), rules.batch))


def _side_by_side(pieces: Sequence[Piece], live: list[int], context: int) -> list[list[int]]:
    """Pieces in rows of at most `context` tokens, each in the first row that has room for it."""
    rows: list[list[int]] = []
    room: list[int] = []
    for i in live:
        size = len(pieces[i])
        row = next((r for r, left in enumerate(room) if left >= size), None)
        if row is None:
            row = len(rows)
            rows.append([])
            room.append(context)
        rows[row].append(i)
        room[row] -= size
    return rows


def _batch(rows: list[list[tuple[Piece, int]]], filler: int, *, packed: bool) -> Batch:
    width = max(sum(len(piece) for piece, _ in row) for row in rows)
    ids = torch.full((len(rows), width), filler)
    places, real = torch.zeros_like(ids), torch.zeros_like(ids)
    take, into = [], []
    for r, row in enumerate(rows):
        at = 0
        for piece, start in row:
            end = at + len(piece)
            ids[r, at:end], places[r, at:end], real[r, at:end] = piece.ids, torch.arange(len(piece)), 1
            take.append(r * width + at + piece.kept)
            into.append(torch.arange(start, start + len(piece.kept)))
            at = end
        places[r, at:] = torch.arange(width - at)  # what fills the row up is a sequence of its own
    inputs = {"input_ids": ids}
    if packed:
        inputs["position_ids"] = places
    elif not bool(real.all()):
        inputs["attention_mask"] = real
    return Batch(inputs, _or_all(torch.cat(take), ids.numel()), _or_slice(torch.cat(into)))


def _or_all(take: Tensor, size: int) -> Tensor | None:
    return None if len(take) == size and torch.equal(take, torch.arange(size)) else take


def _or_slice(rows: Tensor) -> Tensor | slice:
    first = int(rows[0])
    return slice(first, first + len(rows)) if torch.equal(rows, torch.arange(first, first + len(rows))) else rows
