"""Every value of statistics becomes plain JSON and comes back equal."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from assay.core.codec import canonical
from assay.core.errors import DataError
from assay.stats import (
    Estimate,
    TestResult,
    Value,
    bootstrap,
    jzs,
    needed_n,
    normal_differences,
    read_value,
    seed_effect,
    t_decision,
    tost,
)

VALUES = np.array([0.1, -0.2, 0.3, 0.15, 0.0])
EACH: list[Value] = [
    bootstrap(VALUES),
    bootstrap(np.array([0.5])),  # an interval without ends
    Estimate(math.nan, math.nan, math.nan, 3, "nothing", 0.9, 2),
    TestResult(0.04, math.inf, 5, "t"),
    tost(VALUES, margin=(-1.0, 0.5)),
    jzs(VALUES),
    needed_n(normal_differences(1.5), t_decision(), start=4, simulations=50),
    seed_effect(np.arange(6.0).reshape(2, 3) ** 2),
    seed_effect([[1.0, 2.0, 4.0], [2.0, 2.5, 7.0]], examples="own"),
]


@pytest.mark.parametrize("value", EACH, ids=lambda value: type(value).__name__)
def test_there_and_back(value: Value) -> None:
    text = canonical(value.to_json())  # refuses what JSON has no form for
    again = read_value(json.loads(text))
    assert repr(again) == repr(value)  # equal but for NaN, which equals nothing
    assert type(value).from_json(json.loads(text)).to_json() == value.to_json()
    assert str(again) == str(value)


def test_other_data_are_refused() -> None:
    data = bootstrap(VALUES).to_json()
    with pytest.raises(DataError, match="are of kind Estimate, not TestResult"):
        TestResult.from_json(data)
    with pytest.raises(DataError, match=r"no statistic of kind 'Estimat'\. Nearest: Estimate"):
        read_value(data | {"kind": "Estimat"})
    with pytest.raises(DataError, match="kind Estimate has the fields"):
        read_value({"kind": "Estimate", "value": 1.0})
