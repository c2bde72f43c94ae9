"""Controls of a step, made without being asked: those that the kind of claim of its result needs.

Made for steps that a hypothesis reads, while the value still knows its call. Controls that need no run of the method are
always made; the others share the time that the study allows them (`analysis.control_time`, in times of the step's own).
What comes as far as the result, and what was not made, are caveats of the step: reports list them as limitations.
"""

from __future__ import annotations

from typing import Any

from assay.core.calls import recall
from assay.stats.controls import Comparison, against, claim_of, seconds_of, unclaimed
from assay.studies.quantity import selectors
from assay.studies.schema import Study


def controlled(study: Study, step: str, value: Any, *, pairs: Any) -> Comparison | None:
    """The value of a step beside its controls; None where no hypothesis reads it, or it makes no claim."""
    call = recall(value)
    if not _is_read(study, step) or call is None or claim_of(value, call) is None:
        return None
    analysis = study.analysis
    options: dict[str, Any] = {"budget": analysis.control_time * seconds_of(call), "resamples": 1000}
    if analysis.cluster == "template":
        options["clusters"] = [each.template for each in pairs]
    return against(value, seed=analysis.seed, **options)


def uncontrolled(study: Study, step: str, value: Any) -> tuple[str, ...]:
    """Why a step that a hypothesis reads has no controls, if its method says so."""
    why = unclaimed(recall(value)) if _is_read(study, step) else ""
    return (f"no controls: {why}",) if why else ()


def _is_read(study: Study, step: str) -> bool:
    return any(each.step == step for hypothesis in study.hypotheses for each in selectors(hypothesis.quantity))
