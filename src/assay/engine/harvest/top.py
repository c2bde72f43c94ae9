"""The examples that activate each unit most: the k largest values, with where in the corpus they are.

Memory: units × k values and as many labels. Of values that are exactly equal at the k-th place, any may be kept, but the
same ones whenever the same corpus is harvested in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

LABELS = ("tokens", "document", "position")


@dataclass(frozen=True)
class TopExamples:
    """The largest values of each unit, from the largest down: [k, …site's axes]; fewer than k if there are fewer rows."""

    values: Float[Tensor, "k ..."]
    tokens: Int[Tensor, "k ..."]
    document: Int[Tensor, "k ..."]
    position: Int[Tensor, "k ..."]


@dataclass
class Top:
    """The largest so far."""

    k: int
    values: Float[Tensor, "kept units"]
    tokens: Int[Tensor, "kept units"]
    document: Int[Tensor, "kept units"]
    position: Int[Tensor, "kept units"]

    @classmethod
    def empty(cls, k: int, units: int, dtype: torch.dtype, device: torch.device) -> Top:
        """Of no rows yet."""
        none = torch.zeros(0, units, dtype=torch.int64, device=device)
        return cls(k, torch.zeros(0, units, dtype=dtype, device=device), none, none, none)

    def add(self, values: Float[Tensor, "row units"], labels: Mapping[str, Int[Tensor, " row"]]) -> None:
        """Take in further rows, and the labels of each."""
        found, rows = values.topk(min(self.k, len(values)), dim=0)
        both = torch.cat([self.values, found.to(self.values.dtype)])
        order = both.argsort(dim=0, descending=True, stable=True)[: self.k]
        self.values = both.gather(0, order)
        for name in LABELS:
            new = labels[name].to(rows.device)[rows]
            setattr(self, name, torch.cat([getattr(self, name), new]).gather(0, order))

    def result(self, shape: tuple[int, ...]) -> TopExamples:
        """What there is so far; `shape` is that of a row."""
        whole = (self.values, self.tokens, self.document, self.position)
        return TopExamples(*(part.cpu().reshape(len(part), *shape) for part in whole))

    def state(self) -> dict[str, Tensor]:
        """As tensors."""
        return {"values": self.values, **{name: getattr(self, name) for name in LABELS}}

    @classmethod
    def of(cls, k: int, state: dict[str, Tensor], device: torch.device) -> Top:
        """What `state` gave."""
        return cls(k, *(state[name].to(device) for name in ("values", *LABELS)))
