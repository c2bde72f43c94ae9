"""Parts of experiments, drawn at random, and what their results are together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from assay.core.result import Result
from assay.engine.join import Part, join
from assay.engine.model import Model
from assay.engine.prepare import prompts_of
from assay.experiments.expand import axes
from assay.experiments.experiment import Experiment
from assay.experiments.network_facts import NetworkFacts
from assay.experiments.restrict import restrict

Chosen = tuple[dict[str, list[Any]], Any]
"""Values of axes, and examples or None."""


def axes_of(model: Model, experiment: Experiment) -> dict[str, list[Any]]:
    return axes(experiment, NetworkFacts(model.network, prompts_of(model.network, experiment)))


def join_of(model: Model, experiment: Experiment, chosen: Sequence[Chosen]) -> Result:
    """Every part run as an experiment of its own, read from JSON as another machine would."""
    parts = []
    for given, examples in chosen:
        part = restrict(experiment, axes=given, examples=examples)
        read = Experiment.from_json(part.to_json(), part.tensors())
        parts.append(Part(model.measure(read, engine="naive"), given, examples))
    return join(experiment, parts, along=axes_of(model, experiment))


@st.composite
def parts_of_axes(draw: Any, along: Mapping[str, list[Any]]) -> list[Chosen]:
    """A grid of parts: each axis cut at random, its values in any order."""
    found: list[dict[str, list[Any]]] = [{}]
    for name, values in along.items():
        shuffled = draw(st.permutations(values))
        cuts = sorted(draw(st.sets(st.integers(1, len(values) - 1), max_size=2))) if len(values) > 1 else []
        runs = [shuffled[i:j] for i, j in zip([0, *cuts], [*cuts, len(values)], strict=True)]
        found = [{**part, name: list(run)} for part in found for run in runs]
    return [(part, None) for part in found]


@st.composite
def parts_of_examples(draw: Any, lengths: Sequence[int], *, whole_lengths: bool) -> list[list[int]]:
    """Examples in parts, in any order; those of one length in one part and in order, if they belong together."""
    groups = {n: [i for i, length in enumerate(lengths) if length == n] for n in dict.fromkeys(lengths)}
    units = list(groups.values()) if whole_lengths else [[i] for i in range(len(lengths))]
    shuffled = draw(st.permutations(units))
    cut = draw(st.integers(1, len(units)))
    parts = [shuffled[:cut], shuffled[cut:]]
    return [[i for unit in part for i in unit] for part in parts if part]
