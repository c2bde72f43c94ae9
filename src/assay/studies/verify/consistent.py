"""Whether a bundle agrees with itself, without running anything: each problem is one line.

What is recomputed is cheap: the verdicts, from the numbers in the bundle. Whoever changes a number, a verdict or a
prediction has to change all that hangs on it to pass here; then the rerun finds it.
"""

from __future__ import annotations

from collections.abc import Iterator

from assay.core.errors import AssayError
from assay.studies.bundle.opened import Bundle
from assay.studies.conclusion import Conclusion, Judgement, Number, concluded
from assay.studies.environment import versions
from assay.studies.plan import changes
from assay.studies.read import read_study
from assay.studies.run import judged
from assay.studies.schema import Study
from assay.studies.verify.agreement import numbers_agree

_ROUNDING = 1e-9
_SAID = ("statement", "because", "quantity", "prediction", "refuted_if", "smallest_effect", "exploratory")
_STATISTICS = ("assay", "numpy", "scipy")


def problems(bundle: Bundle) -> tuple[str, ...]:
    """Everything in a bundle that contradicts something else in it."""
    return (*_study_file(bundle), *_prompts(bundle), *_conclusion(bundle))


def _study_file(bundle: Bundle) -> Iterator[str]:
    try:
        study = read_study(bundle.root / "study.yaml")
    except AssayError as error:
        yield f"study.yaml can't be read: {str(error).splitlines()[0].rpartition('study.yaml:')[2]}"
        return
    file, plan = (_asked(each) for each in (study, bundle.contents.study))
    if changed := changes(plan, file):
        yield f"study.yaml is not the plan: {', '.join(changed[:5])} are others"


def _asked(study: Study) -> object:
    return study.model_dump(
        mode="json", by_alias=True, exclude={"budget": True, "matrix": True, "data": {"__all__": {"file"}}}
    )


def _prompts(bundle: Bundle) -> Iterator[str]:
    for name, spec in bundle.contents.study.data.items():
        found = bundle.contents.prompts[name]
        if len(found.examples) > spec.n:
            yield f"prompts/{name}.jsonl holds {len(found.examples)} prompts, the plan asks for {spec.n}"
        yield from (
            f"prompts/{name}.jsonl: {fact}" for fact in found.facts if "can't be read" in fact or "not in" in fact
        )
        shown = {step: result.data.sizes["example"] for step, result in bundle.contents.results.items()
                 if result.examples == name and "example" in result.data.sizes}  # fmt: skip
        for step, count in shown.items():
            if count > len(found.examples):
                yield f"step {step} has numbers of {count} prompts, prompts/{name}.jsonl holds {len(found.examples)}"


def _conclusion(bundle: Bundle) -> Iterator[str]:
    contents = bundle.contents
    for name, result in contents.results.items():
        step = contents.study.steps[name]
        if (result.step, result.method, result.examples) != (name, step.method, step.data):
            yield f"results/{name}.parquet is of another step, method or data set than the plan's {name}"
        elif changed := changes(step.settings, result.settings):
            yield f"results/{name}.parquet was made with other settings than the plan's: {', '.join(changed[:5])}"
    try:
        verdicts = judged(contents.study, contents.results)
    except AssayError as error:
        yield f"its numbers don't give the hypotheses' quantities: {str(error).splitlines()[0]}"
        return
    again = concluded(
        contents.study, contents.plan, results=contents.results, verdicts=verdicts, about=contents.environment
    )
    yield from _judgements(contents.conclusion, again, exact=_same_statistics(bundle))
    yield from _choices(contents.conclusion, contents.study)
    stated = {(each.source, each.text) for each in contents.conclusion.limitations}
    if _same_statistics(bundle):
        for each in again.limitations:
            if (each.source, each.text) not in stated:
                yield f"a limitation was left out: {each.source}: {each.text[:120]}"


def _choices(stated: Conclusion, study: Study) -> Iterator[str]:
    """Verdicts under choices that nobody declared. Those that were declared are judged again by the rerun alone."""
    declared = {each.name for each in study.sensitivity}
    for said in stated.judgements:
        yield from (
            f"{said.id}: the conclusion has a verdict under the choices {each.name}, which the plan does not declare"
            for each in said.otherwise
            if each.name not in declared
        )


def _judgements(stated: Conclusion, again: Conclusion, *, exact: bool) -> Iterator[str]:
    if [each.id for each in stated.judgements] != [each.id for each in again.judgements]:
        yield "the conclusion is about other hypotheses than the plan"
        return
    for said, follows in zip(stated.judgements, again.judgements, strict=True):
        for name in _SAID:
            if getattr(said, name) != getattr(follows, name):
                yield f"{said.id}: the conclusion's {name} is not the plan's"
        if said.outcome != follows.outcome:
            yield f"{said.id}: the conclusion says {said.outcome}, its numbers give {follows.outcome}"
        yield from _numbers(said, follows, exact=exact)


def _numbers(said: Judgement, follows: Judgement, *, exact: bool) -> Iterator[str]:
    pairs = [(said.id, said.number, follows.number)]
    beside = {each.name: each.number for each in follows.baselines}
    if [each.name for each in said.baselines] != list(beside):
        yield f"{said.id}: the conclusion has other baselines than the plan"
        return
    pairs += [(f"{said.id}, {each.name}", each.number, beside[each.name]) for each in said.baselines]
    for name, one, other in pairs:
        values = _only_value(one), _only_value(other)
        checked = (one, other) if exact else values  # another version may make another interval of the same numbers
        if numbers_agree(name, *checked, tolerance=_ROUNDING).standing == "differs":
            yield f"{name}: the conclusion says {one.text}, its numbers give {other.text}"


def _only_value(number: Number) -> Number:
    return number.model_copy(update={"low": None, "high": None})


def _same_statistics(bundle: Bundle) -> bool:
    made, here = bundle.contents.environment.get("versions", {}), versions()
    return all(made.get(name) == here.get(name) for name in _STATISTICS)
