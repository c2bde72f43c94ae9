"""Copying: a list of random words, then the same list again up to some place; the answer is the next word.

Like `induction`, but as text with separators. Counterfactual: one word of the first list is another one, so the answer
flips with one token changed.
"""

from __future__ import annotations

from assay.data.example import Example
from assay.data.family import Draw, Family, register
from assay.data.lexicon import Lexicon
from assay.data.template import Template, contrast
from assay.data.wordlists.facts import OPPOSITES, VERBS
from assay.data.wordlists.things import ANIMALS, NOUNS, OBJECTS

POOL = Lexicon(
    "common words",
    tuple(
        dict.fromkeys(
            [*OBJECTS.entries, *ANIMALS.entries]
            + [cell for rows in (NOUNS.entries, OPPOSITES.entries, VERBS.entries) for row in rows for cell in row]
        )
    ),
)
FORMS = {
    "train": (("{0} {1}", " ", 6), ("{0}\n{1}", " ", 8), ("{0}, {1}", ", ", 5)),
    "validation": (("List: {0}\nCopy: {1}", ", ", 6), ("{0}. {1}", " ", 7)),
    "test": (("First: {0}\nAgain: {1}", " ", 7), ("{0};\n{1}", ", ", 6), ("({0}) ({1}", " ", 8)),
}


def _templates(split: str) -> tuple[Template, ...]:
    return tuple(
        Template(f"{split}-{i}-{length}-at{at}", _text(form, separator, length, at))
        for i, (form, separator, length) in enumerate(FORMS[split])
        for at in (length // 2, length - 1)
    )


def _text(form: str, separator: str, length: int, at: int) -> str:
    """The wording: `a0 a1 …` are the words, `b0 b1 …` their repetition up to the word before the answer."""
    slots = ["{target}" if i == at else "{previous}" if i == at - 1 else f"{{a{i}}}" for i in range(length)]
    again = [f"{{b{i}}}" for i in range(at)]
    return form.format(separator.join(slots), separator.join(again)) + separator.rstrip()


def make(template: Template, draw: Draw) -> Example:
    """One pair of prompts."""
    names = [slot for slot in template.slots if not slot.startswith("b")]
    *drawn, other = draw.sample(POOL, len(names) + 1)
    values = dict(zip(names, drawn, strict=True))
    repeated = {slot: drawn[int(slot[1:])] for slot in template.slots if slot.startswith("b")}
    first, second, places = contrast(template, {**values, **repeated}, {**values, **repeated, "target": other})
    target = values["target"]
    rest = tuple(f" {word}" for word in drawn if word != target)
    return Example(
        clean=first,
        corrupt=second,
        positions={name: places[name] for name in ("previous", "target")},
        answers=(f" {target}",),
        wrong=(f" {other}", *rest),
        corrupt_answers=(f" {other}",),
        corrupt_wrong=(f" {target}", *rest),
        names=(*drawn, other),
    )


register(
    Family(
        name="copying",
        summary="the next word of a list that is being repeated",
        templates={"train": _templates("train"), "validation": _templates("validation"), "test": _templates("test")},
        make=make,
        source="arXiv:2209.11895",
    )
)
