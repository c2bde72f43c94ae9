"""Where in a site's tensor a variable might be: what training searches, and what it settles on.

Each space says what a place holds when a base takes a source's value of the variable:

    whole      everything                                      source
    rotated    a k-dimensional subspace (DAS)                  b + (s − b) Q Qᵀ                 Q orthonormal [d, k]
    bounded    the same with a learned width (boundless DAS)   b + (s − b) Q m Qᵀ               m falls off at the boundary
    masked     some coordinates (DBM), of the site's own       b + (s − b) B m Bᵀ               m = σ(w / T), B given
               basis or of another one, such as PCA's
    features   some features of a dictionary                   b + (f(s) − f(b)) m D            what it misses stays the base's

Q is the QR factor of a free matrix: its first j columns span what the first j columns of that matrix do, whatever the
others are, so that a boundary among them means something. m is soft while a space is searched, with a temperature T that
falls; settled, it is 0 or 1. Sources: Geiger et al. 2023, arXiv:2303.02536 (DAS); Wu et al. 2023, arXiv:2305.08809
(boundless DAS); Huang et al. 2024, arXiv:2402.17700, and Mueller et al. 2025, arXiv:2504.13151 (DBM).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.core.seeds import generator
from assay.engine.dictionary import FeatureBasis

Place = Float[Tensor, "example *any d"]


@dataclass(frozen=True)
class Settled:
    """What was found: an orthonormal basis, coordinates, features, or (none of them) everything."""

    basis: Float[Tensor, "d k"] | None = None
    dims: tuple[int, ...] | None = None
    features: tuple[int, ...] | None = None

    def random(self, d: int, *, seed: int) -> Settled | None:
        """Another one of the same width, at random; `d` is how many entries (or features) there are."""
        rng = generator(seed, "random")
        if self.basis is not None:
            return Settled(basis=torch.linalg.qr(torch.randn(self.basis.shape, generator=rng)).Q)
        if self.dims is not None:
            return Settled(dims=tuple(sorted(torch.randperm(d, generator=rng)[: len(self.dims)].tolist())))
        if self.features is not None:
            return Settled(features=tuple(sorted(torch.randperm(d, generator=rng)[: len(self.features)].tolist())))
        return None


class Space(Protocol):
    """A family of interventions with parameters."""

    annealed: bool
    """Whether it becomes hard over training: then the last state counts, not the best on the way."""

    def swap(self, base: Place, source: Place) -> Place:
        """The place's new value."""

    def anneal(self, share: float) -> None:
        """Training is this far: 0 to 1."""

    def penalty(self) -> Tensor:
        """What is added to the loss for width."""

    def parameters(self) -> list[nn.Parameter]:
        """What is trained; nothing where there is nothing to search."""

    def settled(self) -> Settled:
        """What the space stands for now, without softness."""


class _Fixed:
    """Nothing falls and nothing is penalised."""

    annealed = False

    def anneal(self, share: float) -> None:
        """No temperature."""

    def penalty(self) -> Tensor:
        """Nothing."""
        return torch.zeros(())


class Whole(_Fixed):
    """Everything at the place."""

    def swap(self, base: Place, source: Place) -> Place:
        """What the place holds with the source's value of the variable."""
        return source

    def parameters(self) -> list[nn.Parameter]:
        """Nothing to search."""
        return []

    def settled(self) -> Settled:
        """Everything."""
        return Settled()


class Subspace(_Fixed):
    """A subspace that is given: principal components, or a random one."""

    def __init__(self, basis: Float[Tensor, "d k"]) -> None:
        self.basis = basis

    def swap(self, base: Place, source: Place) -> Place:
        """What the place holds with the source's value of the variable."""
        return _swapped(base, source, self.basis)

    def parameters(self) -> list[nn.Parameter]:
        """Nothing to search."""
        return []

    def settled(self) -> Settled:
        """The subspace."""
        return Settled(basis=self.basis)


class Rotated(_Fixed):
    """A subspace of fixed width that is searched."""

    def __init__(self, d: int, rank: int, *, seed: int) -> None:
        start = torch.randn(d, rank, generator=generator(seed, "rotated"))
        self.free = nn.Parameter(torch.linalg.qr(start).Q)

    def swap(self, base: Place, source: Place) -> Place:
        """What the place holds with the source's value of the variable."""
        return _swapped(base, source, self._basis())

    def parameters(self) -> list[nn.Parameter]:
        """The free matrix."""
        return [self.free]

    def settled(self) -> Settled:
        """The subspace."""
        return Settled(basis=self._basis().detach())

    def _basis(self) -> Tensor:
        basis: Tensor = torch.linalg.qr(self.free).Q
        return basis


class Bounded:
    """A subspace whose width is searched too, up to `most`."""

    annealed = True

    def __init__(self, d: int, most: int, *, seed: int, cost: float, temperature: tuple[float, float]) -> None:
        start = torch.randn(d, most, generator=generator(seed, "bounded"))
        self.free = nn.Parameter(torch.linalg.qr(start).Q)
        self.boundary = nn.Parameter(torch.tensor(0.5))
        hottest = min(temperature[0], most / 2)  # hotter, the boundary is not felt at all
        self.cost, self.schedule, self.share = cost, (hottest, temperature[1]), 0.0
        self.temperature = hottest

    def swap(self, base: Place, source: Place) -> Place:
        """What the place holds with the source's value of the variable."""
        basis = torch.linalg.qr(self.free).Q
        mask = torch.sigmoid((self._width() - self._middles()) / self.temperature)
        return _swapped(base, source, basis, mask)

    def anneal(self, share: float) -> None:
        """The temperature falls by the same factor at every step."""
        self.temperature, self.share = _between(self.schedule, share), min(1.0, share)

    def penalty(self) -> Tensor:
        """In proportion to the width, more as it hardens: before, the loss has nothing to say against it."""
        return self.cost * self.share * self.boundary.clamp(0, 1)

    def parameters(self) -> list[nn.Parameter]:
        """The free matrix and the boundary."""
        return [self.free, self.boundary]

    def settled(self) -> Settled:
        """The columns inside the boundary; at least one."""
        width = max(1, int((self._middles() < self._width()).sum()))
        return Settled(basis=torch.linalg.qr(self.free.detach()).Q[:, :width])

    def _width(self) -> Tensor:
        return self.boundary.clamp(0, 1) * self.free.shape[1]

    def _middles(self) -> Tensor:
        return torch.arange(self.free.shape[1], device=self.free.device) + 0.5


class Masked:
    """Coordinates that are searched: of the site itself, or of a basis."""

    annealed = True

    def __init__(
        self, d: int, *, cost: float, temperature: tuple[float, float], basis: Float[Tensor, "d k"] | None = None
    ) -> None:
        self.basis = basis
        self.weights = nn.Parameter(torch.zeros(d if basis is None else basis.shape[1]))
        self.cost, self.schedule, self.temperature = cost, temperature, temperature[0]

    def swap(self, base: Place, source: Place) -> Place:
        """What the place holds with the source's value of the variable."""
        mask = torch.sigmoid(self.weights / self.temperature)
        if self.basis is None:
            return base + (source - base) * mask.to(base)
        return _swapped(base, source, self.basis, mask)

    def anneal(self, share: float) -> None:
        """The temperature falls by the same factor at every step."""
        self.temperature = _between(self.schedule, share)

    def penalty(self) -> Tensor:
        """In proportion to the share of coordinates that are in."""
        return self.cost * torch.sigmoid(self.weights / self.temperature).mean()

    def parameters(self) -> list[nn.Parameter]:
        """A weight for each coordinate."""
        return [self.weights]

    def settled(self) -> Settled:
        """The coordinates that are in."""
        inside = (self.weights.detach() > 0).nonzero()[:, 0]
        if self.basis is None:
            return Settled(dims=tuple(inside.tolist()))
        return Settled(basis=self.basis[:, inside])


class Features:
    """Features of a dictionary that are searched."""

    annealed = True

    def __init__(self, dictionary: FeatureBasis, *, cost: float, temperature: tuple[float, float]) -> None:
        self.dictionary = dictionary
        self.weights = nn.Parameter(torch.zeros(dictionary.decoder.shape[0]))
        self.cost, self.schedule, self.temperature = cost, temperature, temperature[0]

    def swap(self, base: Place, source: Place) -> Place:
        """What the place holds with the source's value of the variable."""
        mask = torch.sigmoid(self.weights / self.temperature).to(base)
        change = (self.dictionary.encode(source) - self.dictionary.encode(base)) * mask
        return base + change @ self.dictionary.decoder.to(base)

    def anneal(self, share: float) -> None:
        """The temperature falls by the same factor at every step."""
        self.temperature = _between(self.schedule, share)

    def penalty(self) -> Tensor:
        """In proportion to the share of features that are in."""
        return self.cost * torch.sigmoid(self.weights / self.temperature).mean()

    def parameters(self) -> list[nn.Parameter]:
        """A weight for each feature."""
        return [self.weights]

    def settled(self) -> Settled:
        """The features that are in."""
        return Settled(features=tuple((self.weights.detach() > 0).nonzero()[:, 0].tolist()))


def _swapped(base: Place, source: Place, basis: Tensor, mask: Tensor | None = None) -> Place:
    basis = basis.to(base)
    inside = (source - base) @ basis
    return base + (inside if mask is None else inside * mask.to(base)) @ basis.T


def _between(ends: tuple[float, float], share: float) -> float:
    start, stop = ends
    return float(start * (stop / start) ** min(1.0, share))
