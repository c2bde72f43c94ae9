"""What was measured is what the page says, of the model that is here, and it reaches whoever uses a task."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from assay.data import Measured, measured, task
from assay.data.family import families
from assay.data.lexicon import SPLITS
from assay.data.measurement import standing
from assay.data.vocabulary import fingerprint
from assay.models.loading import load_native
from assay.stats.proportion import wilson

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def record() -> Measured:
    found = measured()
    assert found is not None
    return found


def test_it_is_of_this_model_and_tokenizer(record: Measured, embedded: Any) -> None:
    loaded = load_native()
    assert record.fingerprint == loaded.fingerprint, "the embedded model has changed: run scripts/measure_tasks.py"
    assert record.tokenizer == fingerprint(embedded)


def test_every_family_and_split_was_measured(record: Measured) -> None:
    """A family without a verdict would pass for one that the model can do."""
    assert set(record.verdicts) == set(families()), "run scripts/measure_tasks.py"
    for name in record.verdicts:
        everything, *parts = (record.row(name, split) for split in ("all", *SPLITS))
        assert everything is not None
        found = [part for part in parts if part is not None]
        assert len(found) == len(SPLITS)
        assert sum(part.n for part in found) == everything.n
        right = sum(part.accuracy * part.n for part in found)
        assert right == pytest.approx(everything.accuracy * everything.n, abs=0.05), "rounded to four digits"


def test_intervals_are_wilson_s(record: Measured) -> None:
    for row in record.rows:
        share = wilson(round(row.accuracy * row.n), row.n)
        assert row.interval == pytest.approx((share.low, share.high), abs=1e-4), "rounded to four digits"


def test_the_page_says_the_same(record: Measured) -> None:
    for name, verdict in record.verdicts.items():
        row = record.row(name)
        assert row is not None
        line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` "))
        assert f"| {row.n} | {row.accuracy:.2f} [{row.interval[0]:.2f}, {row.interval[1]:.2f}] |" in line
        assert {"can do": "**can do**", "partly": "| partly |", "cannot": "not used as evidence"}[verdict] in line
        assert f"### {name}\n" in PAGE
    listed = re.findall(r"^\| `([\w-]+)` ", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(record.verdicts)


def test_a_verdict_follows_from_the_intervals(record: Measured) -> None:
    for name, verdict in record.verdicts.items():
        row = record.row(name)
        assert row is not None
        least = {"can do": 0.9, "partly": 0.7, "cannot": 0.0}[verdict]
        assert row.interval[0] >= least
        if verdict == "cannot":
            assert row.interval[0] < 0.7 or any(
                part.interval[1] < 0.7 for split in SPLITS if (part := record.row(name, split)) is not None
            )


def test_the_pairs_of_a_task_that_the_model_cannot_do_say_so(record: Measured, embedded: Any, wordwise: Any) -> None:
    unable = next(name for name, verdict in record.verdicts.items() if verdict == "cannot")
    able = next(name for name, verdict in record.verdicts.items() if verdict == "can do")
    assert any("not to be used as evidence" in fact for fact in task(unable, n=5, tokenizer=embedded).facts)
    assert any(f"on {able}" in fact and "can do" in fact for fact in task(able, n=5, tokenizer=embedded).facts)
    assert standing(able, fingerprint(wordwise)) == [], "nothing is known of other models"
    assert standing("no-such-family", record.tokenizer) == []
