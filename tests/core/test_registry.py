"""The registry: a declaration becomes settings, card and name; misuse is refused where it is written."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import pytest

from assay.core import registry
from assay.core.errors import SettingsError
from assay.core.protocols import Scores

CARD: dict[str, Any] = {"gives": Scores, "cites": "doi:1", "cost": "none", "assumes": "nothing", "fails_when": "never"}


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTRY", {})
    monkeypatch.setattr(registry, "_LOADED", set())
    monkeypatch.setattr(registry, "entry_points", lambda group: [])


def declare() -> Any:
    @registry.method(**CARD)
    def rank(
        model: str,
        data: Any,
        *,
        scores: Scores,
        steps: Annotated[int, "how many steps"] = 3,
        direction: Annotated[Literal["denoise", "noise"], "which way to patch"],
    ) -> Scores:
        """Rank the parts.

        More words.
        """
        return Scores.of({f"{model}-{data}-{steps}-{direction}": scores.values.sum()}, quantity="sum")

    return rank


def given() -> Scores:
    return Scores.of({"L0.H0": 1.0, "L0.H1": 2.0}, quantity="q")


def test_the_function_is_returned_unchanged_and_found_by_name() -> None:
    function = declare()
    found = registry.find("rank")
    assert found.function is function
    assert found.summary == "Rank the parts."
    assert found.card.cites == ("doi:1",)
    assert registry.methods() == {"rank": found}


def test_settings_and_earlier_results_are_told_apart() -> None:
    declare()
    found = registry.find("rank")
    assert set(found.settings.model_fields) == {"steps", "direction"}
    assert dict(found.takes) == {"scores": Scores}
    assert found.settings.model_fields["steps"].description == "how many steps"
    assert found.settings.model_json_schema()["required"] == ["direction"]


def test_run_fills_in_defaults_and_passes_everything_on() -> None:
    declare()
    result = registry.find("rank").run("m", "d", {"direction": "noise"}, scores=given())
    assert result.components == ("m-d-3-noise",)
    assert result.values == np.array([3.0])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"direction": "up"}, "'direction': Input should be 'denoise' or 'noise' (got 'up')"),
        ({"direction": "noise", "step": 4}, "'step' is not a setting; it has steps, direction, scores. Nearest: steps"),
        ({}, "'direction': Field required"),
        ({"direction": "noise", "steps": "many"}, "'steps': Input should be a valid integer"),
    ],
)
def test_wrong_settings_are_explained(settings: dict[str, Any], says: str) -> None:
    declare()
    with pytest.raises(SettingsError) as caught:
        registry.find("rank").run("m", "d", settings, scores=given())
    assert str(caught.value).startswith("Settings of rank: ")
    assert says in str(caught.value)


def test_a_missing_earlier_result_is_named() -> None:
    declare()
    with pytest.raises(SettingsError, match="rank needs earlier results that were not given: scores"):
        registry.find("rank").run("m", "d", {"direction": "noise"})


def test_an_unknown_method_shows_the_nearest() -> None:
    declare()
    with pytest.raises(SettingsError, match=r"no method 'rang'\. Nearest: rank"):
        registry.find("rang")


def test_a_setting_without_a_description_is_refused() -> None:
    with pytest.raises(TypeError, match="setting 'steps' of 'bare' has no description"):

        @registry.method(**CARD)
        def bare(model: str, data: str, *, steps: int = 3) -> Scores:
            """Bare."""
            return given()


def test_a_third_positional_parameter_is_refused() -> None:
    with pytest.raises(TypeError, match="must take"):

        @registry.method(**CARD)
        def wide(model: str, data: str, steps: int = 3) -> Scores:
            """Wide."""
            return given()


def test_two_methods_of_one_name_from_different_modules_are_refused() -> None:
    declare()
    with pytest.raises(TypeError, match="two methods are called 'rank'"):

        def rank(model: str, data: str) -> Scores:
            """Another."""
            return given()

        rank.__module__ = "elsewhere"
        registry.method(**CARD)(rank)


def test_methods_of_other_packages_come_through_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        value = "their.package"

        def load(self) -> None:
            declare()

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point()] if group == "assay.methods" else [])
    assert "rank" in registry.methods()
    assert "rank" in registry.methods(), "a second look does not load it again"


@pytest.mark.parametrize("wrong", ["denoising", "noize", True, 1])
def test_a_word_that_a_setting_does_not_take_is_refused_in_a_plain_call_too(wrong: Any) -> None:
    """In Python nothing is validated on the way: a method that asks `== "denoise"` would take this for the other word."""
    rank = declare()
    with pytest.raises(SettingsError, match=f"{wrong!r} is no direction: expected denoise, noise"):
        rank("m", "d", scores=given(), direction=wrong)
    assert len(rank("m", "d", scores=given(), direction="noise")) == 1


def test_words_beside_none_and_several_of_them_are_checked() -> None:
    @registry.method(**CARD)
    def choose(
        model: str,
        data: str,
        *,
        fixes: Annotated[tuple[Literal["q", "k"], ...], "which"] = (),
        names: Annotated[tuple[str, ...] | None, "parts"] = None,
        how: Annotated[Literal["a", "b"] | None, "how"] = None,
        grouped: Annotated[bool | Literal["whole"], "not words alone: left to the method"] = False,
    ) -> Scores:
        """Choose."""
        return given()

    choose("m", "d", fixes=("q", "k"), how=None, grouped="whole")
    choose("m", "d", fixes=["k"], how="b", grouped=True)
    for wrong in ({"fixes": ("q", "v")}, {"how": "c"}):
        with pytest.raises(SettingsError, match=r"'[vc]' is no (fixes|how): expected"):
            choose("m", "d", **wrong)
    with pytest.raises(SettingsError, match=r"choose takes a str as model, and got an int\."):
        choose(3, "d")
    with pytest.raises(SettingsError, match="rank takes a Scores as scores, and got a list"):
        declare()("m", "d", scores=["L0.H1"], direction="noise")
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        choose("m")
    with pytest.raises(SettingsError, match=r"names is one text, 'L0\.H1': expected several, \('L0\.H1',\)"):
        choose("m", "d", names="L0.H1")


def test_data_for_another_model_are_refused() -> None:
    class Fitting:
        def refuse_model(self, model: str) -> None:
            if model != "mine":
                raise SettingsError("not this one")

    rank = declare()
    rank("mine", Fitting(), scores=given(), direction="noise")
    with pytest.raises(SettingsError, match="not this one"):
        rank("other", Fitting(), scores=given(), direction="noise")
