"""Counterfactual data: right labels, balance, splits that share no setting, positions, and data that can't be made."""

from __future__ import annotations

import numpy as np
import pytest
from tests.circuits.abstraction.equality import CAUSAL, examples
from tests.tiny_pairs import pairs_of_ids

from assay.circuits.abstraction import CausalModel, Counterfactuals, Written, counterfactuals
from assay.core.errors import AssayError, DataError
from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.experiments.inputs import ModelInputs, Tokens

IDS = Written(positions={"second": 1, "end": -1, "own": lambda setting: int(setting["a"] > 31)})


def of_ids(n: int = 80, *, seed: int = 0) -> Counterfactuals:
    return counterfactuals(
        CAUSAL,
        lambda s: [s[name] for name in "abcd"],
        answers={True: 64, False: 65},
        n=n,
        seed=seed,
        written_for=IDS,
    )


def test_labels_are_the_causal_model_s() -> None:
    for each in of_ids().examples:
        assert each.expected == CAUSAL.interchange(each.base, {each.variable: each.source})["same"]
        assert (each.base_label, each.source_label) == tuple(CAUSAL.run(s)["same"] for s in (each.base, each.source))
        every = CAUSAL.interchange(each.base, {"left": each.source, "right": each.source})["same"]
        assert each.resists == (not each.changes and every != each.base_label)


@pytest.mark.parametrize("variable", ["left", "right"])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_half_change_the_label_and_labels_are_as_frequent(variable: str, split: str) -> None:
    data = examples().of(variable, split=split)
    assert data.changes.mean() == 0.5 and data.resists.mean() == 0.25
    assert data.chance["keep the base's label"] == 0.5
    assert abs(data.chance["take the source's label"] - 0.5) < 0.06  # 2.4 standard deviations of 400 examples
    assert data.chance["always the same label"] < 0.52


def test_no_setting_is_in_two_splits() -> None:
    seen = {
        split: {tuple(s.values()) for each in examples().of(split=split).examples for s in (each.base, each.source)}
        for split in ("train", "validation", "test")
    }
    assert all(len(settings) > 50 for settings in seen.values())
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]


def test_the_same_seed_gives_the_same_data_and_another_seed_other_data() -> None:
    assert of_ids().examples == of_ids().examples != of_ids(seed=1).examples


def test_inputs_follow_the_examples_and_positions_are_named() -> None:
    data = of_ids().of("right", split="test").take([3, 1])
    assert isinstance(data.base, Tokens) and isinstance(data.source, Tokens)
    assert [list(row) for row in data.base.tokens] == [list(each.base.values()) for each in data.examples]
    assert [list(row) for row in data.source.tokens] == [list(each.source.values()) for each in data.examples]
    assert data.positions == ("second", "end", "own") and data.base.positions["end"] == (3, 3)
    assert data.source.positions["own"] == tuple(int(each.source["a"] > 31) for each in data.examples)
    assert data.labels == (True, False) and data.answers == (64, 65)
    assert [data.labels[i] for i in data.expected] == [each.expected for each in data.examples]


def test_tensors_are_stacked() -> None:
    data = examples().take(range(5))
    assert isinstance(data.base, ModelInputs) and data.base.tensors["input"].shape == (5, 8)


def test_templates_name_the_last_token_of_what_they_are_filled_with() -> None:
    import assay

    smol = assay.load()
    numbers = CausalModel(
        inputs={"first": range(20), "second": range(20)},
        variables={"equal": "first == second", "out": "equal"},
        output="out",
    )
    data = counterfactuals(
        numbers, "Is {first} the same as {second}? It", answers={True: " is", False: " isn"}, n=8,
        written_for=Written(tokenizer=smol),
    )  # fmt: skip
    assert set(data.positions) == {"first", "second", "end"}
    for i, each in enumerate(data.examples):
        ids = smol.tokens(f"Is {each.base['first']} the same as {each.base['second']}? It").rows[0]
        assert tuple(data.base.tokens[i]) == tuple(ids)  # type: ignore[attr-defined]
        last = smol.tokenizer.decode([ids[data.base.positions["first"][i]]])  # type: ignore[union-attr]
        assert last.strip() == str(each.base["first"])[-1]


def test_pairs_are_interchanges_of_their_answer() -> None:
    rows = tuple(
        Example(clean=(i, 5, 7), corrupt=(i, 6, 7), answers=(8,), corrupt_answers=(9,), wrong=(9,), positions={"x": 1})
        for i in range(10)
    )
    data = Counterfactuals.from_pairs(Pairs(rows).align(None))
    assert data.labels == (8, 9) and set(data.expected) == {1} and data.changes.all()
    assert [len(data.of(split=split)) for split in ("train", "validation", "test")] == [6, 2, 2]
    assert data.positions == ("x", "end") and any("patching everything" in fact for fact in data.facts)
    with pytest.raises(DataError, match="need an answer to both prompts"):
        Counterfactuals.from_pairs(pairs_of_ids())


def test_data_that_cannot_be_made() -> None:
    def made(causal: CausalModel, encode: object = "{a}", **more: object) -> Counterfactuals:
        settings = {"answers": {True: 1, False: 0}, "n": 8, "written_for": Written(), **more}
        return counterfactuals(causal, encode, **settings)  # type: ignore[arg-type]

    with pytest.raises(DataError, match="does not matter for the output"):
        made(CausalModel(inputs={"a": range(30)}, variables={"idle": "a > 4", "out": "a > 2"}, output="out"))
    with pytest.raises(DataError, match="no variable between inputs and output"):
        made(CausalModel(inputs={"a": range(9)}, variables={"out": "a > 2"}, output="out"))
    small = CausalModel(inputs={"a": range(4)}, variables={"v": "a > 2", "out": "v"}, output="out")
    with pytest.raises(DataError, match=r"4 settings .* Give the inputs more values"):
        made(small)
    large = CausalModel(inputs={"a": range(9)}, variables={"v": "a > 4", "out": "v"}, output="out")
    with pytest.raises(DataError, match="answers= has no token for it"):
        made(large, answers={True: 1})
    with pytest.raises(DataError, match="prompts are text"):
        made(large)
    with pytest.raises(DataError, match=r"names 'aa', which is no input\. Nearest: a"):
        made(large, "{aa}")
    with pytest.raises(DataError, match="encode= gave int"):
        made(large, lambda setting: 3)
    with pytest.raises(AssayError, match="no variable 'w'"):
        made(large, variables=("w",))
    with pytest.raises(DataError, match=r"intervenes on 'lef'.* Nearest: left"):
        of_ids().of("lef")
    assert np.isin(of_ids().expected, [0, 1]).all()
