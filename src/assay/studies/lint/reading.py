"""Quantities that read what their step can't give, seen before the run instead of after it.

After the run a hypothesis can only be mended as a change of the plan, which makes it exploratory. What a method that gives
`Scores` holds is known: one variable, `score`, by `component`. Of other methods it is not known before they have run.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.errors import nearest
from assay.core.protocols import Scores
from assay.core.registry import find
from assay.studies.lint.finding import Finding, Findings
from assay.studies.quantity import Selector, selectors
from assay.studies.schema import Hypothesis, Study


def reads_what_is_not_there(study: Study) -> Findings:
    """Selectors of steps that give scores, which ask for another variable, or another axis."""
    for hypothesis in study.hypotheses:
        for where, selector in _read(hypothesis):
            if find(study.steps[selector.step].method).card.gives is not Scores:
                continue
            wrong = [] if selector.variable == "score" else [selector.variable]
            wrong += [dim for dim in selector.coords if dim != "component"]
            if wrong:
                others = nearest(wrong[0], ("score", "component"))
                yield Finding(
                    rule="quantity",
                    level="error",
                    where=f"hypotheses.{hypothesis.id}.{where}",
                    problem=f"{selector.step} ({study.steps[selector.step].method}) gives scores, which have the one variable "
                    f"`score` by `component`, and no {wrong[0]!r}.{others}",
                    advice="Read `score`, or another step. After the run a change would make the hypothesis exploratory.",
                )


def _read(hypothesis: Hypothesis) -> Iterator[tuple[str, Selector]]:
    yield from (("quantity", each) for each in selectors(hypothesis.quantity))
    for baseline in hypothesis.baselines:
        yield from ((f"baselines.{baseline.name}", each) for each in selectors(baseline.quantity))
