"""Controls of a direction: a random one, noise of the same norm, the wrong sign.

The functions take and give arrays whose last axis is the direction's. `.against` runs a method again with each vector that
it was handed replaced: an earlier result with a `vector` and a `with_vector`. A single vector has one row, so noise and a
random direction are then the same kind of thing; they differ where a method adds another vector to each example or position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Float

from assay.core.calls import Call
from assay.core.errors import SettingsError
from assay.core.seeds import child_seed
from assay.stats.controls.control import Asking, Measure, control

Rows = Float[np.ndarray, "*rows d"]


@runtime_checkable
class HasVector(Protocol):
    """What a method is handed that holds a direction: a steering vector, a probe, a dictionary's feature."""

    @property
    def vector(self) -> Any:
        """The vector, or rows of them: an array or a tensor."""
        ...

    def with_vector(self, vector: Any) -> Self:
        """The same with another vector."""
        ...


def random_direction(like: Rows, *, seed: int) -> Rows:
    """One random direction for all rows, uniform on the sphere, scaled to each row's norm."""
    values = np.asarray(like, dtype=float)
    drawn = np.random.default_rng(child_seed(seed, "random direction")).normal(size=values.shape[-1])
    return np.asarray(_norms(values) * drawn / np.linalg.norm(drawn))


def matched_noise(like: Rows, *, seed: int) -> Rows:
    """Another random direction for each row, of that row's norm."""
    values = np.asarray(like, dtype=float)
    drawn = np.random.default_rng(child_seed(seed, "noise")).normal(size=values.shape)
    return np.asarray(_norms(values) * drawn / _norms(drawn))


def wrong_sign(like: Rows) -> Rows:
    """The opposite direction."""
    return -np.asarray(like, dtype=float)


def directions_in(call: Call) -> dict[str, HasVector]:
    """The vectors that a method was handed, by parameter."""
    return {name: each for name, each in call.given.items() if isinstance(each, HasVector)}


@control("random_direction", "a random direction of the same norm", reruns=True)
def random_direction_again(asking: Asking, seed: int) -> Measure:
    """The method with a random direction."""
    return _replaced(asking, lambda vector: random_direction(vector, seed=seed))


@control("matched_norm", "noise of the same norm", reruns=True)
def matched_norm(asking: Asking, seed: int) -> Measure:
    """The method with noise in the direction's place."""
    return _replaced(asking, lambda vector: matched_noise(vector, seed=seed))


@control("wrong_sign", "the opposite direction", reruns=True, varies=False)
def wrong_sign_again(asking: Asking, seed: int) -> Measure:
    """The method with the direction turned round."""
    return _replaced(asking, wrong_sign)


def with_changed(asking: Asking, change: Callable[[np.ndarray], np.ndarray]) -> dict[str, HasVector]:
    """The vectors that the method was handed, each changed, in the array or tensor type that they had.

    Raises:
        SettingsError: it was handed none.
    """
    found = directions_in(asking.needed_call())
    if not found:
        raise SettingsError(f"{asking.needed_call().name} was handed no direction")
    return {name: each.with_vector(_as_before(each.vector, change)) for name, each in found.items()}


def _replaced(asking: Asking, change: Callable[[np.ndarray], np.ndarray]) -> Measure:
    return asking.again(**with_changed(asking, change))


def _as_before(vector: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    if isinstance(vector, np.ndarray):
        return change(vector).astype(vector.dtype)
    new = change(vector.detach().cpu().double().numpy())
    return vector.new_tensor(new)


def _norms(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(values, axis=-1, keepdims=True))
