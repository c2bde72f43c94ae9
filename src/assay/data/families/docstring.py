"""Docstring arguments: the next `:param` of a Python docstring is the next argument of the function's signature.

Counterfactual: that argument has another name in the signature, so the answer flips with one token changed. Source:
Heimersheim and Janiak 2023 (a circuit for Python docstrings in a 4-layer attention-only transformer).
"""

from __future__ import annotations

from assay.data.example import Example
from assay.data.family import Draw, Family, register
from assay.data.lexicon import SPLITS, words
from assay.data.template import Template, contrast, templates

ARGUMENTS = words(
    "argument names",
    """
    name line field path host size value key index data file user type text code node state color table image
    port label model date time count limit start offset width height depth level mode order group input output
    source target message header body token query filter format length number address event item list
    parent child root result error status option config cache buffer stream channel server client request
    """,
)
VERBS = words(
    "verbs of functions", "load save update remove create check find copy move send read write open close build sort"
)
SIGNATURE = "def {verb}(self, {first}, {second}, {A}, {B}, {target}, {last}):\n"
TEXTS = {
    "train": (
        SIGNATURE + '    """{verb_again} it\n\n    :param {A2}: the one\n    :param {B2}: the other\n    :param',
        SIGNATURE + '    """\n    @param {A2} first part\n    @param {B2} second part\n    @param',
        SIGNATURE + '    """What it does.\n\n    :arg {A2}: some part\n    :arg {B2}: some other part\n    :arg',
    ),
    "validation": (
        SIGNATURE + '    """{verb_again}.\n\n    * {A2}: given\n    * {B2}: given too\n    *',
        SIGNATURE + '    """See below.\n\n    :type {A2}: str\n    :type {B2}: int\n    :type',
    ),
    "test": (
        SIGNATURE + '    """The usual way.\n\n    - {A2}: what to use\n    - {B2}: how to use it\n    -',
        SIGNATURE + '    """{verb_again} this.\n\n    \\param {A2} is needed\n    \\param {B2} is needed\n    \\param',
        SIGNATURE + '    """Short.\n\n    :parameter {A2}: any\n    :parameter {B2}: any\n    :parameter',
    ),
}


def make(template: Template, draw: Draw) -> Example:
    """One pair of prompts."""
    slots = ("first", "second", "A", "B", "target", "last")
    *drawn, other = draw.sample(ARGUMENTS, len(slots) + 1)
    values = dict(zip(slots, drawn, strict=True))
    verb = draw.pick(VERBS)
    values |= {"A2": values["A"], "B2": values["B"], "verb": verb, "verb_again": verb}
    first, second, places = contrast(template, values, {**values, "target": other})
    rest = tuple(f" {word}" for word in drawn if word != values["target"])
    return Example(
        clean=first,
        corrupt=second,
        positions={name: places[name] for name in ("A", "B", "target", "A2", "B2")},
        answers=(f" {values['target']}",),
        wrong=(f" {other}", *rest),
        corrupt_answers=(f" {other}",),
        corrupt_wrong=(f" {values['target']}", *rest),
        names=(*drawn, other, verb),
    )


register(
    Family(
        name="docstring",
        summary="the next argument to document",
        templates={split: templates(*TEXTS[split], prefix=split) for split in SPLITS},
        make=make,
    )
)
