"""What can be known to go wrong before anything runs: sites, places, shapes, prompts that do not line up, answers.

`check` raises; `problems` lists. What needs no model (names, cycles, axes) is refused when the experiment is made.
Cost: it grows with the number of edits and with the sum, not the product, of a sweep's axes; nothing of the model runs.
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
from assay.experiments.infinite import infinite_problems
from assay.experiments.metric_checks import metric_problems
from assay.experiments.places import (
    Reader,
    dim_problems,
    example_problems,
    head_problems,
    on_prompt,
    padding_problems,
    position_problems,
    ragged_problems,
    site_position_problems,
    step_problems,
)
from assay.experiments.shapes import value_problems

SHOWN = 8
"""At most so many problems are told at once."""


def check(experiment: Experiment, facts: Facts, *, steps: int = 1) -> None:
    """Raise what is wrong: the problem itself if there is one, a list if there are several.

    `steps`: how many steps a generation has at most; a plain run has one.
    """
    found = problems(experiment, facts, steps=steps)
    if len(found) == 1:
        raise found[0]
    if found:
        kinds = {type(problem) for problem in found}
        kind = kinds.pop() if len(kinds) == 1 else ExperimentError
        lines = [f"- {problem}" for problem in found[:SHOWN]]
        more = [f"- … and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        raise kind("\n".join([f"{len(found)} problems:", *lines, *more]))


def problems(experiment: Experiment, facts: Facts, *, steps: int = 1) -> list[AssayError]:
    """All that is wrong, each once."""
    found = list(_input_problems(experiment, facts))
    for name, run in experiment.runs.items():
        for edit in run.edits:
            for filled in _filled(edit, name, experiment):
                found += _edit_problems(filled, name, experiment=experiment, facts=facts)
                found += step_problems(f"{filled}", filled, steps=steps)
                everywhere = _every_position(edit, filled, experiment)
                if everywhere:
                    found += padding_problems(f"{edit}", None, reader=Reader.of(experiment, name, facts))
                aligned = filled.model_copy(update={"pos": None}) if everywhere else filled
                found += _alignment_problems(aligned, name, experiment=experiment, facts=facts)
        for capture in run.captures:
            found += _capture_problems(capture, name, experiment=experiment, facts=facts)
    for metric in experiment.metrics:
        found += metric_problems(metric, run=metric.run or experiment.main, experiment=experiment, facts=facts)
    if not found:
        found += _axis_problems(experiment, facts)
    return list({str(problem): problem for problem in found}.values())


def _input_problems(experiment: Experiment, facts: Facts) -> Iterator[AssayError]:
    for name, given in experiment.inputs.items():
        lengths = facts.lengths(name)
        for label, indices in given.positions.items():
            if lengths is None:
                continue
            outside = next((i for i, at in enumerate(indices) if not -lengths[i] <= at < lengths[i]), None)
            if outside is not None:
                length = lengths[outside]
                yield InputError(
                    f"the input {name!r}: its position {label!r} is {indices[outside]} in example {outside}, which has "
                    f"{length} tokens: expected {-length} … {length - 1}."
                )


def _axis_problems(experiment: Experiment, facts: Facts) -> Iterator[AssayError]:
    try:
        axes(experiment, facts)
    except AssayError as error:
        yield error


def _filled(edit: Edit, run: str, experiment: Experiment) -> list[Edit]:
    """The edit as a sweep's given values fill it in, one axis at a time; as it is without a sweep.

    Layers and heads are left open, which means all of them: `axes` checks those that the sweep names.
    """
    if experiment.sweep is None or run not in experiment.swept():
        return [edit]
    given = {axis.name: axis.values or (0,) for axis in experiment.sweep.axes if axis.name not in ("layer", "head")}
    given = {name: values for name, values in given.items() if edit.is_free(name)}
    first = {name: values[0] for name, values in given.items()}
    return [edit.at({**first, name: value}) for name, values in given.items() for value in values] or [edit]


def _every_position(edit: Edit, filled: Edit, experiment: Experiment) -> bool:
    """Whether a sweep fills in each position of the prompt."""
    axes = experiment.sweep.axes if experiment.sweep else ()
    return edit.pos is None and filled.pos is not None and any(a.name == "pos" and a.values is None for a in axes)


def _edit_problems(edit: Edit, run: str, *, experiment: Experiment, facts: Facts) -> Iterator[AssayError]:
    try:
        sites = [] if edit.site == ANY_SITE else _swept_layers(facts.sites(edit.site), edit, run, experiment)
    except SiteError as error:
        yield SiteError(f"{edit}: {error}")
        return
    reader = Reader.of(experiment, run, facts)
    what = f"{edit}"
    yield from infinite_problems(edit)
    yield from example_problems(what, edit.examples, reader)
    if sites and any(on_prompt(site, edit.site) for site in sites):
        yield from position_problems(what, edit.pos, reader=reader, examples=edit.examples)
    for site in _different(sites):
        if not site.writable:
            yield SiteError(f"{what}: {edit.site!r} can be read and not changed in this model. Choose a writable site.")
        yield from head_problems(what, edit.head, site)
        yield from dim_problems(what, edit.dims, site)
        yield from site_position_problems(what, edit.pos, site)
        yield from value_problems(_with_one_head(edit, site, run, experiment), site, name=edit.site, reader=reader)


def _alignment_problems(edit: Edit, run: str, *, experiment: Experiment, facts: Facts) -> Iterator[AssayError]:
    if edit.source_run is None or edit.site == ANY_SITE:
        return
    try:
        yield from source_problems(edit, facts.sites(edit.site), run=run, experiment=experiment, facts=facts)
    except SiteError as error:
        yield SiteError(f"{edit}: {error}")


def _swept_layers(sites: Sequence[SiteFacts], edit: Edit, run: str, experiment: Experiment) -> list[SiteFacts]:
    """Of the sites that an edit means, those in the layers that a sweep names, if it names any."""
    if experiment.sweep is None or run not in experiment.swept() or not edit.every_layer:
        return list(sites)
    named = next((axis.values for axis in experiment.sweep.axes if axis.name == "layer"), None)
    return [site for site in sites if named is None or site.layer in named]


def _with_one_head(edit: Edit, site: SiteFacts, run: str, experiment: Experiment) -> Edit:
    """The edit as a sweep over heads fills it in at a site that has them: with one head, whichever it is."""
    swept = experiment.sweep is not None and run in experiment.swept() and "head" in experiment.sweep.names
    if not swept or not edit.is_free("head") or head_axis(site) is None:
        return edit
    return edit.model_copy(update={"head": 0})


def _different(sites: Sequence[SiteFacts]) -> list[SiteFacts]:
    """One site of each shape: layers mostly have the same."""
    return list({(site.axes, tuple(sorted(site.sizes.items())), site.writable): site for site in sites}.values())


def _capture_problems(capture: Capture, run: str, *, experiment: Experiment, facts: Facts) -> Iterator[AssayError]:
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
    if any(on_prompt(site, capture.site) for site in sites):
        yield from position_problems(what, capture.pos, reader=reader)
        yield from ragged_problems(what, capture.pos, reader=reader)
    if isinstance(capture, GradCapture):
        yield from metric_problems(capture.of, run=run, experiment=experiment, facts=facts)
