"""Causal models: what they compute, interchanges, the round trip, and models that contradict themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.circuits.abstraction.equality import CAUSAL

from assay.circuits.abstraction import CausalModel
from assay.core.errors import AssayError, DataError, StorageError

CITIES = CausalModel(
    inputs={"city": ["Paris", "Rome", "Lima"], "ask": ["country", "continent"]},
    tables={
        "country_of": {"Paris": "France", "Rome": "Italy", "Lima": "Peru"},
        "continent_of": {"France": "Europe", "Italy": "Europe", "Peru": "America"},
    },
    variables={
        "answer": "country if ask == 'country' else continent",
        "continent": "continent_of[country]",
        "country": "country_of[city]",
    },
    output="answer",
)
objects = st.fixed_dictionaries(dict.fromkeys("abcd", st.integers(0, 63)))


def test_variables_are_computed_after_their_parents_whatever_order_they_are_written_in() -> None:
    assert CITIES.order == ("country", "continent", "answer")
    assert CITIES.parents("answer") == ("country", "ask", "continent") and CITIES.parents("city") == ()
    assert CITIES.run({"city": "Lima", "ask": "continent"})["answer"] == "America"


def test_an_interchange_reaches_what_depends_on_the_variable_and_nothing_else() -> None:
    base, source = {"city": "Rome", "ask": "continent"}, {"city": "Lima", "ask": "country"}
    changed = CITIES.interchange(base, {"continent": source})
    assert (changed["country"], changed["continent"], changed["answer"]) == ("Italy", "America", "America")
    assert CITIES.interchange(base, {"country": source})["answer"] == "America"


@given(objects, objects)
@settings(max_examples=50)
def test_interchanges_with_oneself_change_nothing_and_of_all_inputs_everything(base: Any, source: Any) -> None:
    assert CAUSAL.interchange(base, {"left": base, "right": base}) == CAUSAL.run(base)
    assert CAUSAL.interchange(base, dict.fromkeys("abcd", source)) == CAUSAL.run(source)


@given(objects, objects, objects)
@settings(max_examples=50)
def test_several_sources_at_once(base: Any, one: Any, two: Any) -> None:
    wanted = (one["a"] == one["b"]) == (two["c"] == two["d"])
    assert CAUSAL.interchange(base, {"left": one, "right": two})["same"] is wanted


def test_the_round_trip_keeps_types_and_the_hash(tmp_path: Path) -> None:
    model = CausalModel(
        inputs={"n": [1, 2.5, True, "1", (1, 2)]}, variables={"x": "table[n]"},
        tables={"table": {1: "one", 2.5: "half", "1": "text", (1, 2): (3, "pair")}}, output="x",
    )  # fmt: skip
    again = CausalModel.load(model.save(tmp_path / "model.json"))
    assert again == model and again.hash == model.hash
    assert [type(value) for value in again.inputs["n"]] == [int, float, bool, str, tuple]
    assert again.run({"n": (1, 2)})["x"] == (3, "pair")
    assert CausalModel.from_json(CITIES.to_json()) == CITIES and CITIES.hash != model.hash


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"variables": {"x": "y", "y": "z", "z": "x"}, "output": "x"}, "cycle: x ← y ← z ← x"),
        ({"variables": {"x": "x"}, "output": "x"}, "cycle: x ← x"),
        ({"variables": {"x": "nn + 1"}, "output": "x"}, "uses 'nn', which is not there. Nearest: n"),
        ({"variables": {"x": "n"}, "output": "y"}, "output 'y' is not a variable"),
        ({"variables": {"n": "1"}, "output": "n"}, "'n' is given twice"),
        ({"variables": {"x y": "n"}, "output": "x y"}, "can't be the name"),
        ({"variables": {"x": "n + 'a'"}, "output": "x"}, "variable 'x': .* int and str"),
        ({"variables": {"x": "t[n]"}, "tables": {"t": {1: "a"}}, "output": "x"}, "there is no entry 2"),
        ({"variables": {"x": "n.real"}, "output": "x"}, "not part of this language"),
        ({"inputs": {"n": [1, 1]}}, "has a value twice"),
        ({"inputs": {"n": []}}, "at least 1 item"),
        ({"format": 99}, "reads up to"),
    ],
)
def test_models_that_contradict_themselves_are_refused_in_one_line(change: dict[str, Any], said: str) -> None:
    fields = {"inputs": {"n": [1, 2]}, "variables": {"x": "n"}, "output": "x"}
    with pytest.raises(AssayError, match=said) as error:
        CausalModel(**{**fields, **change})
    assert "\n" not in str(error.value)


def test_settings_and_names_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="'ask' is missing"):
        CITIES.run({"city": "Rome"})
    with pytest.raises(DataError, match="'Rom': expected one of 'Paris'"):
        CITIES.run({"city": "Rom", "ask": "country"})
    with pytest.raises(DataError, match=r"no variable 'countri'\. Nearest: country"):
        CITIES.interchange({"city": "Rome", "ask": "country"}, {"countri": {"city": "Lima", "ask": "country"}})


def test_a_file_that_is_not_there_or_not_json(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read the causal model"):
        CausalModel.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(StorageError, match="not valid JSON"):
        CausalModel.load(tmp_path / "bad.json")


def test_samples_differ_and_repeat_with_the_seed() -> None:
    drawn = CAUSAL.sample(200, seed=3, repeats=0.5)
    assert len({tuple(each.values()) for each in drawn}) == 200 and drawn == CAUSAL.sample(200, seed=3, repeats=0.5)
    assert len(CITIES.sample(100, seed=0)) == 6
    equal = [each["a"] == each["b"] for each in drawn]
    assert 0.3 < sum(equal) / 200 < 0.7  # half of them, and 1 of 64 without repeats
