"""Words of a study's own text that none of its numbers could carry, whatever they turn out to be."""

from __future__ import annotations

from collections.abc import Iterator

from assay.studies.lint.claims import ADVICE
from assay.studies.lint.finding import Finding, Findings
from assay.studies.lint.prose import sentences
from assay.studies.lint.strong import strong_words
from assay.studies.schema import Study


def words_too_strong(study: Study) -> Findings:
    """Strong words in the title, the statements and the limitations; those of causes have a check of their own."""
    for where, text in _texts(study):
        for sentence in sentences(text):
            for word in strong_words(sentence.text):
                if word.kind not in ("cause", "absent"):
                    yield Finding(
                        rule="words",
                        level="warning",
                        where=where,
                        problem=f"“{word.text}” says more than a number over some examples can show.",
                        advice=ADVICE[word.kind],
                    )


def _texts(study: Study) -> Iterator[tuple[str, str]]:
    yield "title", study.title
    for hypothesis in study.hypotheses:
        yield f"hypotheses.{hypothesis.id}.statement", hypothesis.statement
    for i, text in enumerate(study.limitations):
        yield f"limitations.{i}", text
