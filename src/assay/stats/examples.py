"""Checked arrays of one number per example, and sums and means over clusters of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from assay.core.errors import DataError


def numbers_of(values: ArrayLike) -> Float[np.ndarray, " example"]:
    """One finite number for each example.

    Raises:
        DataError: another shape, no examples, or values that are not numbers.
    """
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or not len(numbers):
        raise DataError(f"One value per example is wanted, not an array of shape {numbers.shape}.")
    if not np.isfinite(numbers).all():
        bad = int((~np.isfinite(numbers)).sum())
        raise DataError(f"{bad} of {len(numbers)} values are NaN or infinite: drop or mend those examples.")
    return numbers


def paired_numbers(
    first: ArrayLike, second: ArrayLike
) -> tuple[Float[np.ndarray, " example"], Float[np.ndarray, " example"]]:
    """Two values of each example.

    Raises:
        DataError: the two have different lengths.
    """
    a, b = numbers_of(first), numbers_of(second)
    if a.shape != b.shape:
        raise DataError(f"What is paired needs the same examples twice: {len(a)} values against {len(b)}.")
    return a, b


def cluster_indices(clusters: Sequence[object], n: int) -> Int[np.ndarray, " example"]:
    """The number of each example's cluster, from 0 in order of appearance.

    Raises:
        DataError: not one label for each example.
    """
    if len(clusters) != n:
        raise DataError(f"{len(clusters)} cluster labels for {n} examples: give one for each example.")
    seen: dict[object, int] = {}
    return np.array([seen.setdefault(label, len(seen)) for label in clusters])


def cluster_sums(
    values: Float[np.ndarray, " example"], clusters: Sequence[object] | None
) -> tuple[Float[np.ndarray, " cluster"], Float[np.ndarray, " cluster"]]:
    """The sum and the size of each cluster; without clusters, each example is one."""
    if clusters is None:
        return values, np.ones(len(values))
    index = cluster_indices(clusters, len(values))
    return np.bincount(index, weights=values), np.bincount(index).astype(float)


def cluster_means(values: Float[np.ndarray, " example"], clusters: Sequence[object]) -> Float[np.ndarray, " cluster"]:
    """The mean of each cluster."""
    sums, sizes = cluster_sums(values, clusters)
    return np.asarray(sums / sizes)
