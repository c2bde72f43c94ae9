"""How long activations are: moments, extremes and a histogram of their norms, from which quantiles are read.

The norm is over a site's last axis; axes before it (heads) are kept apart. Bins are of equal width in the logarithm, 32
to each doubling, from 2⁻³² to 2³²; so a quantile is known within 1.1 %, and two histograms add up exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.errors import SettingsError
from assay.engine.harvest.moments import Moments

PER_DOUBLING = 32
LOWEST, HIGHEST = -32, 32
BINS = (HIGHEST - LOWEST) * PER_DOUBLING
"""The first bin also holds what is shorter, zeros too; the last what is longer."""


@dataclass(frozen=True)
class NormStatistics:
    """Norms over a site's last axis; each tensor has the site's other axes (a number, where there are none)."""

    mean: Float[Tensor, "..."]
    std: Float[Tensor, "..."]
    least: Float[Tensor, "..."]
    most: Float[Tensor, "..."]
    histogram: Int[Tensor, "... bins"]

    @property
    def edges(self) -> Float[Tensor, " edges"]:
        """The bins' bounds, one more than there are bins."""
        return 2.0 ** (torch.arange(BINS + 1, dtype=torch.float64) / PER_DOUBLING + LOWEST)

    def quantile(self, q: float) -> Float[Tensor, "..."]:
        """The norm below which a share `q` of the rows lies, within 1.1 % (`q` 0 and 1 are exact)."""
        if not 0 <= q <= 1:
            raise SettingsError(f"the quantile {q} makes no sense: expected a share from 0 to 1.")
        counts = self.histogram.cumsum(-1)
        rank = (q * (counts[..., -1:] - 1)).floor()
        bins = (counts <= rank).sum(-1)
        middle = 2.0 ** ((bins.double() + 0.5) / PER_DOUBLING + LOWEST)
        return self.least if q == 0 else self.most if q == 1 else middle.clamp(self.least, self.most)


@dataclass
class Norms:
    """Norms so far, of each of `groups` (heads, or one)."""

    moments: Moments
    least: Float[Tensor, " groups"]
    most: Float[Tensor, " groups"]
    histogram: Int[Tensor, "groups bins"]

    @classmethod
    def empty(cls, groups: int, device: torch.device) -> Norms:
        """Of no rows yet."""
        bound = torch.full((groups,), torch.inf, dtype=torch.float64, device=device)
        histogram = torch.zeros(groups, BINS, dtype=torch.int64, device=device)
        return cls(Moments.empty(groups, full=False, device=device), bound, -bound, histogram)

    def add(self, values: Float[Tensor, "row groups last"]) -> None:
        """Take in further rows."""
        norms = torch.linalg.vector_norm(values, dim=-1, dtype=torch.float64)
        self.moments.add(norms)
        self.least = torch.minimum(self.least, norms.amin(0))
        self.most = torch.maximum(self.most, norms.amax(0))
        bins = ((norms.log2() - LOWEST) * PER_DOUBLING).floor().nan_to_num(nan=BINS).clamp(0, BINS - 1).long()
        bins += torch.arange(bins.shape[1], device=bins.device) * BINS
        self.histogram += bins.flatten().bincount(minlength=self.histogram.numel()).view_as(self.histogram)

    def result(self, shape: tuple[int, ...]) -> NormStatistics:
        """What there is so far; `shape` is that of the site's axes before the last."""
        numbers = (self.moments.mean, self.moments.variance.sqrt(), self.least, self.most)
        mean, std, least, most = (number.cpu().reshape(shape) for number in numbers)
        return NormStatistics(mean, std, least, most, self.histogram.cpu().reshape(*shape, BINS))

    def state(self) -> dict[str, Tensor]:
        """As tensors."""
        return {**self.moments.state(), "least": self.least, "most": self.most, "histogram": self.histogram}

    @classmethod
    def of(cls, state: dict[str, Tensor], device: torch.device) -> Norms:
        """What `state` gave."""
        rest = (state[name].to(device) for name in ("least", "most", "histogram"))
        return cls(Moments.of(state, device), *rest)
