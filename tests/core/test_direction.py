"""Directions: what they read, and that files hold all of it."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest

from assay.core.direction import Directions
from assay.core.errors import DataError

RNG = np.random.default_rng(0)


def some(n: int = 3, d: int = 4, *, measured: bool = True) -> Directions:
    sites = tuple(f"L{i}.resid_post" for i in range(n))
    rows = RNG.integers(0, 2, (n, 6)).astype(float) if measured else None
    return Directions(
        sites, sites, RNG.normal(size=(n, d)), "share right", RNG.normal(size=(n, d)), RNG.uniform(1, 2, n),
        RNG.normal(size=n), "end", ("False", "True"), rows, ("a fact",),
    )  # fmt: skip


def same(one: Directions, other: Directions) -> bool:
    return all(np.array_equal(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))


@pytest.mark.parametrize("measured", [True, False])
def test_files_hold_all_of_it(measured: bool) -> None:
    found = some(measured=measured)
    assert same(found, Directions.from_json(json.loads(json.dumps(found.to_json()))))
    assert same(found, Directions.from_dataset(found.to_dataset()))


def test_a_step_raises_the_reading_by_one() -> None:
    one = some()["L1.resid_post"]
    rows = RNG.normal(size=(5, 4))
    np.testing.assert_allclose(one.read(rows + one.step), one.read(rows) + 1, rtol=1e-12)
    assert np.linalg.norm(one.unit) == pytest.approx(1) and one.read(one.origin) == 0
    sideways = rows + (np.eye(4) - np.outer(one.unit, one.unit))[0]
    np.testing.assert_allclose(one.read(sideways), one.read(rows), atol=1e-12)


def test_parts_keep_what_belongs_to_them() -> None:
    found = some()
    part = found.take(["L2.resid_post", "L0.resid_post"])
    assert part.layers == (2, 0) and part.per_example is not None and found.per_example is not None
    np.testing.assert_array_equal(part.per_example, found.per_example[[2, 0]])
    np.testing.assert_array_equal(part["L0.resid_post"].vector, found["L0.resid_post"].vector)
    other = found.with_vector(-found.vector)
    np.testing.assert_array_equal(other.vectors, -found.vectors)
    assert other.per_example is None and other.origins is found.origins
    assert found.best().name == found.names[int(found.per_example.mean(1).argmax())]


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(DataError, match=r"no direction 'L1.resid_pots'.*L1.resid_post"):
        some()["L1.resid_pots"]
    with pytest.raises(DataError, match="not finite"):
        Directions.of({"L0.resid_post": [1.0, np.nan]}, quantity="q")
    with pytest.raises(DataError, match="Nothing was measured"):
        some(measured=False).best()
    with pytest.raises(DataError, match="upgrade assay"):
        Directions.from_json(some().to_json() | {"format": 9})
    with pytest.raises(DataError, match="a vector and an origin each"):
        Directions.of({"L0.resid_post": [1.0, 2.0]}, quantity="q", origins={"L0.resid_post": [1.0]})
