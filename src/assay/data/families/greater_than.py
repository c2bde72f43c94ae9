"""Greater-than: "The war lasted from the year 1743 to the year 17" → a later year.

With a tokenizer that has two-digit tokens the answers are the later two-digit years that are tokens of their own there;
with one that splits digits (or without any), the next token is the tens digit, and the answers are the greater ones;
the equal digit is neither right nor wrong. The counterfactual starts in the year 01, as in Hanna et al. 2023,
arXiv:2305.00586; after it every tens digit can be right, so one-digit answers claim nothing about it.
"""

from __future__ import annotations

from assay.data.example import Example
from assay.data.family import Draw, Family, register
from assay.data.lexicon import SPLITS, words
from assay.data.template import Template, contrast, templates
from assay.data.wordlists.things import EVENTS

CENTURIES = words("centuries", "17 18 16 15 13 19 14 12")
TEXTS = {
    "train": (
        "The {event} lasted from the year {XX1}{tens}{units} to the year {XX2}",
        "The {event} went on from {XX1}{tens}{units} to {XX2}",
        "It is known that the {event} lasted from {XX1}{tens}{units} until {XX2}",
        "The {event} began in {XX1}{tens}{units} and ended in {XX2}",
    ),
    "validation": (
        "Between the years {XX1}{tens}{units} and {XX2}",
        "The {event} started in the year {XX1}{tens}{units} and was over by the year {XX2}",
    ),
    "test": (
        "They planned the {event} in {XX1}{tens}{units} and finished it in {XX2}",
        "The years of the {event} were {XX1}{tens}{units} to {XX2}",
        "Historians say the {event} ran from the year {XX1}{tens}{units} through the year {XX2}",
    ),
}


YEARS = tuple(f"{year:02d}" for year in range(100))


def make(template: Template, draw: Draw) -> Example | None:
    """One pair of prompts."""
    century = draw.rng.choice(CENTURIES.part(draw.split))
    event = draw.pick(EVENTS)
    start = draw.rng.randrange(20, 90)
    values = {"event": event, "XX1": century, "XX2": century}
    first, second, places = contrast(
        template,
        {**values, "tens": str(start // 10), "units": str(start % 10)},
        {**values, "tens": "0", "units": "1"},
    )
    years = draw.joining(first[-12:], YEARS) if draw.tokenizer is not None else ()
    right, wrong = _years(start, years) if years else _tens(start)
    early, too_early = _years(1, years) if years else ((), ())
    if not (right and wrong):
        return None
    return Example(
        clean=first,
        corrupt=second,
        positions=places,
        answers=right,
        wrong=wrong,
        corrupt_answers=early,
        corrupt_wrong=too_early,
        names=(century, event) if "event" in template.slots else (century,),
    )


def _years(start: int, years: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Later years, nearest first, and the year itself with the earlier ones, latest first."""
    return tuple(y for y in years if int(y) > start), tuple(y for y in reversed(years) if int(y) <= start)


def _tens(start: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    tens = start // 10
    return tuple(str(d) for d in range(tens + 1, 10)), tuple(str(d) for d in range(tens - 1, -1, -1))


register(
    Family(
        name="greater-than",
        summary="a year later than the one given",
        templates={split: templates(*TEXTS[split], prefix=split) for split in SPLITS},
        make=make,
        source="arXiv:2305.00586",
    )
)
