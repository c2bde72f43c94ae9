"""Run a corpus and keep chosen sites at chosen positions, and statistics of them, in memory or in sharded safetensors.

Documents are cut into pieces of at most `context` tokens and share passes in one of four layouts (see `pieces`). A shard
is a whole number of documents, written at once when it is full, with the statistics up to there; after Ctrl-C or a crash
the same call goes on after the last whole shard and ends with the same numbers. `index.json` says which documents each
shard holds, with checksums, and has the hash of the model, sites and rules that made it: another model, other rules or
other documents are refused, never mixed. A piece that is too short for the positions gives no rows.

Cost: one forward pass over the corpus, up to the last site; memory is one shard, if activations are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.core.errors import InputError
from assay.core.progress import report
from assay.engine.harvest.collect import run_shard
from assay.engine.harvest.exactness import refuse_inexact
from assay.engine.harvest.kept import Harvest
from assay.engine.harvest.pieces import pieces_of
from assay.engine.harvest.rules import Rules
from assay.engine.harvest.shards import Index, drop_old_sums, write_shard, write_sums
from assay.engine.harvest.statistics import Statistics
from assay.models.network import Network
from assay.models.structure import Site


def harvest(network: Network, corpus: Iterable[Any], rules: Rules, *, to: str | Path | None = None) -> Harvest:
    """Run a corpus and keep what the rules say.

    `corpus` yields texts or token id lists. With `to`, shards are written there and a finished part is not run again.

    Raises:
        InputError: an empty corpus, or a layout that is not exact for this model.
        SiteError: an unknown site.
        StorageError: a folder of another model, other rules or other documents.
    """
    sites, wanted = rules.found(network)
    refuse_inexact(network, sites, rules.layout)
    statistics = Statistics(wanted, rules.top, _device(network))
    run = _Run(network, sites, rules, statistics, len(corpus) if isinstance(corpus, Sized) else 0)
    found = run.in_memory(corpus) if to is None else run.to_folder(corpus, Path(to))
    if not len(found):
        raise InputError("no position of these documents is kept: check pos.")
    return found


@dataclass
class _Run:
    """A harvest under way."""

    network: Network
    sites: Sequence[Site]
    rules: Rules
    statistics: Statistics
    total: int
    """Documents of the corpus, 0 if that is not known."""
    summed: int = 0
    """Shards that the statistics cover."""

    def in_memory(self, corpus: Iterable[Any]) -> Harvest:
        parts, rows = [], 0
        for start, documents in self._shards(corpus):
            more, tensors = self._run(documents, start)
            rows += more
            if self.rules.activations:
                parts.append(tensors)
            report(start + len(documents), self.total)
        return Harvest(rows, self.statistics.results(), None, lambda: parts)

    def to_folder(self, corpus: Iterable[Any], folder: Path) -> Harvest:
        index, total = Index.start(folder, self.rules.key(self.network.fingerprint)), 0
        for number, (start, documents) in enumerate(self._shards(corpus)):
            total = start + len(documents)
            content = [_content(document) for document in documents]
            if not index.has(start, content, folder):
                self._catch_up(index, folder, number)
                index = self._write(index, folder, number, start, documents)
            report(total, self.total)
        index.refuse_more_than(total, folder)
        return Harvest.open(folder)

    def _catch_up(self, index: Index, folder: Path, shards: int) -> None:
        """Take up the statistics of shards that an earlier call ran."""
        if self.rules.statistics and self.summed != shards and (state := index.sums_after(shards, folder)) is not None:
            self.statistics.restore(state)
        self.summed = shards + 1

    def _write(self, index: Index, folder: Path, number: int, start: int, documents: list[Any]) -> Index:
        rows, tensors = self._run(documents, start)
        content = [_content(document) for document in documents]
        shard = write_shard(folder, tensors if self.rules.activations else None, start, content, rows)
        sums = write_sums(folder, self.statistics.state(), number + 1) if self.rules.statistics else None
        index = index.adding(shard, sums)
        index.write(folder)
        drop_old_sums(folder, index)
        return index

    def _run(self, documents: list[Any], start: int) -> tuple[int, dict[str, Tensor]]:
        pieces = pieces_of(self.network, documents, start, self.rules)
        return run_shard(self.network, self.sites, self.rules, pieces, self.statistics)

    def _shards(self, corpus: Iterable[Any]) -> Iterator[tuple[int, list[Any]]]:
        """Documents of each shard, with the number of its first one."""
        start = 0
        held: list[Any] = []
        for document in corpus:
            held.append(document)
            if len(held) == self.rules.documents_per_shard:
                yield start, held
                start, held = start + len(held), []
        if held:
            yield start, held
        elif not start:
            raise InputError("the corpus is empty: expected at least one text or token list.")


def _content(document: Any) -> Any:
    """A document as plain data."""
    return document.tolist() if isinstance(document, Tensor | np.ndarray) else document


def _device(network: Network) -> torch.device:
    """Where sums are made: beside the model, unless there is no double precision."""
    device = network.device
    return torch.device("cpu") if device.type == "mps" else device
