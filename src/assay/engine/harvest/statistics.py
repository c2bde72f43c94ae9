"""What is summed up of each site while a corpus runs, and how that is kept between two shards.

Statistics are of the values as the model computed them, before they are rounded to the dtype that is stored. They grow
batch by batch in the order of the corpus, in double precision, and their whole state is written after each shard: so a
harvest that was interrupted goes on with the same additions, and ends with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import StorageError
from assay.engine.harvest.moments import Moments
from assay.engine.harvest.norms import Norms, NormStatistics
from assay.engine.harvest.top import Top, TopExamples
from assay.models.structure import Site


@dataclass(frozen=True)
class SiteStatistics:
    """What was summed up of one site; None where it was not asked for. Axes are those of the site, without the token's."""

    rows: int
    """Tokens that were summed up."""
    mean: Float[Tensor, "..."] | None = None
    variance: Float[Tensor, "..."] | None = None
    """Of each unit; divided by the number of rows, as the covariance is."""
    covariance: Float[Tensor, "units units"] | None = None
    """Of all units; axes such as heads are flattened into one, the last fastest."""
    norm: NormStatistics | None = None
    top: TopExamples | None = None


@dataclass
class _Sums:
    """The running sums of one site."""

    shape: tuple[int, ...]
    moments: Moments | None = None
    norms: Norms | None = None
    top: Top | None = None

    @classmethod
    def empty(cls, values: Tensor, kinds: tuple[str, ...], k: int) -> _Sums:
        shape, device = tuple(values.shape[1:]), values.device
        units = prod(shape)
        sums = cls(shape)
        if "mean" in kinds or "covariance" in kinds:
            sums.moments = Moments.empty(units, full="covariance" in kinds, device=device)
        if "norm" in kinds:
            sums.norms = Norms.empty(prod(shape[:-1]), device)
        if "top" in kinds:
            sums.top = Top.empty(k, units, torch.promote_types(values.dtype, torch.float32), device)
        return sums

    def add(self, values: Tensor, labels: Mapping[str, Tensor]) -> None:
        flat = values.flatten(1) if values.ndim > 1 else values[:, None]
        if self.moments is not None:
            self.moments.add(flat)
        if self.norms is not None:
            self.norms.add(flat.reshape(len(flat), prod(self.shape[:-1]), -1))
        if self.top is not None:
            self.top.add(flat, labels)

    def state(self) -> dict[str, Tensor]:
        parts = {"moments": self.moments, "norms": self.norms, "top": self.top}
        found = {f"{part}.{name}": t for part, sums in parts.items() if sums for name, t in sums.state().items()}
        return {"shape": torch.tensor(self.shape, dtype=torch.int64), **found}

    @classmethod
    def of(cls, state: dict[str, Tensor], k: int, device: torch.device) -> _Sums:
        def part(name: str) -> dict[str, Tensor]:
            return {key.partition(".")[2]: t for key, t in state.items() if key.startswith(f"{name}.")}

        sums = cls(tuple(state["shape"].tolist()))
        if moments := part("moments"):
            sums.moments = Moments.of(moments, device)
        if norms := part("norms"):
            sums.norms = Norms.of(norms, device)
        if top := part("top"):
            sums.top = Top.of(k, top, device)
        return sums

    def result(self, rows: int) -> SiteStatistics:
        moments = self.moments
        return SiteStatistics(
            rows,
            mean=moments.mean.cpu().reshape(self.shape) if moments else None,
            variance=moments.variance.cpu().reshape(self.shape) if moments else None,
            covariance=moments.covariance.cpu() if moments and moments.covariance is not None else None,
            norm=self.norms.result(self.shape[:-1]) if self.norms else None,
            top=self.top.result(self.shape) if self.top else None,
        )


@dataclass
class Statistics:
    """The running sums of all sites that have some."""

    wanted: Mapping[Site, tuple[str, ...]]
    k: int
    device: torch.device
    """Where sums are made."""
    rows: int = 0
    sums: dict[str, _Sums] = field(default_factory=dict)

    def add(self, site: Site, values: Float[Tensor, "row ..."], labels: Mapping[str, Tensor]) -> None:
        """Take in further rows of a site, if anything is summed up there."""
        kinds = self.wanted.get(site)
        if kinds and len(values):
            values = values.to(self.device)
            sums = self.sums.get(str(site)) or _Sums.empty(values, kinds, self.k)
            sums.add(values, labels)
            self.sums[str(site)] = sums

    def state(self) -> dict[str, Tensor]:
        """All as tensors by name."""
        each = {f"{name}/{key}": t.cpu() for name, sums in self.sums.items() for key, t in sums.state().items()}
        return {"rows": torch.tensor(self.rows), **each}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        by_site: dict[str, dict[str, Tensor]] = {}
        for key, tensor in state.items():
            name, slash, inner = key.rpartition("/")
            if slash:
                by_site.setdefault(name, {})[inner] = tensor
        try:
            self.rows = int(state["rows"])
            self.sums = {name: _Sums.of(found, self.k, self.device) for name, found in by_site.items()}
        except KeyError as error:
            raise StorageError(f"the statistics on disk lack {error}: delete the folder and run again.") from None

    def results(self) -> dict[str, SiteStatistics]:
        """By site."""
        return {name: sums.result(self.rows) for name, sums in self.sums.items()}
