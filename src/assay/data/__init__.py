"""Prompts and contrast pairs, task families, and corpora of plain text."""

from assay.data.alignment import Tokens
from assay.data.corpus import corpus
from assay.data.example import Example, Place
from assay.data.family import Draw, Family, register
from assay.data.generate import task, tasks
from assay.data.lexicon import Lexicon, table, words
from assay.data.measurement import Measured, Measurement, measured
from assay.data.pairs import Pairs
from assay.data.template import Template, contrast, templates

__all__ = [
    "Draw",
    "Example",
    "Family",
    "Lexicon",
    "Measured",
    "Measurement",
    "Pairs",
    "Place",
    "Template",
    "Tokens",
    "contrast",
    "corpus",
    "measured",
    "register",
    "table",
    "task",
    "tasks",
    "templates",
    "words",
]
