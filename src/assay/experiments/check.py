"""What can be known to go wrong before anything runs: sites, places, shapes, prompts that do not line up, answers.

`check` raises; `problems` lists. What needs no model (names, cycles, axes) is refused when the experiment is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.core.errors import AssayError, ExperimentError, InputError, SiteError
from assay.experiments.alignment import source_problems
from assay.experiments.captures import Capture, GradCapture
from assay.experiments.edits import ANY_SITE, Edit
from assay.experiments.expand import axes
from assay.experiments.experiment import Experiment
from assay.experiments.facts import Facts, SiteFacts, head_axis
from assay.experiments.metric_checks import metric_problems
from assay.experiments.places import (
    Reader,
    dim_problems,
    example_problems,
    head_problems,
    on_prompt,
    position_problems,
    site_position_problems,
)
from assay.experiments.shapes import value_problems


def check(experiment: Experiment, facts: Facts) -> None:
    """Raise what is wrong: the problem itself if there is one, a list if there are several."""
    found = problems(experiment, facts)
    if len(found) == 1:
        raise found[0]
    if found:
        kinds = {type(problem) for problem in found}
        kind = kinds.pop() if len(kinds) == 1 else ExperimentError
        raise kind("\n".join([f"{len(found)} problems:", *(f"- {problem}" for problem in found)]))


def problems(experiment: Experiment, facts: Facts) -> list[AssayError]:
    """All that is wrong, each once."""
    found = list(_input_problems(experiment, facts))
    for name, run in experiment.runs.items():
        for edit in run.edits:
            for filled in _filled(edit, name, experiment):
                found += _edit_problems(filled, name, experiment, facts)
        for capture in run.captures:
            found += _capture_problems(capture, name, experiment, facts)
    for metric in experiment.metrics:
        found += metric_problems(metric, run=metric.run or experiment.main, experiment=experiment, facts=facts)
    if not found:
        found += _axis_problems(experiment, facts)
    return list({str(problem): problem for problem in found}.values())


def _input_problems(experiment: Experiment, facts: Facts) -> Iterator[AssayError]:
    for name, given in experiment.inputs.items():
        tokens = facts.tokens(name)
        for label, indices in given.positions.items():
            for example, index in enumerate(indices if tokens is not None else ()):
                length = len((tokens or ())[example])
                if not -length <= index < length:
                    yield InputError(
                        f"the input {name!r}: its position {label!r} is {index} in example {example}, which has {length} "
                        f"tokens: expected {-length} … {length - 1}."
                    )
                    break


def _axis_problems(experiment: Experiment, facts: Facts) -> Iterator[AssayError]:
    try:
        axes(experiment, facts)
    except AssayError as error:
        yield error


def _filled(edit: Edit, run: str, experiment: Experiment) -> list[Edit]:
    """The edit as a sweep's given values fill it in, one axis at a time; as it is without a sweep."""
    if experiment.sweep is None or run not in experiment.swept():
        return [edit]
    given = {axis.name: axis.values or (0,) for axis in experiment.sweep.axes if axis.name != "layer"}
    given |= {axis.name: axis.values for axis in experiment.sweep.axes if axis.name == "layer" and axis.values}
    first = {name: values[0] for name, values in given.items()}
    return [edit.at({**first, name: value}) for name, values in given.items() for value in values] or [edit]


def _edit_problems(edit: Edit, run: str, experiment: Experiment, facts: Facts) -> Iterator[AssayError]:
    try:
        sites = [] if edit.site == ANY_SITE else list(facts.sites(edit.site))
    except SiteError as error:
        yield SiteError(f"{edit}: {error}")
        return
    reader = Reader.of(experiment, run, facts)
    what = f"{edit}"
    yield from example_problems(what, edit.examples, reader)
    for site in _different(sites):
        if not site.writable:
            yield SiteError(f"{what}: {edit.site!r} can be read and not changed in this model. Choose a writable site.")
        filled = edit.model_copy(update={"head": None}) if _swept_head(edit, site, experiment, run) else edit
        yield from head_problems(what, filled.head, site)
        yield from dim_problems(what, edit.dims, site)
        yield from site_position_problems(what, edit.pos, site)
        if on_prompt(site, edit.site):
            yield from position_problems(what, edit.pos, reader, edit.examples)
        yield from value_problems(filled, site, edit.site, reader)
    try:
        yield from source_problems(edit, sites, run=run, experiment=experiment, facts=facts)
    except SiteError as error:
        yield SiteError(f"{what}: {error}")


def _swept_head(edit: Edit, site: SiteFacts, experiment: Experiment, run: str) -> bool:
    """A head filled in by the sweep is not given to edits at sites without heads; `axes` checks the others."""
    swept = experiment.sweep is not None and run in experiment.swept() and "head" in experiment.sweep.names
    return swept and head_axis(site) is None


def _different(sites: Sequence[SiteFacts]) -> list[SiteFacts]:
    """One site of each shape: layers mostly have the same."""
    return list({(site.axes, tuple(sorted(site.sizes.items())), site.writable): site for site in sites}.values())


def _capture_problems(capture: Capture, run: str, experiment: Experiment, facts: Facts) -> Iterator[AssayError]:
    what = f"the capture {capture.label!r}"
    try:
        sites = facts.sites(capture.site)
    except SiteError as error:
        yield SiteError(f"{what}: {error}")
        return
    reader = Reader.of(experiment, run, facts)
    for site in _different(sites):
        yield from head_problems(what, capture.head, site)
        yield from site_position_problems(what, capture.pos, site)
        if on_prompt(site, capture.site):
            yield from position_problems(what, capture.pos, reader)
    if isinstance(capture, GradCapture):
        yield from metric_problems(capture.of, run=run, experiment=experiment, facts=facts)
