"""MIB's tasks as contrast pairs: ioi, mcqa, arithmetic_addition, arithmetic_subtraction, arc_easy, arc_challenge.

A file has one row for each example (JSON lines, a JSON list, or parquet), with the columns that the benchmark's own loader
reads: `prompt`; a counterfactual under its own name, `{"prompt": …, …}`; and the answer, which is where each task has it:

| task | counterfactual (default) | answer | wrong answer |
|---|---|---|---|
| ioi | s2_io_flip_counterfactual | " " + metadata.indirect_object | " " + metadata.subject |
| mcqa, arc_* | symbol_counterfactual | choices.label[answerKey] | the counterfactual's own |
| arithmetic_* | random_counterfactual | label | the counterfactual's label |

With a tokenizer, rows are left out as MIB leaves them out (names or labels of different token counts, sums of several
tokens), and answers are the first token that each text has *by itself*, as MIB's metric reads them: how many rows were left
out is a fact of the pairs. Source: hannamw/MIB-circuit-track, `dataset.py` (arXiv:2504.13151).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from assay.core.errors import DataError, nearest
from assay.data.example import Answer, Example
from assay.data.pairs import Pairs
from assay.data.vocabulary import Tokenizer, tokenizer_of

Task = Literal["ioi", "mcqa", "arithmetic_addition", "arithmetic_subtraction", "arc_easy", "arc_challenge"]
Row = Mapping[str, Any]
COUNTERFACTUAL = {
    "ioi": "s2_io_flip_counterfactual",
    "mcqa": "symbol_counterfactual",
    "arc_easy": "symbol_counterfactual",
    "arc_challenge": "symbol_counterfactual",
    "arithmetic_addition": "random_counterfactual",
    "arithmetic_subtraction": "random_counterfactual",
}
"""The tasks, and what MIB takes for each one's counterfactual unless told otherwise."""
OPERATOR = {"arithmetic_addition": "+", "arithmetic_subtraction": "-"}


def read_mib(
    path: str | Path,
    task: Task,
    tokenizer: object = None,
    *,
    counterfactual: str | None = None,
    split: str = "",
    limit: int | None = None,
) -> Pairs:
    """The pairs of a file of rows; aligned, where a tokenizer or model is given. `limit` takes the first that are usable.

    Raises:
        DataError: an unknown task, a file that can't be read, a row that lacks a column.
    """
    return mib_pairs(rows_of(Path(path)), task, tokenizer, counterfactual=counterfactual, split=split, limit=limit)


def mib_pairs(
    rows: Iterable[Row],
    task: Task,
    tokenizer: object = None,
    *,
    counterfactual: str | None = None,
    split: str = "",
    limit: int | None = None,
) -> Pairs:
    """The same of rows that are in memory, such as those of a loaded data set."""
    if task not in COUNTERFACTUAL:
        raise DataError(
            f"{task!r} is no task of MIB: expected one of {', '.join(COUNTERFACTUAL)}.{nearest(task, COUNTERFACTUAL)}"
        )
    column = counterfactual or COUNTERFACTUAL[task]
    words = None if tokenizer is None else tokenizer_of(tokenizer)
    examples: list[Example] = []
    total = 0
    for total, row in enumerate(rows, start=1):
        if limit is not None and len(examples) == limit:
            total -= 1
            break
        found = _example(row, task, column, words, f"row {total} of {task}", split)
        if found is not None:
            examples.append(found)
    if not examples:
        raise DataError(f"None of the {total} rows is a usable example of {task}.")
    facts = [f"MIB's {task}, counterfactual {column}"]
    if total > len(examples):
        facts.append(f"{total - len(examples)} of {total} rows left out, as MIB does")
    pairs = Pairs(tuple(examples), f"mib_{task}", None, tuple(facts))
    return pairs if tokenizer is None else pairs.align(tokenizer, on_mismatch="drop")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl, .json or .parquet file."""
    if not path.is_file():
        raise DataError(f"No such file: {path}. Expected rows as .jsonl, .json or .parquet.")
    match path.suffix:
        case ".jsonl":
            lines = path.read_text(encoding="utf-8").splitlines()
            return [_parsed(line, f"{path.name}:{i}") for i, line in enumerate(lines, start=1) if line.strip()]
        case ".json":
            data = _parsed(path.read_text(encoding="utf-8"), path.name)
            if not isinstance(data, list):
                raise DataError(f"{path.name} holds a {type(data).__name__}: expected a list of rows.")
            return data
        case ".parquet":
            return _plain(pd.read_parquet(path).to_dict(orient="records"))  # type: ignore[no-any-return]
    raise DataError(f"{path.name}: expected rows as .jsonl, .json or .parquet.")


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error.msg} at column {error.colno}).") from None


def _plain(value: Any) -> Any:
    """Arrays, which parquet gives for lists, as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return _plain(value.tolist()) if hasattr(value, "tolist") else value


def _example(row: Row, task: str, column: str, words: Tokenizer | None, where: str, split: str) -> Example | None:
    """The example of one row; None where MIB leaves it out."""
    operator = OPERATOR.get(task)
    if operator is not None and (_get(row, where, "operator") != operator or not _has_prompt(row, column)):
        return None
    other = _get(row, where, column)
    prompts = _get(row, where, "prompt"), _get(other, f"{where}: {column}", "prompt")
    right, wrong, names = _ANSWERS[task if task == "ioi" else "sum" if operator else "choice"](row, other, where)
    alike: Sequence[str] = (right, wrong, *names)
    answers: tuple[Answer, Answer] = (right, wrong)
    if words is not None:
        ids = [list(words(text, add_special_tokens=False)["input_ids"]) for text in alike]
        if len({len(each) for each in ids}) > 1 or (operator is not None and len(ids[0]) != 1) or not ids[0]:
            return None
        answers = (ids[0][0], ids[1][0])
    return Example(
        clean=prompts[0], corrupt=prompts[1], answers=answers[:1], wrong=answers[1:], split=split,
        template=str(row.get("template", "")), names=tuple(text.strip() for text in alike) if task == "ioi" else (),
    )  # fmt: skip


def _of_ioi(row: Row, other: Row, where: str) -> tuple[str, str, tuple[str, ...]]:
    facts = _get(row, where, "metadata")
    io, subject, third = (_get(facts, f"{where}: metadata", key) for key in ("indirect_object", "subject", "random_c"))
    return f" {io}", f" {subject}", (f" {third}",)


def _of_choice(row: Row, other: Row, where: str) -> tuple[str, str, tuple[str, ...]]:
    return _chosen(row, where), _chosen(other, f"{where}: counterfactual"), ()


def _of_sum(row: Row, other: Row, where: str) -> tuple[str, str, tuple[str, ...]]:
    return str(_get(row, where, "label")), str(_get(other, f"{where}: counterfactual", "label")), ()


_ANSWERS: Mapping[str, Callable[[Row, Row, str], tuple[str, str, tuple[str, ...]]]] = {
    "ioi": _of_ioi, "choice": _of_choice, "sum": _of_sum,
}  # fmt: skip


def _chosen(row: Row, where: str) -> str:
    labels, key = _get(_get(row, where, "choices"), f"{where}: choices", "label"), _get(row, where, "answerKey")
    if not isinstance(key, int) or not 0 <= key < len(labels):
        raise DataError(f"{where}: answerKey is {key!r}, which is none of its {len(labels)} labels.")
    return str(labels[key])


def _has_prompt(row: Row, column: str) -> bool:
    other = row.get(column)
    return isinstance(other, Mapping) and other.get("prompt") is not None


def _get(row: Any, where: str, key: str) -> Any:
    if not isinstance(row, Mapping) or row.get(key) is None:
        has = f"it has {', '.join(map(str, row))}" if isinstance(row, Mapping) else f"it is {type(row).__name__}"
        raise DataError(f"{where} has no {key!r}: {has}.")
    return row[key]
