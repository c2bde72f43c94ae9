"""Gendered pronouns: "So Mary is a really great friend, isn't" → " she". Counterfactual: a name of the other gender.

Source of the format: Mathwin et al. 2023 (identifying a circuit for gendered pronouns).
"""

from __future__ import annotations

from assay.data.example import Example
from assay.data.family import Draw, Family, register
from assay.data.lexicon import SPLITS
from assay.data.template import Template, contrast, templates
from assay.data.wordlists.people import MEN, PRAISE, ROLES, WOMEN

TEXTS = {
    "train": (
        "So {name} is a really {praise} {role}, isn't",
        "{name} was a {praise} {role} back then, wasn't",
        "I hear that {name} is such a {praise} {role}, isn't",
        "{name} the {role} will be {praise} to us, won't",
    ),
    "validation": (
        "They say {name} has been a {praise} {role}, hasn't",
        "Well, {name} does look like a {praise} {role}, doesn't",
    ),
    "test": (
        "I think {name} could be a {praise} {role}, couldn't",
        "You know {name} is the most {praise} {role} here, isn't",
        "Last year {name} became a {praise} {role}, didn't",
    ),
}


def make(template: Template, draw: Draw) -> Example:
    """One pair of prompts."""
    woman, man = draw.pick(WOMEN), draw.pick(MEN)
    role, praise = draw.pick(ROLES), draw.pick(PRAISE)
    people = [(woman, " she"), (man, " he")]
    draw.rng.shuffle(people)
    (name, answer), (other, other_answer) = people
    values = {"role": role, "praise": praise}
    first, second, places = contrast(template, {**values, "name": name}, {**values, "name": other})
    return Example(
        clean=first,
        corrupt=second,
        positions=places,
        answers=(answer,),
        wrong=(other_answer,),
        corrupt_answers=(other_answer,),
        corrupt_wrong=(answer,),
        names=(name, other, role, praise),
    )


register(
    Family(
        name="gender-pronoun",
        summary="he or she, from a first name",
        templates={split: templates(*TEXTS[split], prefix=split) for split in SPLITS},
        make=make,
    )
)
