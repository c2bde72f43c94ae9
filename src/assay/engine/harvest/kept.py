"""What a harvest gives: activations by site with a label for each row, and statistics; in memory or from a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.engine.harvest.shards import Index, check_there, read_shard
from assay.engine.harvest.statistics import SiteStatistics, Statistics
from assay.engine.harvest.top import LABELS

Parts = Sequence[dict[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Harvest:
    """Kept activations. A folder is read when `tensors` or a label is first asked for."""

    rows: int
    """Tokens that were kept or summed up."""
    statistics: Mapping[str, SiteStatistics] = field(default_factory=dict)
    """By site, what was asked for."""
    folder: Path | None = None
    read: Callable[[], Parts] = field(default=lambda: (), repr=False)
    """Gives the shards."""

    def __len__(self) -> int:
        return self.rows

    @cached_property
    def _whole(self) -> dict[str, Tensor]:
        parts = [part for part in self.read() if part and len(part["tokens"])]
        names = list(parts[0]) if parts else []
        return {name: torch.cat([part.pop(name) for part in parts]) for name in names}

    @cached_property
    def tensors(self) -> dict[str, Float[Tensor, "token ..."]]:
        """By site, a row for each token. Empty if activations were not kept."""
        return {name: tensor for name, tensor in self._whole.items() if name not in LABELS}

    @property
    def tokens(self) -> Int[Tensor, " token"]:
        """The token id of each row."""
        return self._label("tokens")

    @property
    def document(self) -> Int[Tensor, " token"]:
        """The number of the document of each row."""
        return self._label("document")

    @property
    def position(self) -> Int[Tensor, " token"]:
        """The place of each row in its document."""
        return self._label("position")

    def _label(self, name: str) -> Tensor:
        return self._whole.get(name, torch.zeros(0, dtype=torch.int64))

    @classmethod
    def open(cls, folder: str | Path) -> Harvest:
        """All shards of a folder as one. Nothing but statistics is read before it is asked for.

        Raises:
            StorageError: a file is missing or of another size; later, when it is read, one that is damaged.
        """
        path = Path(folder)
        index = Index.read(path)
        check_there(path, index)
        statistics = Statistics({}, 0, torch.device("cpu"))
        if index.sums:
            statistics.restore(index.sums_after(len(index.shards), path) or {})
        return cls(index.rows, statistics.results(), path, lambda: [read_shard(path, shard) for shard in index.shards])

    @staticmethod
    def stream(folder: str | Path) -> Iterator[Harvest]:
        """One shard at a time, for corpora larger than memory. Statistics are those of the whole: see `open`."""
        path = Path(folder)
        for shard in Index.read(path).shards:
            part = read_shard(path, shard)
            yield Harvest(shard.rows, {}, path, lambda part=part: [part])  # type: ignore[misc]
