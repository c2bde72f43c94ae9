"""An ablation as a run: the values that ablated parts take, at the sites where they take them.

Every replaced value is read from one run, called `source`: the counterfactual prompts as they are, or the clean prompts with
every site in question replaced. So an ablation of one head, of a set, at one position, or a sweep over all, is a patch
from that run, and exact and approximate methods use the very same values.

Cost: one forward pass of all examples, and one of each group of prompts whose mean is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from assay.circuits.ablation import AnyAblation, Counterfactual, Mean, Optimal, Resample, Zero
from assay.circuits.contrast import Contrast
from assay.core.errors import ExperimentError
from assay.core.sites import SiteName
from assay.data.pairs import Pairs
from assay.experiments import edit
from assay.experiments.edits import Edit
from assay.experiments.inputs import Input, as_input
from assay.experiments.runs import Run
from assay.experiments.sourced_edits import Patch

ABLATED = "ablated"
"""The run that holds replaced values, where they are not those of the counterfactual prompts as they are."""
INPUT = {"clean": "clean", "counterfactual": "corrupt"}
"""An experiment's input for each side of a pair."""


@dataclass(frozen=True)
class Replacement:
    """Inputs and runs of an experiment in which the run `source` holds the replaced values."""

    inputs: Mapping[str, Input]
    runs: Mapping[str, Run]
    source: str

    def edit(self, site: str, **where: object) -> Patch:
        """The edit that replaces a site, or the part of it that `where` selects."""
        return Patch(site=site, source=self.source, **where)


def replacement(pairs: Pairs, ablation: AnyAblation, sites: Sequence[str]) -> Replacement:
    """What replaces these sites (without a layer: in every layer that has it).

    Raises:
        ExperimentError: an ablation that must be learned first, or a mean that has no meaning at a site.
    """
    inputs = Contrast(pairs).inputs
    if isinstance(ablation, Counterfactual):
        return Replacement(inputs, {}, "corrupt")
    if isinstance(ablation, Optimal):
        raise ExperimentError(
            "optimal constants are learned for the parts that are ablated: use a method that does so."
        )
    extra: dict[str, Input] = {}
    edits: list[Edit] = []
    for site in sites:
        match ablation:
            case Zero():
                edits.append(edit.zero(site))
            case Resample():
                edits.append(edit.resample(site, source=INPUT[ablation.over], seed=ablation.seed))
            case Mean():
                _check_mean(site, ablation)
                edits += _means(site, ablation, pairs, extra)
    return replaced_by(edits, {**inputs, **extra})


def replaced_by(edits: Iterable[Edit], inputs: Mapping[str, Input]) -> Replacement:
    """The replacement that these edits of the clean run make; they must leave nothing of the sites' own values."""
    return Replacement(inputs, {ABLATED: Run(input="clean", edits=tuple(edits))}, ABLATED)


def _means(site: str, ablation: Mean, pairs: Pairs, extra: dict[str, Input]) -> Iterator[Edit]:
    """One mean for each group of examples that share it; the prompts that it is over become inputs of their own."""
    each = ablation.positions == "each"
    groups = list(mean_groups(pairs, ablation))
    for number, rows in enumerate(groups):
        name = f"mean {number}"
        extra.setdefault(name, _prompts(pairs, rows, ablation))
        examples = None if len(groups) == 1 else rows
        yield edit.mean(site, over=name, per_position=each, examples=examples)


def mean_groups(pairs: Pairs, ablation: Mean) -> Iterator[list[int]]:
    """Examples that are given one mean: of one template, and of one length, where that is asked."""
    found: dict[tuple[object, ...], list[int]] = {}
    for row, (example, length) in enumerate(zip(pairs, pairs.lengths, strict=True)):
        key = (example.template if ablation.per_template else None, length if ablation.positions == "each" else None)
        found.setdefault(key, []).append(row)
    yield from found.values()


def _prompts(pairs: Pairs, rows: Sequence[int], ablation: Mean) -> Input:
    tokens = pairs.aligned_tokens()
    sides = ("clean", "counterfactual") if ablation.over == "both" else (ablation.over,)
    return as_input(
        [list(tokens[row].clean if side == "clean" else tokens[row].corrupt) for side in sides for row in rows]
    )


def _check_mean(site: str, ablation: Mean) -> None:
    if ablation.positions == "all" and SiteName.parse(site).name in ("pattern", "scores"):
        raise ExperimentError(
            f"the mean of {site} over all positions would attend to tokens that come later: take it with positions='each'."
        )
