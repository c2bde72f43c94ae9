"""Claims of causation that rest on steps which change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

from assay.core.registry import find
from assay.studies.lint.finding import Finding, Findings
from assay.studies.quantity import selectors
from assay.studies.schema import Study

CAUSAL = re.compile(
    r"\b(caus(?:e|es|ed|al|ally|ing)|because of|due to|responsible for|necessary|sufficient|(?:is|are) enough"
    r"|(?:is|are) needed|needs?|driv(?:e|es|en|ing)|mediat(?:e|es|ed)|controls?|leads? to|result(?:s|ed)? in|makes?"
    r"|produc(?:e|es|ed)|decid(?:e|es|ed)|through which|implement(?:s|ed)?|the circuit|determines"
    r"|essential|crucial|indispensable|gives? rise to|(?:is|are) explained by)\b",
    re.IGNORECASE,
)
"""Words that say that something would be otherwise if a part were."""


def causal_words(text: str) -> list[str]:
    """The words of a text that claim a cause."""
    return list(dict.fromkeys(match.group(0).lower() for match in CAUSAL.finditer(text)))


def intervenes(study: Study, steps: Iterable[str]) -> bool:
    """Whether any of the steps changes the network."""
    return any(find(study.steps[name].method).card.intervenes for name in steps)


def causes_without_interventions(study: Study) -> Findings:
    """Hypotheses in causal words whose numbers come only from steps that look and don't touch."""
    for hypothesis in study.hypotheses:
        words = causal_words(hypothesis.statement)
        steps = sorted({each.step for each in selectors(hypothesis.quantity)})
        if words and not intervenes(study, steps):
            methods = ", ".join(f"{name} ({study.steps[name].method})" for name in steps)
            yield Finding(
                rule="causes",
                level="error",
                where=f"hypotheses.{hypothesis.id}.statement",
                problem=f"{words[0]!r} claims a cause, but {methods} changes nothing in the network.",
                advice="Judge it by a step that intervenes (patching, ablation), or say what is seen and no more.",
            )
