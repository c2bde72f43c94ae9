"""Colour recall: "The cup is red and the ball is blue.

The cup is" → " red". Counterfactual: the other object is asked for.
"""

from __future__ import annotations

from assay.data.example import Example
from assay.data.family import Draw, Family, register
from assay.data.lexicon import SPLITS
from assay.data.template import Template, contrast, templates
from assay.data.wordlists.things import COLOURS, OBJECTS

TEXTS = {
    "train": (
        "The {object1} is {colour1} and the {object2} is {colour2}. The {query} is",
        "There is a {colour1} {object1} and a {colour2} {object2}. The color of the {query} is",
        "I bought a {colour1} {object1} and a {colour2} {object2}. My {query} is",
        "{object1}: {colour1}\n {object2}: {colour2}\n {query}:",
    ),
    "validation": (
        "Anyone can see that the {object1} is {colour1}, the {object2} is {colour2}, and so the {query} is",
        "We have a {object1} painted {colour1} and a {object2} painted {colour2}. Our {query} is painted",
    ),
    "test": (
        "On the floor are a {colour1} {object1} and a {colour2} {object2}. Q: What color is the {query}? A:",
        "My {object1} is {colour1}, but my {object2} is {colour2}. Of the two, the {query} is",
        "A {colour1} {object1} stood beside a {colour2} {object2}. The {query} was",
    ),
}


def make(template: Template, draw: Draw) -> Example:
    """One pair of prompts."""
    things, colours = draw.sample(OBJECTS, 2), draw.sample(COLOURS, 2)
    asked = draw.rng.randrange(2)
    values = dict(zip(("object1", "object2", "colour1", "colour2"), things + colours, strict=True))
    first, second, places = contrast(
        template, {**values, "query": things[asked]}, {**values, "query": things[1 - asked]}
    )
    right, wrong = (f" {colours[asked]}",), (f" {colours[1 - asked]}",)
    return Example(
        clean=first,
        corrupt=second,
        positions=places,
        answers=right,
        wrong=wrong,
        corrupt_answers=wrong,
        corrupt_wrong=right,
        names=(*things, *colours),
    )


register(
    Family(
        name="colour-recall",
        summary="the colour of one of two objects",
        templates={split: templates(*TEXTS[split], prefix=split) for split in SPLITS},
        make=make,
    )
)
