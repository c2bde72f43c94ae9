"""Activations of a corpus, streamed: read text, keep chosen sites at chosen positions, in memory or in sharded
safetensors.

Documents are cut into pieces of at most `context` tokens and run in batches of pieces of equal length, so nothing is
padded and no number depends on padding. A shard is a whole number of documents, written at once when it is full; after
Ctrl-C or a crash the same call goes on after the last whole shard. `index.json` says which documents each shard holds,
with checksums, and has the hash of the model, sites and rules that made it: another model, other rules or other documents
are refused, never mixed. A document that is too short for the positions gives no rows.

Cost: one forward pass over the corpus; memory is one shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.codec import digest
from assay.core.errors import InputError, SettingsError, nearest
from assay.core.progress import report
from assay.engine.passes import forward
from assay.engine.select import Positions, position_axis
from assay.engine.shards import Index, read_shard, write_shard
from assay.experiments.captures import Dtype
from assay.experiments.positions import resolve
from assay.models.network import Network
from assay.models.prompts import tokenise
from assay.models.structure import Site


@dataclass(frozen=True)
class Rules:
    """What is kept of a corpus, and how it is run."""

    sites: tuple[str, ...]
    pos: Positions = None
    dtype: str = "float32"
    context: int = 512
    batch: int = 16
    documents_per_shard: int = 256

    @classmethod
    def of(cls, sites: tuple[str, ...], pos: Positions, dtype: str, **given: int) -> Rules:
        """From rules by name. Raises SettingsError for one that is not known, or a value that makes no sense."""
        known = ("context", "batch", "documents_per_shard")
        for name, value in given.items():
            if name not in known:
                raise SettingsError(
                    f"{name!r} is no rule of a harvest: expected {', '.join(known)}.{nearest(name, known)}"
                )
            if value < 1:
                raise SettingsError(f"{name}={value} makes no sense: expected at least 1.")
        if dtype not in get_args(Dtype):
            raise SettingsError(f"dtype {dtype!r} is not kept: expected one of {', '.join(get_args(Dtype))}.")
        return cls(sites, pos, dtype, **given)

    def key(self, fingerprint: str) -> str:
        """Two harvests with the same key can share a folder."""
        settings = {"sites": self.sites, "pos": str(self.pos), "dtype": self.dtype, "context": self.context}
        return digest({**settings, "documents_per_shard": self.documents_per_shard, "model": fingerprint})


@dataclass(frozen=True)
class Harvest:
    """Kept activations. `tensors[site]` is [token, …]; the others say where each row comes from."""

    tensors: dict[str, Float[Tensor, "token ..."]]
    tokens: Int[Tensor, " token"]
    document: Int[Tensor, " token"]
    position: Int[Tensor, " token"]
    folder: Path | None = field(default=None)

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def open(cls, folder: str | Path) -> Harvest:
        """All shards of a folder as one. Raises StorageError when a shard is missing or damaged."""
        index = Index.read(Path(folder))
        return _joined([read_shard(Path(folder), shard) for shard in index.shards], Path(folder))

    @staticmethod
    def stream(folder: str | Path) -> Iterator[Harvest]:
        """One shard at a time, for corpora larger than memory."""
        for shard in Index.read(Path(folder)).shards:
            yield _joined([read_shard(Path(folder), shard)], Path(folder))


def harvest(network: Network, corpus: Iterable[Any], rules: Rules, *, to: str | Path | None = None) -> Harvest:
    """Run a corpus and keep what the rules say.

    `corpus` yields texts or token id lists. With `to`, shards are written there and a finished part is not run again.
    Raises InputError for an empty corpus, SiteError for an unknown site, StorageError for a folder of other rules.
    """
    sites = [site for name in rules.sites for site in network.sites_named(name)]
    if to is None:
        parts = [_run(network, sites, rules, documents, start) for start, documents in _shards(corpus, rules)]
        return _filled(_joined(parts, None)) if parts else _refuse_empty()
    folder, total = Path(to), 0
    index = Index.start(folder, rules.key(network.fingerprint))
    for start, documents in _shards(corpus, rules):
        total = start + len(documents)
        if not index.has(start, [_content(d) for d in documents], folder):
            tensors = _run(network, sites, rules, documents, start)
            index = index.adding(write_shard(folder, tensors, start, [_content(d) for d in documents]))
            index.write(folder)
        report(total, 0)
    if not total:
        _refuse_empty()
    index.refuse_more_than(total, folder)
    return _filled(Harvest.open(folder))


def _refuse_empty() -> NoReturn:
    raise InputError("the corpus is empty: expected at least one text or token list.")


def _filled(found: Harvest) -> Harvest:
    if not len(found):
        raise InputError("no position of these documents is kept: check pos.")
    return found


def _content(document: Any) -> Any:
    """A document as plain data."""
    return document.tolist() if isinstance(document, Tensor | np.ndarray) else document


def _shards(corpus: Iterable[Any], rules: Rules) -> Iterator[tuple[int, list[Any]]]:
    """Documents of each shard, with the number of its first one."""
    start = 0
    held: list[Any] = []
    for document in corpus:
        held.append(document)
        if len(held) == rules.documents_per_shard:
            yield start, held
            start, held = start + len(held), []
    if held:
        yield start, held


@dataclass(frozen=True)
class _Piece:
    document: int
    offset: int
    ids: tuple[int, ...]


def _run(network: Network, sites: Sequence[Site], rules: Rules, documents: list[Any], start: int) -> dict[str, Tensor]:
    pieces = [p for i, document in enumerate(documents) for p in _pieces(network, document, start + i, rules.context)]
    if square := [site for site in sites if "key" in site.axes and len({len(p.ids) for p in pieces}) > 1]:
        raise InputError(f"{square[0]} is as wide as the prompt: expected documents of one length.")
    rows: dict[tuple[int, int], dict[str, Tensor]] = {}
    by_length: dict[int, list[_Piece]] = {}
    for piece in pieces:
        by_length.setdefault(len(piece.ids), []).append(piece)
    for same in by_length.values():
        for i in range(0, len(same), rules.batch):
            _batch(network, sites, rules, same[i : i + rules.batch], rows)
    ordered = [rows[key] for key in sorted(rows)]
    return {name: torch.cat([row[name] for row in ordered]) for name in ordered[0]}


def _pieces(network: Network, document: Any, number: int, context: int) -> list[_Piece]:
    ids = tokenise(document, network.tokenizer).rows[0]
    return [_Piece(number, at, ids[at : at + context]) for at in range(0, len(ids), context)]


def _batch(
    network: Network,
    sites: Sequence[Site],
    rules: Rules,
    pieces: list[_Piece],
    rows: dict[tuple[int, int], dict[str, Tensor]],
) -> None:
    ids = torch.tensor([piece.ids for piece in pieces])
    kept = forward(network, {"input_ids": ids}, keep=sites)
    for b, piece in enumerate(pieces):
        length = len(piece.ids)
        index = torch.tensor(_chosen(rules.pos, length), dtype=torch.long)
        row = {
            "tokens": ids[b, index],
            "document": torch.full_like(index, piece.document),
            "position": index + piece.offset,
        }
        for site in sites:
            row[str(site)] = _at_positions(kept.sites[site][b : b + 1], site, index).to(getattr(torch, rules.dtype))
        rows[piece.document, piece.offset] = row


def _chosen(pos: Positions, length: int) -> list[int]:
    """The positions that are kept of a piece; none if it is too short for them."""
    try:
        return resolve(pos, length=length)
    except InputError:
        return []


def _at_positions(value: Tensor, site: Site, index: Tensor) -> Tensor:
    axis = position_axis(site.axes)
    if axis is None:
        raise InputError(f"{site} has no position axis, so it has no value for each token.")
    return value.movedim(axis, 1)[0].index_select(0, index.to(value.device)).cpu()


def _joined(parts: Sequence[dict[str, Tensor]], folder: Path | None) -> Harvest:
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    own = {name: whole.pop(name) for name in ("tokens", "document", "position")}
    return Harvest(whole, own["tokens"], own["document"], own["position"], folder)
