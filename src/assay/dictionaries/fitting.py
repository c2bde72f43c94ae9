"""Fitting a sparse autoencoder to a stream of activations: Adam, a warm-up, dead features counted and revived.

Activations are multiplied by one factor that makes their mean norm √d, so that one learning rate and one penalty suit all
sites; the dictionary that comes out reads activations as they are (see `Autoencoder.basis`), and the factor is recorded.

Cost: for each token and pass, 4 · d · features multiplications with `topk`, 12 · d · features with `relu`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.errors import DataError
from assay.core.progress import report
from assay.core.seeds import child_seed
from assay.dictionaries.activations import Activations
from assay.dictionaries.autoencoder import Autoencoder
from assay.dictionaries.recipe import Recipe
from assay.engine.dictionary import FeatureBasis

BETAS = (0.9, 0.999)
LARGEST_GRADIENT = 1.0
WARM_UP, COOL_DOWN = 0.05, 0.2
"""Shares of all steps over which the learning rate rises and falls."""
POINTS = 100
"""Points of the learning curve."""
MEDIAN_STEPS = 50


@dataclass(frozen=True)
class Fitted:
    """What training gave."""

    basis: FeatureBasis
    scale: float
    tokens: Int[Tensor, " point"]
    """Tokens seen at each point of the learning curve."""
    unexplained: Float[Tensor, " point"]
    """Share of the variance that was not explained on the last batches before it."""
    dead: Int[Tensor, " point"]
    """How many features were dead then."""


def fit(activations: Activations, recipe: Recipe, *, seed: int = 0) -> Fitted:
    """Train a dictionary on activations. `seed`: of the first weights, and of the order of tokens.

    Raises:
        DataError: they are all the same, or hold what is not a number.
    """
    some = activations.sample(seed=seed)
    scale = _scale(some, activations.site)
    start = geometric_median(some) if recipe.centre == "median" else some.mean(0)
    weights = Autoencoder.start(recipe, start * scale, seed=seed)
    training = _Training(weights, recipe, max(1, activations.rows // recipe.batch))
    for epoch in range(recipe.epochs):
        for batch in activations.batches(recipe.batch, seed=child_seed(seed, "epoch", str(epoch))):
            training.step(batch * scale)
    tokens, unexplained, dead = zip(*training.curve(), strict=True)
    return Fitted(weights.basis(scale), scale, torch.tensor(tokens), torch.tensor(unexplained), torch.tensor(dead))


def geometric_median(rows: Float[Tensor, "token d"]) -> Float[Tensor, " d"]:
    """The point with the smallest sum of distances to all rows (Weiszfeld's iteration): one outlier hardly moves it."""
    centre = rows.mean(0)
    for _ in range(MEDIAN_STEPS):
        weights = 1 / (rows - centre).norm(dim=-1).clamp_min(1e-8)
        new: Tensor = (weights[:, None] * rows).sum(0) / weights.sum()
        if (new - centre).norm() <= 1e-6 * centre.norm():
            return new
        centre = new
    return centre


class _Training:
    """The state of training: weights, optimiser, when each feature last fired, the learning curve."""

    def __init__(self, weights: Autoencoder, recipe: Recipe, steps_of_an_epoch: int) -> None:
        self.weights, self.recipe = weights, recipe
        self.steps = recipe.epochs * steps_of_an_epoch
        self.done = self.seen = 0
        self.silent = torch.zeros(recipe.features, dtype=torch.int64)
        self.adam = torch.optim.Adam(weights.weights, lr=recipe.rate, betas=BETAS)
        self.log: list[tuple[int, float, float, int]] = []

    def step(self, x: Float[Tensor, "token d"]) -> None:
        """One batch."""
        dead = self.silent >= self.recipe.dead_after
        loss, missed, fired = self.weights.loss(x, dead)
        for group in self.adam.param_groups:
            group["lr"] = self.recipe.rate * self._schedule()
        self.adam.zero_grad()
        loss.backward()
        self.weights.keep_rows_on_the_sphere()
        torch.nn.utils.clip_grad_norm_(self.weights.weights, LARGEST_GRADIENT)
        self.adam.step()
        self.weights.renormalise()
        self.done, self.seen = self.done + 1, self.seen + len(x)
        self.silent = torch.where(fired, 0, self.silent + len(x))
        spread = float((x - x.mean(0)).pow(2).sum())
        self.log.append((self.seen, float(missed.pow(2).sum()), spread, int(dead.sum())))
        report(self.done, max(self.steps, self.done))

    def curve(self) -> Iterator[tuple[int, float, int]]:
        """Tokens seen, share of the variance not explained, and dead features: at most POINTS points."""
        each = math.ceil(len(self.log) / POINTS)
        for start in range(0, len(self.log), each):
            part = self.log[start : start + each]
            missed, spread = sum(row[1] for row in part), sum(row[2] for row in part)
            yield part[-1][0], missed / spread if spread else math.nan, part[-1][3]

    def _schedule(self) -> float:
        at = self.done / max(1, self.steps)
        return min(1.0, (at + 1 / max(1, self.steps)) / WARM_UP, max(0.0, (1 - at) / COOL_DOWN))


def _scale(rows: Float[Tensor, "token d"], site: str) -> float:
    """The factor that makes the mean norm √d."""
    if not torch.isfinite(rows).all():
        raise DataError(f"Activations of {site or 'this site'} are not all finite: leave out what makes them so.")
    norm = float(rows.norm(dim=-1).mean())
    if norm == 0:
        raise DataError(f"Activations of {site or 'this site'} are all zero: there is nothing to learn.")
    return math.sqrt(rows.shape[1]) / norm
