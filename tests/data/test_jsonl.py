"""Pairs as JSON lines: round trip, and what a user's own file may look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.core.errors import DataError
from assay.data import Pairs, task

LINE = (
    '{"clean": "The capital of France is", "corrupt": "The capital of Italy is", "answers": " Paris", "wrong": " Rome"'
)


@pytest.mark.parametrize("name", ["ioi", "induction", "truth-cities", "greater-than"])
def test_round_trip(name: str, tmp_path: Path, embedded: Any) -> None:
    pairs = task(name, n=12, seed=4, split="test", tokenizer=embedded)
    again = Pairs.from_jsonl(pairs.to_jsonl(tmp_path / "deep" / "pairs.jsonl"), embedded)
    assert again == pairs
    assert again.hash == pairs.hash
    assert (again.task, again.seed, again.facts) == (name, 4, pairs.facts)


def test_writing_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    task("ioi", n=9).to_jsonl(path)
    task("ioi", n=3).to_jsonl(path)
    assert len(Pairs.from_jsonl(path)) == 3
    assert list(tmp_path.iterdir()) == [path]


def read(tmp_path: Path, *lines: str, tokenizer: Any = None) -> Pairs:
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Pairs.from_jsonl(path, tokenizer)


def test_a_short_line_is_enough(tmp_path: Path, embedded: Any) -> None:
    pairs = read(tmp_path, LINE + "}", "", tokenizer=embedded)
    assert pairs.task == "own"
    assert pairs[0].answers == (" Paris",)
    assert pairs.position("end") == [4]


@pytest.mark.parametrize(
    "positions",
    [
        '{"subject": {"clean": "France", "corrupt": "Italy"}}',
        '{"subject": {"clean": [15, 21], "corrupt": [15, 20]}}',
        '{"subject": 3}',
        '{"subject": -2}',
    ],
)
def test_ways_to_write_a_position(positions: str, tmp_path: Path, embedded: Any) -> None:
    pairs = read(tmp_path, f'{LINE}, "positions": {positions}}}', tokenizer=embedded)
    assert pairs.position("subject") == [3]


def test_a_text_that_both_prompts_have_marks_both(tmp_path: Path, embedded: Any) -> None:
    pairs = read(tmp_path, LINE + ', "positions": {"noun": "capital"}}', tokenizer=embedded)
    assert pairs.position("noun") == [1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"own\.jsonl:2: not JSON"),
        ("[1]", r"own\.jsonl:2: a list instead of an object"),
        ('{"clean": "a"}', r"own\.jsonl:2: 'corrupt': Field required"),
        (LINE + ', "answer": " Paris"}', r"own\.jsonl:2: 'answer': Extra inputs are not permitted"),
        (
            LINE + ', "positions": {"subject": "France"}}',
            r"own\.jsonl:2: corrupt: position 'subject' is 'France', which is not",
        ),
        (
            LINE + ', "positions": {"subject": "a"}}',
            r"own\.jsonl:2: clean: position 'subject' is 'a', which is \d times",
        ),
        ('{"clean": "a", "corrupt": [1, 2]}', r"own\.jsonl:2: one prompt is text and the other token ids"),
        ('{"assay_pairs": 99}', r"own\.jsonl:2: format version 99; this assay reads up to 1"),
        ('{"assay_pairs": 1, "sed": 3}', r"own\.jsonl:2: 'sed': Extra inputs"),
    ],
)
def test_errors_name_the_line(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, LINE + "}", line)


def test_files_without_examples(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        Pairs.from_jsonl(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="has no examples"):
        read(tmp_path, '{"assay_pairs": 1}')


def test_misaligned_lines_are_refused_or_dropped(tmp_path: Path, embedded: Any) -> None:
    bad = LINE.replace("Italy", "Liechtenstein") + "}"
    path = tmp_path / "own.jsonl"
    path.write_text(f"{LINE}}}\n{bad}\n", encoding="utf-8")
    with pytest.raises(DataError, match="Example 1 of 2 can't be used"):
        Pairs.from_jsonl(path, embedded)
    assert len(Pairs.from_jsonl(path, embedded, on_mismatch="drop")) == 1
