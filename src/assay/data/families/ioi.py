"""Indirect object identification: "When Mary and John went to the store, John gave a drink to" → " Mary".

Two names, one repeated; the other one is the answer. ABBA and BABA: in which order the names are introduced.
Counterfactual `swap` repeats the other name, so the answer flips with one token changed; `abc` has three unrelated
names, so nothing is repeated and no answer is right. Source: Wang et al. 2022, arXiv:2211.00593.
"""

from __future__ import annotations

from assay.data.example import Example
from assay.data.family import Draw, Family, register
from assay.data.lexicon import SPLITS
from assay.data.template import Template, contrast
from assay.data.wordlists.people import NAMES
from assay.data.wordlists.things import OBJECTS, VENUES

TEXTS = {
    "train": (
        "When {A} and {B} went to the {place}, {S2} gave a {object} to",
        "Then, {A} and {B} had a lot of fun at the {place}. {S2} gave a {object} to",
        "After {A} and {B} went to the {place}, {S2} decided to give a {object} to",
        "While {A} and {B} were working at the {place}, {S2} handed a {object} to",
        "Yesterday {A} and {B} walked through the {place}. There {S2} sold a {object} to",
        "Then {A} and {B} had a long talk at the {place}. Afterwards {S2} said to",
    ),
    "validation": (
        "Once {A} and {B} had arrived at the {place}, {S2} passed a {object} to",
        "Friends {A} and {B} found a {object} at the {place}. {S2} gave it to",
        "The {place} was where {A} and {B} met. {S2} offered a {object} to",
    ),
    "test": (
        "Because {A} and {B} were late for the {place}, {S2} threw the {object} to",
        "This morning {A} and {B} visited the {place}, and {S2} brought a {object} for",
        "As soon as {A} and {B} left the {place}, {S2} showed a {object} to",
        "Last week {A} and {B} stayed at the {place}, where {S2} sent a {object} to",
    ),
}


def _orders(split: str, texts: tuple[str, ...]) -> tuple[Template, ...]:
    """Each wording twice: the indirect object first (ABBA), or the subject first (BABA)."""
    orders = {"ABBA": {"A": "IO", "B": "S1"}, "BABA": {"A": "S1", "B": "IO"}}
    return tuple(
        Template(f"{split}-{i}-{order}", text.replace("{A}", f"{{{slot['A']}}}").replace("{B}", f"{{{slot['B']}}}"))
        for i, text in enumerate(texts)
        for order, slot in orders.items()
    )


def make(template: Template, draw: Draw) -> Example:
    """One pair of prompts."""
    io, subject, *others = draw.sample(NAMES, 5)
    filler = {"place": draw.pick(VENUES), "object": draw.pick(OBJECTS)}
    clean = {"IO": io, "S1": subject, "S2": subject, **filler}
    swap = draw.variant == "swap"
    corrupt = {**clean, "S2": io} if swap else {**filler, **dict(zip(("IO", "S1", "S2"), others, strict=True))}
    first, second, places = contrast(template, clean, corrupt)
    return Example(
        clean=first,
        corrupt=second,
        positions=places,
        answers=(f" {io}",),
        wrong=(f" {subject}",),
        corrupt_answers=(f" {subject}",) if swap else (),
        corrupt_wrong=(f" {io}",) if swap else (),
        names=(io, subject, *filler.values()) if swap else (io, subject, *others, *filler.values()),
    )


register(
    Family(
        name="ioi",
        summary="which of two names was not repeated",
        templates={split: _orders(split, TEXTS[split]) for split in SPLITS},
        make=make,
        variants=("swap", "abc"),
        source="arXiv:2211.00593",
    )
)
