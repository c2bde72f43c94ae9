"""Mean, variance and covariance on the fly, in double precision.

Rows come in blocks; each block is centred on its own mean, and the sums of squares are put together by Chan's update:

    S ← S + S_block + δ δᵀ · n m / (n + m)          δ: difference of the two means; n, m: rows so far, rows of the block

So nothing cancels, however large the mean is beside the spread (a sum of squares less the squared mean would lose all
digits where a stream has an attention sink). Cost: `units` operations a row, with the covariance `units²`; memory the
same. Source: Chan, Golub & LeVeque 1983.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 512
"""Rows that are turned into double precision at once: few enough to stay in the processor's cache."""


@dataclass
class Moments:
    """Number of rows, mean, and summed squares of deviations: [units], or [units, units] for a covariance."""

    count: int
    mean: Float[Tensor, " units"]
    squares: Float[Tensor, "..."]

    @classmethod
    def empty(cls, units: int, *, full: bool, device: torch.device) -> Moments:
        """Of no rows yet."""
        zeros = torch.zeros(units, dtype=torch.float64, device=device)
        return cls(0, zeros, torch.zeros(units, units, dtype=torch.float64, device=device) if full else zeros.clone())

    def add(self, values: Float[Tensor, "row units"]) -> None:
        """Take in further rows."""
        for block in values.split(BLOCK):
            wide = block.double()
            mean = wide.mean(0)
            self._join(len(wide), mean, self._squares(wide.sub_(mean) if wide is not block else wide - mean))

    def _squares(self, centred: Tensor) -> Tensor:
        return centred.T @ centred if self.squares.ndim == 2 else (centred * centred).sum(0)

    def _join(self, rows: int, mean: Tensor, squares: Tensor) -> None:
        total = self.count + rows
        difference = mean - self.mean
        share = self.count * rows / total
        between = difference.outer(difference) if self.squares.ndim == 2 else difference.square()
        self.mean = self.mean + difference * (rows / total)
        self.squares = self.squares + squares + between * share
        self.count = total

    @property
    def variance(self) -> Float[Tensor, " units"]:
        """Mean squared deviation of each unit; the sum is divided by the number of rows."""
        return (self.squares.diagonal() if self.squares.ndim == 2 else self.squares) / self.count

    @property
    def covariance(self) -> Float[Tensor, "units units"] | None:
        """Divided by the number of rows; None where only variances were summed up."""
        return self.squares / self.count if self.squares.ndim == 2 else None

    def state(self) -> dict[str, Tensor]:
        """As tensors."""
        return {"count": torch.tensor(self.count), "mean": self.mean, "squares": self.squares}

    @classmethod
    def of(cls, state: dict[str, Tensor], device: torch.device) -> Moments:
        """What `state` gave."""
        return cls(int(state["count"]), state["mean"].to(device), state["squares"].to(device))
