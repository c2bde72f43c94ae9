"""Linear classifiers of vectors, as directions: logistic regression, difference of means, linear discriminants.

    logistic           softmax regression with a ridge penalty, on values scaled to a mean square of 1; readings are log odds
    mean_difference    from the mean of one label to that of the other; readings are −1 and 1 at the means
    lda                the same through the inverse of the covariance within labels, shrunk as far as Ledoit and Wolf 2004
                       find best; readings are log odds if that covariance is right

With more than two labels each has a direction of its own, from the mean of all (`lda`, `mean_difference`), or its row of the
softmax. All of them are found within the span of the examples, so wide sites cost no more than narrow ones: n³ for n examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

Kind = Literal["logistic", "mean_difference", "lda"]
Rows = Float[np.ndarray, "example d"]
Labels = Int[np.ndarray, " example"]


@dataclass(frozen=True, eq=False)
class Fit:
    """Directions with readings: one where two labels are told apart, else one for each."""

    vectors: Float[np.ndarray, "k d"]
    origins: Float[np.ndarray, "k d"]
    scales: Float[np.ndarray, " k"]

    def read(self, values: Rows) -> Float[np.ndarray, "k example"]:
        """The readings of each row."""
        along = np.stack(
            [(values - origin) @ vector for vector, origin in zip(self.vectors, self.origins, strict=True)]
        )
        return np.asarray(along / self.scales[:, None])

    def guess(self, values: Rows) -> Labels:
        """The label of each row: by the sign of the one reading, or by the highest."""
        found = self.read(values)
        return np.asarray((found[0] > 0).astype(int) if len(found) == 1 else found.argmax(axis=0))


def fit(kind: Kind, values: Rows, y: Labels, *, labels: int, strength: float = 1.0) -> Fit:
    """Directions that tell the labels apart; `strength` is the ridge penalty of `logistic`.

    Cost: n³ for n examples and n² d once; `logistic` some hundred steps of n² more.
    """
    centre = values.mean(axis=0)
    left, sizes, basis = np.linalg.svd(values - centre, full_matrices=False)
    kept = sizes > max(values.shape) * np.finfo(float).eps * max(1e-12, float(sizes[0]))
    inside, basis = left[:, kept] * sizes[kept], basis[kept]  # the examples within their span, around their mean
    if not inside.shape[1]:  # all the same: nothing can be told apart, and a direction of length 0 says so
        return _finish(np.zeros((1 if labels == 2 else labels, 0)), None, np.zeros(0), basis=basis, centre=centre)
    if kind == "logistic":
        weights, offsets = _logistic(inside, y, labels, strength)
        return _finish(weights, offsets, np.ones(len(weights)), basis=basis, centre=centre)
    means = np.stack([inside[y == each].mean(axis=0) for each in range(labels)])
    steps, middles = (means[1:] - means[:1], means.mean(axis=0)[None]) if labels == 2 else (means, means / 2)
    if kind == "lda":
        within = _shrunk(inside - means[y], values.shape[1])
        weights, scales = np.linalg.solve(within, steps.T).T, np.ones(len(steps))
    else:
        weights, scales = steps, np.maximum((steps**2).sum(axis=1) / 2, 1e-300)
    offsets = -(weights * middles).sum(axis=1)
    return _finish(weights, offsets, scales, basis=basis, centre=centre)


def _finish(
    weights: Float[np.ndarray, "k r"],
    offsets: Float[np.ndarray, " k"] | None,
    scales: Float[np.ndarray, " k"],
    *,
    basis: Float[np.ndarray, "r d"],
    centre: Float[np.ndarray, " d"],
) -> Fit:
    """Back to the site's own coordinates: the origin is the point nearest to the mean whose reading is 0."""
    vectors = weights @ basis
    if offsets is None:
        return Fit(vectors, np.tile(centre, (len(vectors), 1)), np.ones(len(vectors)))
    length = np.maximum((weights**2).sum(axis=1), 1e-300)
    return Fit(vectors, centre - (offsets / length)[:, None] * vectors, scales)


def _logistic(inside: Rows, y: Labels, labels: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    scale = np.sqrt((inside**2).sum(axis=1).mean())
    x, target = inside / scale, np.eye(labels)[y]
    shape = (labels, x.shape[1] + 1)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        scores = x @ weights[:, :-1].T + weights[:, -1]
        apart = softmax(scores, axis=1) - target
        slope = np.concatenate([apart.T @ x + strength * weights[:, :-1], apart.sum(axis=0)[:, None]], axis=1)
        value = -(log_softmax(scores, axis=1) * target).sum() + strength / 2 * (weights[:, :-1] ** 2).sum()
        return float(value), slope.ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    weights = found.reshape(shape)
    if labels == 2:
        weights = weights[1:] - weights[:1]
    return weights[:, :-1] / scale, weights[:, -1]


def _shrunk(within: Rows, width: int) -> Float[np.ndarray, "r r"]:
    """The covariance within labels, shrunk to a multiple of the identity (Ledoit and Wolf 2004, J. Multivariate Anal.)."""
    n = len(within)
    covariance = within.T @ within / n
    level = np.trace(covariance) / width
    distance = (covariance**2).sum() - 2 * level * np.trace(covariance) + level**2 * width
    noise = ((within**2).sum(axis=1) ** 2).sum() / n**2 - (covariance**2).sum() / n
    share = 1.0 if distance <= 0 else float(np.clip(noise / distance, 0.0, 1.0))
    floor = max(level, 1e-300)
    return np.asarray((1 - share) * covariance + (share * level + 1e-9 * floor) * np.eye(len(covariance)))
