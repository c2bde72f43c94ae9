"""True and false statements, affirmed and negated, for probing (Geometry of Truth).

Variant `truth`: the counterfactual has another object, so that one statement is true and the other false; half of the
wordings are negated, which turns the label. Variant `negation`: both statements have the same object and one of them
says " not" where the other says " indeed", so the label flips while the fact stays. The label is the truth of the
statement; there is no answer to complete. Source: Marks and Tegmark 2023, arXiv:2310.06824; negations: Bürger et al.
2024, arXiv:2407.12831.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from assay.data.example import Example
from assay.data.family import Draw, Family, Make, register
from assay.data.lexicon import SPLITS, words
from assay.data.template import Template, contrast, templates
from assay.data.wordlists.facts import CITIES
from assay.data.wordlists.things import ANIMALS, TOOLS

JUDGE = (" Is this statement true or false? It is", " true", " false")
FACTS: dict[str, dict[str, tuple[str, ...]]] = {
    "cities": {
        "train": ("The city of {subject} is {no} in {object}.", "It is {no} true that {subject} is in {object}."),
        "validation": ("{subject} is {no} a city in {object}.", "You will {no} find {subject} in {object}."),
        "test": ("Those who live in {subject} do {no} live in {object}.", "{subject} does {no} belong to {object}."),
    },
    "larger": {
        "train": ("{subject} is {no} larger than {object}.", "The number {subject} is {no} greater than {object}."),
        "validation": ("It is {no} the case that {subject} exceeds {object}.",),
        "test": ("We found that {subject} is {no} more than {object}.", "{subject} does {no} come after {object}."),
    },
    "animals": {
        "train": (
            "The {subject} is {no} a kind of {object}.",
            "Everyone knows the {subject} is {no} a type of {object}.",
        ),
        "validation": ("By its nature, the {subject} is {no} some sort of {object}.",),
        "test": (
            "People would {no} call the {subject} a sort of {object}.",
            "The {subject} does {no} seem a kind of {object}.",
        ),
    },
}
NUMBERS = words(
    "numbers",
    """
    ten twenty thirty forty fifty sixty seventy eighty ninety eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen one two three four five six seven eight nine
    """,
)
VALUES = dict(zip(NUMBERS.entries, (*range(10, 100, 10), *range(11, 20), *range(1, 10)), strict=True))
Fact = tuple[str, str, str]
"""Subject, the object that makes the statement true, one that makes it false."""


def _city(draw: Draw) -> Fact:
    row, other = draw.two_rows(CITIES)
    return draw.rng.choice(row[1].split(", ")), row[0], other[0]


def _number(draw: Draw) -> Fact | None:
    subject, one, other = draw.sample(NUMBERS, 3)
    low, high = sorted((one, other), key=VALUES.__getitem__)
    return (subject, low, high) if VALUES[low] < VALUES[subject] < VALUES[high] else None


def _kind(draw: Draw) -> Fact:
    kinds = {"train": ("animal", "product"), "validation": ("organism", "item"), "test": ("creature", "artifact")}
    right, wrong = kinds[draw.split]
    alive = draw.rng.random() < 0.5
    subject = draw.pick(ANIMALS if alive else TOOLS)
    return (subject, right, wrong) if alive else (subject, wrong, right)


def _make(fact_of: Callable[[Draw], Fact | None]) -> Make:
    def make(template: Template, draw: Draw) -> Example | None:
        fact = fact_of(draw)
        if fact is None:
            return None
        subject, right, wrong = fact
        negated, true_first = draw.rng.random() < 0.5, draw.rng.random() < 0.5
        objects = (right, wrong) if true_first else (wrong, right)
        if draw.variant == "negation":
            sides = [(objects[0], negated), (objects[0], not negated)]
        else:
            sides = [(objects[0], negated), (objects[1], negated)]
        values = [
            {"subject": _start(subject, template), "object": o, "no": "not" if no else "indeed"} for o, no in sides
        ]
        labels = [(o == right) != no for o, no in sides]
        first, second, places = contrast(template, values[0], values[1])
        return Example(
            clean=first, corrupt=second, positions=places, label=labels[0], corrupt_label=labels[1], names=fact
        )

    return make


def _start(word: str, template: Template) -> str:
    """A sentence begins with a capital."""
    return word[0].upper() + word[1:] if template.text.startswith("{subject}") else word


MAKERS: Mapping[str, tuple[str, Callable[[Draw], Fact | None]]] = {
    "cities": ("in which country a city is", _city),
    "larger": ("which of two numbers is larger", _number),
    "animals": ("what is an animal", _kind),
}
for _name, (_about, _fact) in MAKERS.items():
    register(
        Family(
            name=f"truth-{_name}",
            summary=f"true or false: {_about}",
            templates={split: templates(*FACTS[_name][split], prefix=split) for split in SPLITS},
            make=_make(_fact),
            use="probing",
            variants=("truth", "negation"),
            source="arXiv:2310.06824",
            judge=JUDGE,
        )
    )
