"""Examples from lists side by side, as they are written in a notebook: prompts, counterfactuals, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.core.errors import DataError
from assay.data.example import Example


def side_by_side(
    clean: Any,
    corrupt: Any,
    *,
    positions: Mapping[str, int | Sequence[int]] | None = None,
    **fields: Any,
) -> tuple[Example, ...]:
    """One example for each clean prompt. A field is one value for all, or a list with one for each.

    Raises:
        DataError: a list that is shorter or longer than the prompts, or a field that examples do not have.
    """
    prompts, others = _prompts(clean, "clean"), _prompts(corrupt, "corrupt")
    n = len(prompts)
    known = [name for name in Example.model_fields if name not in ("clean", "corrupt", "positions")]
    for name in fields:
        if name not in known:
            raise DataError(f"{name!r} is no field of an example: expected some of {', '.join(known)}.")
    columns = {name: _column(value, n, name) for name, value in fields.items() if value is not None}
    places = {name: _column(value, n, f"position {name!r}") for name, value in (positions or {}).items()}
    if len(others) != n:
        raise DataError(f"there are {n} clean prompts and {len(others)} counterfactual ones: expected one for each.")
    return tuple(
        Example(
            clean=prompts[i],
            corrupt=others[i],
            positions={name: column[i] for name, column in places.items()},
            **{name: column[i] for name, column in columns.items()},
        )
        for i in range(n)
    )


def _prompts(given: Any, what: str) -> list[Any]:
    found = _plain(given)
    if isinstance(found, str) or not found or isinstance(found[0], int):
        raise DataError(f"{what}: expected a list of prompts (texts, or lists of token ids), not {str(given)[:40]!r}.")
    return [each if isinstance(each, str) else tuple(_plain(each)) for each in found]


def _column(value: Any, n: int, what: str) -> list[Any]:
    """One value for each example."""
    value = _plain(value)
    if not isinstance(value, list | tuple):
        return [value] * n
    if len(value) != n:
        raise DataError(f"{what}: {len(value)} values for {n} examples: expected one for all, or one for each.")
    return [tuple(each) if isinstance(each, list) else each for each in map(_plain, value)]


def _plain(value: Any) -> Any:
    """Tensors and arrays as lists."""
    return value.tolist() if hasattr(value, "tolist") else value
