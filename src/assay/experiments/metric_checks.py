"""Whether metrics can be read: answers that are tokens, directions of the right length, positions that exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from assay.core.attachments import Attachment
from assay.core.errors import AssayError, ExperimentError, InputError, ShapeError, SiteError
from assay.experiments.alignment import count_problems, length_problems
from assay.experiments.answers import Answer, per_example
from assay.experiments.edits import without_layer
from assay.experiments.experiment import Experiment
from assay.experiments.facts import Facts, SiteFacts
from assay.experiments.infinite import infinite_direction
from assay.experiments.metrics import Loss, Metric
from assay.experiments.places import (
    Reader,
    axes_text,
    head_problems,
    padding_problems,
    position_problems,
    ragged_problems,
    site_position_problems,
)
from assay.experiments.positions import Slice
from assay.experiments.site_metrics import SiteMetric


def metric_problems(metric: Metric, *, run: str, experiment: Experiment, facts: Facts) -> Iterator[AssayError]:
    """All that is wrong with a metric of a run."""
    what = f"the metric {metric.name or metric.kind!r}"
    reader = Reader.of(experiment, run, facts)
    if isinstance(metric, SiteMetric):
        yield from _site_problems(what, metric, facts)
    if isinstance(metric, Loss) and reader.lengths is None:
        yield ExperimentError(
            f"{what} needs the token ids of one sequence, which the input {reader.name!r} does not give."
        )
    yield from position_problems(what, metric.pos, reader=reader)
    yield from ragged_problems(what, metric.pos, reader=reader)
    if metric.pos is None and reader.lengths is not None:
        yield from padding_problems(what, None, reader=reader)
    for field, value in metric.asks.items():
        yield from _answer_problems(what, metric, field, value, reader=reader, facts=facts)
    if metric.other_run is not None:
        other = Reader.of(experiment, metric.other_run, facts)
        yield from count_problems(what, reader, other)
        if metric.pos is None or isinstance(metric.pos, Slice):
            yield from length_problems(what, reader, other)


def _site_problems(what: str, metric: SiteMetric, facts: Facts) -> Iterator[AssayError]:
    yield from infinite_direction(what, metric)
    if without_layer(metric.site):
        yield SiteError(
            f"{what} is read at one site, and {metric.site!r} names no layer: give one, 'L0.{metric.site}'."
        )
        return
    try:
        sites = facts.sites(metric.site)
    except SiteError as error:
        yield SiteError(f"{what}: {error}")
        return
    for site in sites:
        yield from site_position_problems(what, None if metric.pos == -1 else metric.pos, site)
        yield from head_problems(what, metric.head, site)
        yield from _direction_problems(what, getattr(metric, "direction", None), site)


def _direction_problems(what: str, direction: Attachment | None, site: SiteFacts) -> Iterator[AssayError]:
    size = site.sizes.get(site.axes[-1])
    if direction is not None and size is not None and direction.shape != (size,):
        yield ShapeError(
            f"{what}: the direction has {direction.shape[0]} entries, and the site is {axes_text(site)}. Expected [{size}]."
        )


def _answer_problems(
    what: str, metric: Metric, field: str, value: Any, *, reader: Reader, facts: Facts
) -> Iterator[AssayError]:
    if value is None:
        value = reader.given.answers if field == "answer" else reader.given.wrong
    if value is None:
        return
    try:
        answers = per_example(value, examples=reader.given.examples, what=f"{field} entries")
    except InputError as error:
        yield InputError(f"{what}: {error}")
        return
    alternatives = metric.kind == "accuracy" and field == "wrong"
    for answer in dict.fromkeys(answers):
        if isinstance(answer, tuple) and not alternatives:
            yield from _sequence_problems(what, answer, metric, facts)
        else:
            for item in answer if isinstance(answer, tuple) else (answer,):
                yield from _token_problems(what, item, metric, facts)


def _sequence_problems(what: str, answer: Sequence[str | int], metric: Metric, facts: Facts) -> Iterator[AssayError]:
    if not all(isinstance(item, int) for item in answer):
        yield ExperimentError(f"{what}: {list(answer)!r} mixes text into token ids: give several tokens as one text.")
    elif metric.single_token and len(answer) != 1:
        yield _several(what, list(answer), [str(item) for item in answer])
    for item in answer:
        if isinstance(item, int):
            yield from _token_problems(what, item, metric, facts)


def _token_problems(what: str, answer: Answer, metric: Metric, facts: Facts) -> Iterator[AssayError]:
    if isinstance(answer, int):
        if facts.vocabulary is not None and answer >= facts.vocabulary:
            yield ExperimentError(f"{what}: the token id {answer} is not one of this model's 0-{facts.vocabulary - 1}.")
        return
    try:
        split = facts.split(str(answer))
    except InputError as error:
        yield InputError(f"{what}: {error}")
        return
    if metric.single_token and len(split) != 1:
        yield _several(what, answer, split)


def _several(what: str, answer: object, split: Sequence[str]) -> AssayError:
    return ExperimentError(
        f"{what} needs a single token, and {answer!r} is {len(split)}: {' | '.join(map(repr, split))}. Choose another answer "
        "(most words begin with a space), or use metric.logprob, which takes several tokens."
    )
