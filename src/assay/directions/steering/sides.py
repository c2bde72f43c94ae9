"""Which prompt of a pair already says what a direction steers towards: pairs turned so that it is the clean one.

Families draw at random which side is clean: over such pairs "clean minus counterfactual" points nowhere. `towards` names what
one side has: its label (`positive`), or its usual right answer without the space before it (`she`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from assay.core.direction import Directions
from assay.core.errors import DataError, nearest
from assay.data.example import Example, Side
from assay.data.pairs import Pairs

CLEAN, COUNTERFACTUAL = "clean", "counterfactual"
TOWARDS = "the label or answer that it points to; nothing means: to the clean prompts, as the pairs have them"


def turned(pairs: Pairs, towards: str | None) -> Pairs:
    """The same pairs, each with the side that has `towards` as its clean one; None leaves them as they are.

    Raises:
        DataError: an example has it on neither side or on both; or nothing is named and the pairs point both ways.
    """
    if towards is None or towards == CLEAN:
        _refuse_both_ways(pairs)
        return pairs
    if towards == COUNTERFACTUAL:
        return pairs.swapped()
    pairs.aligned_tokens()
    parts = [_turned(pairs[i : i + 1], towards) for i in range(len(pairs))]
    tokens = tuple(each for part in parts for each in part.tokens or ())
    return replace(pairs, examples=tuple(part[0] for part in parts), tokens=tokens)


def poles(pairs: Pairs, towards: str | None) -> tuple[str, str]:
    """What a direction's readings tell apart, low ones first: of pairs that are turned already."""
    if towards is None or towards in (CLEAN, COUNTERFACTUAL):
        ends = (COUNTERFACTUAL, CLEAN)
        return ends if towards != COUNTERFACTUAL else (CLEAN, COUNTERFACTUAL)
    others = {said(example, "corrupt") for example in pairs} - {None}
    return (str(others.pop()) if len(others) == 1 else f"not {towards}"), towards


def towards_of(direction: Directions) -> str | None:
    """What high readings speak for, if the directions say it of two labels."""
    return direction.labels[1] if len(direction.labels) == 2 else None


def said(example: Example, side: Side) -> str | None:
    """The label of a prompt, or its usual right answer, without the space before it; None if it has neither."""
    label, answers = example.label, example.answers
    if side == "corrupt":
        label, answers = example.corrupt_label, example.corrupt_answers or example.wrong
    found = label if label is not None else answers[0] if answers else None
    return None if found is None else str(found).strip()


def _turned(one: Pairs, towards: str) -> Pairs:
    example = one[0]
    has = {side: said(example, side) == towards for side in get_args(Side)}
    if has["clean"] == has["corrupt"]:
        found = sorted({str(said(example, side)) for side in has})
        where = "on both sides" if has["clean"] else "on neither side"
        raise DataError(
            f"A pair of task {one.task!r} has {towards!r} {where}: its sides have {', '.join(found)}."
            f"{nearest(towards, found)} Name what one side has and the other has not."
        )
    return one if has["clean"] else one.swapped()


def _refuse_both_ways(pairs: Pairs) -> None:
    """Pairs that all have the same two answers, now one and now the other on the clean side, cancel in a mean."""
    both = {(said(example, "clean"), said(example, "corrupt")) for example in pairs}
    if len(both) == 2 and {(second, first) for first, second in both} == both:
        first = sorted(str(each) for each in both.pop())
        raise DataError(
            f"These pairs point both ways: the clean prompt has now {first[0]!r} and now {first[1]!r}, so their differences "
            f"cancel. Say which is meant: towards={first[1]!r}."
        )
