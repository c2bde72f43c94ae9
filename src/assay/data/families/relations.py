"""Relations: facts and word pairs, asked in words or after a few examples.

The counterfactual asks about another subject with the same number of tokens, so the answer flips. Wrong answers: the
counterfactual's, then every other object of the split. Source of the format: Hernandez et al. 2023, arXiv:2308.09124.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.data.example import Example
from assay.data.family import Draw, Family, Make, register
from assay.data.lexicon import SPLITS, Lexicon
from assay.data.template import Template, contrast, templates
from assay.data.wordlists.facts import COUNTRIES, LANDMARKS, LANGUAGES, OPPOSITES, VERBS
from assay.data.wordlists.things import NOUNS

Texts = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Relation:
    """Which cells of a table are the subject and the object, and how many solved examples a prompt shows."""

    table: Lexicon[tuple[str, ...]]
    subject: int = 0
    object: int = 1
    shots: int = 0
    single_subject: bool = True
    """Whether subjects must be single tokens (else they are paired by their number of tokens)."""

    def rows(self, draw: Draw) -> tuple[tuple[str, ...], ...]:
        """The rows that the tokenizer allows."""
        cells = (self.subject, self.object) if self.single_subject else (self.object,)
        return draw.rows(self.table, single=tuple(sorted(cells)), need=2 + self.shots)


def _make(relation: Relation) -> Make:
    def make(template: Template, draw: Draw) -> Example | None:
        rows = relation.rows(draw)
        row, other, *shown = draw.rng.sample(rows, 2 + relation.shots)
        subject, answer = _cells(row, relation, draw)
        other_subject, other_answer = _cells(other, relation, draw)
        if answer == other_answer or subject == other_subject:
            return None
        shots = {f"x{i}": r[relation.subject] for i, r in enumerate(shown)}
        shots |= {f"y{i}": r[relation.object] for i, r in enumerate(shown)}
        first, second, places = contrast(template, {**shots, "subject": subject}, {**shots, "subject": other_subject})
        rest = [r[relation.object] for r in rows if r[relation.object] not in (answer, other_answer)]
        rest = [f" {word}" for word in dict.fromkeys(rest)]
        return Example(
            clean=first,
            corrupt=second,
            positions={"subject": places["subject"]},
            answers=(f" {answer}",),
            wrong=(f" {other_answer}", *rest),
            corrupt_answers=(f" {other_answer}",),
            corrupt_wrong=(f" {answer}", *rest),
            names=(subject, answer, other_subject, other_answer, *shots.values()),
        )

    return make


def _cells(row: tuple[str, ...], relation: Relation, draw: Draw) -> tuple[str, str]:
    """Subject and object; of several subjects in one cell, one."""
    return draw.rng.choice(row[relation.subject].split(", ")), row[relation.object]


def _register(name: str, summary: str, relation: Relation, texts: Texts) -> None:
    wordings = {split: templates(*texts[split], prefix=split) for split in SPLITS}
    register(Family(name=name, summary=summary, templates=wordings, make=_make(relation), source="arXiv:2308.09124"))


_register(
    "country-capital",
    "the capital of a country",
    Relation(COUNTRIES),
    {
        "train": (
            "The capital of {subject} is",
            "The capital city of {subject} is",
            "Q: What is the capital of {subject}? A:",
            "We flew to the capital of {subject},",
            "Of all the cities in {subject}, the capital is",
        ),
        "validation": (
            "{subject} has a capital city, which is called",
            "The government of {subject} sits in its capital,",
            "Everyone knows that the capital of {subject} is",
            "If you visit {subject}, see its capital,",
        ),
        "test": (
            "{subject}'s capital is",
            "The embassy was in the capital of {subject}, which is",
            "Question: Name the capital of {subject}.\nAnswer:",
            "Tourists in {subject} often begin in the capital,",
            "My favorite capital is the capital of {subject}:",
        ),
    },
)
_register(
    "capital-country",
    "the country of a capital",
    Relation(COUNTRIES, subject=1, object=0),
    {
        "train": (
            "{subject} is the capital of",
            "{subject} is the capital city of",
            "The city of {subject} is in the country of",
            "Q: Which country is {subject} the capital of? A:",
        ),
        "validation": (
            "As everyone knows, {subject} is the capital of",
            "{subject} is a large city located in",
            "The government in {subject} is that of",
        ),
        "test": (
            "People who live in {subject} live in the country of",
            "{subject}, the capital of",
            "Question: {subject} is the capital of which country?\nAnswer:",
            "She moved to {subject}, a beautiful city in",
        ),
    },
)
_register(
    "country-language",
    "the main language of a country",
    Relation(LANGUAGES),
    {
        "train": (
            "In {subject}, most people speak",
            "The official language of {subject} is",
            "Q: What language do people speak in {subject}? A:",
            "Everyone in {subject} speaks",
        ),
        "validation": (
            "People born in {subject} usually speak",
            "Books printed in {subject} are mostly written in",
            "The main language of {subject} is",
        ),
        "test": (
            "She grew up in {subject}, so her native language is",
            "Newspapers in {subject} are written in",
            "Question: Which language is spoken in {subject}?\nAnswer:",
            "He moved to {subject} and had to learn",
        ),
    },
)
_register(
    "landmark-city",
    "the city of a landmark",
    Relation(LANDMARKS, subject=1, object=0, single_subject=False),
    {
        "train": (
            "The {subject} is located in the city of",
            "Q: In which city is the {subject}? A:",
            "To see the {subject}, travel to",
            "The {subject} can be found in",
        ),
        "validation": (
            "We visited the {subject} during our trip to",
            "The {subject} is a famous landmark in",
            "The {subject} attracts many tourists to",
        ),
        "test": (
            "Question: Where is the {subject}?\nAnswer: It is in",
            "The {subject} is one of the best known sights of",
            "If you want to see the {subject}, buy a ticket to",
            "The {subject} stands in the middle of",
        ),
    },
)
WORD_PAIRS: Texts = {
    "train": (
        "{x0} -> {y0}\n {x1} -> {y1}\n {x2} -> {y2}\n {subject} ->",
        "{x0}: {y0}\n {x1}: {y1}\n {x2}: {y2}\n {subject}:",
        "{x0} = {y0}, {x1} = {y1}, {x2} = {y2}, {subject} =",
    ),
    "validation": (
        "Q: {x0} A: {y0} Q: {x1} A: {y1} Q: {x2} A: {y2} Q: {subject} A:",
        "{x0} / {y0}\n {x1} / {y1}\n {x2} / {y2}\n {subject} /",
    ),
    "test": (
        "In: {x0}\nOut: {y0}\nIn: {x1}\nOut: {y1}\nIn: {x2}\nOut: {y2}\nIn: {subject}\nOut:",
        "{x0} - {y0}; {x1} - {y1}; {x2} - {y2}; {subject} -",
        "[{x0}] [ {y0}] [ {x1}] [ {y1}] [ {x2}] [ {y2}] [ {subject}] [",
    ),
}
_register("antonym", "the opposite of a word, after three examples", Relation(OPPOSITES, shots=3), WORD_PAIRS)
_register("plural", "the plural of a noun, after three examples", Relation(NOUNS, shots=3), WORD_PAIRS)
_register("past-tense", "the past tense of a verb, after three examples", Relation(VERBS, shots=3), WORD_PAIRS)
