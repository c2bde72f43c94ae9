"""MIB's rows as pairs: rows with the columns that the benchmark's own loader reads, made by hand."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from assay.core.errors import DataError
from assay.data.mib import mib_pairs, read_mib

IOI = {
    "prompt": "When Mary and John went to the store, John gave a drink to",
    "metadata": {"indirect_object": "Mary", "subject": "John", "random_c": "Paul"},
    "s2_io_flip_counterfactual": {"prompt": "When Mary and John went to the store, Mary gave a drink to"},
    "abc_counterfactual": {"prompt": "When Paul and Anna went to the store, Tom gave a drink to"},
}
MCQA = {
    "prompt": "A box is brown. What color is a box?\nA. gray\nB. black\nC. brown\nD. blue\nAnswer: ",
    "choices": {"label": ["A", "B", "C", "D"], "text": ["gray", "black", "brown", "blue"]},
    "answerKey": 2,
    "symbol_counterfactual": {
        "prompt": "A box is brown. What color is a box?\nE. gray\nF. black\nG. brown\nH. blue\nAnswer: ",
        "choices": {"label": ["E", "F", "G", "H"], "text": ["gray", "black", "brown", "blue"]},
        "answerKey": 2,
    },
}
SUM = {
    "prompt": "The sum of 3 and 4 is ", "label": 7, "operator": "+",
    "random_counterfactual": {"prompt": "The sum of 2 and 6 is ", "label": 8},
}  # fmt: skip


def changed(row: dict[str, Any], **paths: Any) -> dict[str, Any]:
    """A copy with other values; `metadata__subject` is metadata.subject."""
    made = copy.deepcopy(row)
    for path, value in paths.items():
        *way, last = path.split("__")
        place = made
        for key in way:
            place = place[key]
        place[last] = value
    return made


def test_ioi_has_the_names_as_answers(embedded: Any) -> None:
    pairs = mib_pairs([IOI], "ioi", embedded, split="validation")
    (tokens,) = pairs.aligned_tokens()
    assert embedded.decode(tokens.answers[0]) == " Mary" and embedded.decode(tokens.wrong[0]) == " John"
    assert pairs[0].corrupt == IOI["s2_io_flip_counterfactual"]["prompt"] and pairs[0].split == "validation"
    assert pairs[0].names == ("Mary", "John", "Paul")


def test_another_counterfactual_can_be_taken() -> None:
    pairs = mib_pairs([IOI], "ioi", counterfactual="abc_counterfactual")
    assert pairs[0].corrupt.startswith("When Paul") and pairs[0].answers == (" Mary",)  # type: ignore[union-attr]
    assert pairs.facts == ("MIB's ioi, counterfactual abc_counterfactual",)


def test_choices_have_the_letters_as_answers(embedded: Any) -> None:
    for task in ("mcqa", "arc_easy", "arc_challenge"):
        pairs = mib_pairs([MCQA], task, embedded)  # type: ignore[arg-type]
        (tokens,) = pairs.aligned_tokens()
        assert [embedded.decode(ids) for ids in (tokens.answers[0], tokens.wrong[0])] == ["C", "G"]


def test_sums_have_the_numbers_as_answers(embedded: Any) -> None:
    minus = changed(SUM, operator="-")
    pairs = mib_pairs([SUM, minus], "arithmetic_addition", embedded)
    (tokens,) = pairs.aligned_tokens()
    assert [embedded.decode(ids) for ids in (tokens.answers[0], tokens.wrong[0])] == ["7", "8"]
    assert "1 of 2 rows left out, as MIB does" in pairs.facts
    assert len(mib_pairs([SUM, minus], "arithmetic_subtraction", embedded)) == 1


def test_rows_that_mib_leaves_out_are_left_out(embedded: Any) -> None:
    """Names of other token counts; sums of several tokens; counterfactuals that are not there."""
    long = changed(IOI, metadata__random_c="Bartholomew Xyzzy")
    assert len(mib_pairs([IOI, long], "ioi", embedded)) == 1
    several = changed(SUM, label=1234567, random_counterfactual__label=7654321)
    nothing = changed(SUM, random_counterfactual=None)
    assert len(mib_pairs([several, SUM, nothing], "arithmetic_addition", embedded)) == 1
    with pytest.raises(DataError, match="None of the 1 rows is a usable example of ioi"):
        mib_pairs([long], "ioi", embedded)


def test_the_first_usable_rows_are_taken(embedded: Any) -> None:
    rows = [changed(IOI, metadata__random_c="Bartholomew Xyzzy"), IOI, changed(IOI, metadata__random_c="Anna"), IOI]
    pairs = mib_pairs(rows, "ioi", embedded, limit=2)
    assert [each.names[2] for each in pairs] == ["Paul", "Anna"] and "1 of 3 rows left out, as MIB does" in pairs.facts


@pytest.mark.parametrize("form", ["jsonl", "json", "parquet"])
def test_files(form: str, tmp_path: Path) -> None:
    file, rows = tmp_path / f"rows.{form}", [MCQA, MCQA]
    match form:
        case "jsonl":
            file.write_text("\n".join(map(json.dumps, rows)))
        case "json":
            file.write_text(json.dumps(rows))
        case "parquet":
            pd.DataFrame(rows).to_parquet(file)
    pairs = read_mib(file, "mcqa")
    assert len(pairs) == 2 and pairs[1].answers == ("C",) and pairs[1].wrong == ("G",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (changed(IOI, prompt=None), "row 1 of ioi has no 'prompt': it has prompt, metadata, s2_io_flip"),
        (changed(IOI, metadata={"subject": "x"}), "row 1 of ioi: metadata has no 'indirect_object': it has subject"),
        ({"prompt": "x"}, "row 1 of ioi has no 's2_io_flip_counterfactual'"),
        ("text", "row 1 of ioi has no 's2_io_flip_counterfactual': it is str"),
    ],
)
def test_rows_that_lack_something_are_refused_in_one_line(row: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        mib_pairs([row], "ioi")
    assert "\n" not in str(raised.value)


def test_other_mistakes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'iio' is no task of MIB: expected one of ioi, mcqa"):
        mib_pairs([IOI], "iio")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="answerKey is 9, which is none of its 4 labels"):
        mib_pairs([changed(MCQA, answerKey=9)], "mcqa")
    with pytest.raises(DataError, match="No such file"):
        read_mib(tmp_path / "no.jsonl", "ioi")
    (tmp_path / "rows.csv").write_text("a")
    with pytest.raises(DataError, match=r"expected rows as \.jsonl, \.json or \.parquet"):
        read_mib(tmp_path / "rows.csv", "ioi")
    (tmp_path / "rows.json").write_text("{}")
    with pytest.raises(DataError, match="holds a dict: expected a list of rows"):
        read_mib(tmp_path / "rows.json", "ioi")
    (tmp_path / "rows.jsonl").write_text("{oops")
    with pytest.raises(DataError, match=r"rows\.jsonl:1: not JSON"):
        read_mib(tmp_path / "rows.jsonl", "ioi")
