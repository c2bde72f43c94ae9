"""Results remember the call that made them, and keep no model in memory."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import weakref
from typing import Annotated, Any

import numpy as np
import pytest

from assay.core import calls, registry
from assay.core.calls import recall
from assay.core.errors import SettingsError
from assay.core.protocols import Scores


class Net:
    """A model that can be held weakly."""

    def __init__(self, value: float) -> None:
        self.value = value


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(registry, "_REGISTRY", {})
    monkeypatch.setattr(registry, "entry_points", lambda group: [])

    @registry.method(gives=Scores, cites="doi:1", cost="none", assumes="nothing", fails_when="never", claim="monitor")
    def measure(model: Net, data: list[float], *, times: Annotated[float, "a factor"] = 1.0) -> Scores:
        """Measure."""
        return Scores.of({"L0.mlp": times * model.value * sum(data), "L1.mlp": 0.0}, "size")

    return measure


def test_a_method_can_be_run_again_with_something_changed(measure: Any) -> None:
    model = Net(2.0)
    call = recall(measure(model, [1.0, 2.0], times=3.0))
    assert call is not None and call.name == "measure" and call.model is model and call.seconds >= 0
    assert call.again()["L0.mlp"] == 18
    assert call.again(model=Net(1.0))["L0.mlp"] == 9
    assert call.again(data=[1.0])["L0.mlp"] == 6
    assert call.again(times=1.0)["L0.mlp"] == 6


def test_however_it_is_called(measure: Any) -> None:
    model = Net(2.0)
    for value in (
        measure(data=[1.0], model=model, times=2.0),
        registry.find("measure").run(model, [1.0], {"times": 2.0}),
    ):
        call = recall(value)
        assert call is not None and call.model is model and call.data == [1.0] and call.given == {"times": 2.0}


def test_the_function_looks_as_before(measure: Any) -> None:
    assert list(inspect.signature(measure).parameters) == ["model", "data", "times"]
    assert (measure.__name__, measure.__doc__) == ("measure", "Measure.")
    assert registry.find("measure").function is measure
    assert registry.find("measure").card.claim == "monitor"
    with pytest.raises(TypeError, match="unexpected keyword"):
        measure(Net(1.0), [1.0], tims=1.0)


def test_a_result_keeps_no_model_in_memory(measure: Any) -> None:
    model = Net(2.0)
    value = measure(model, [1.0])
    seen = weakref.ref(model)
    del model
    gc.collect()
    assert seen() is None
    call = recall(value)
    assert call is not None
    with pytest.raises(SettingsError, match="The model that measure was called with is gone"):
        call.again()
    assert call.again(model=Net(5.0))["L0.mlp"] == 5


def test_copies_and_files_forget_but_are_equal(measure: Any) -> None:
    value = measure(Net(2.0), [1.0])
    for other in (copy.deepcopy(value), pickle.loads(pickle.dumps(value)), Scores.from_json(value.to_json())):
        assert recall(other) is None
        assert other.to_json() == value.to_json()


def test_a_part_remembers(measure: Any) -> None:
    value = measure(Net(2.0), [1.0])
    assert recall(value.only(r"L0\..*")) is recall(value)
    assert recall(Scores.of({"L0.mlp": 1.0}, "size")) is None


def test_without_an_installed_comparison_the_error_says_what_to_do(
    measure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "entry_points", lambda group: [])
    with pytest.raises(SettingsError, match="install assay again"):
        Scores.of({"L0.mlp": np.pi}, "size").against("random")
