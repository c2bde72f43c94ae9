"""Patching and ablation of a dictionary's features: single directions of a site, whose activations a dictionary reads.

Feature f, with activation a and decoder row d, is replaced by changing the site's value by (a' − a) · d; what the dictionary
misses, and all other features, stay. a' is 0, the activation in the paired (or another) prompt, or the mean of activations
over prompts, which is not the activation of the mean.

Cost: one plain forward pass of all examples for each feature (and position), and three more. Source: Marks et al. 2024,
arXiv:2403.19647.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from assay.circuits.ablation import Ablation, AnyAblation, Counterfactual, Mean, Optimal, Resample, as_ablation
from assay.circuits.claims import PLACES
from assay.circuits.contrast import Contrast, Direction, base_and_source
from assay.circuits.measuring import METRIC, AMetric, as_metric, check_gap, reading, sign_of, total_fact
from assay.circuits.node_patching import ASSUMES, DIRECTION, FAILS
from assay.circuits.replacement import INPUT, mean_groups
from assay.core.errors import DataError, SettingsError
from assay.core.protocols import Scores
from assay.core.provenance import Provenance
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.dictionary import FeatureBasis, read_dictionary
from assay.engine.model import Model
from assay.experiments import edit
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run

CITES = ("arXiv:2403.19647", "arXiv:2404.15255")
AT_ONCE = 16
"""Runs in one experiment."""
SITE = "where the dictionary reads and writes, such as L5.resid_post"
FEATURES = "the features' numbers"
ABLATION = "what an activation is replaced by: zero, mean, resample or counterfactual; denoise takes counterfactual"


@method(
    intervenes=True,
    gives=Scores,
    cites=CITES,
    cost="one forward pass of all examples for each feature",
    assumes=ASSUMES,
    fails_when=FAILS,
)
def ablate_features(
    model: Model,
    pairs: Pairs,
    *,
    dictionary: Annotated[str, "the dictionary's folder"],
    site: Annotated[str, SITE],
    features: Annotated[tuple[int, ...], FEATURES],
    ablation: Annotated[Ablation, ABLATION],
    direction: Annotated[Direction, DIRECTION],
    metric: Annotated[AMetric, METRIC],
) -> Scores:
    """Which features of a dictionary matter: each replaced by itself, at all positions."""
    work = _Work(model, pairs, dictionary, site, features, as_ablation(ablation), as_metric(metric), direction)
    rows, facts, _ = work.effects([None])
    return Scores.over_examples(work.names, rows[:, 0], "metric lost when the feature is replaced", facts)


@method(
    intervenes=True,
    gives=Result,
    cites=CITES,
    cost="one forward pass of all examples for each feature and position",
    assumes=ASSUMES,
    fails_when=FAILS,
    claim=PLACES,
)
def ablate_feature_positions(
    model: Model,
    pairs: Pairs,
    *,
    dictionary: Annotated[str, "the dictionary's folder"],
    site: Annotated[str, SITE],
    features: Annotated[tuple[int, ...], FEATURES],
    positions: Annotated[tuple[str | int, ...], "named positions or indices"],
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
) -> Result:
    """Which features matter in the clean run, and where: `effect` (component, pos, example) is what is lost."""
    work = _Work(model, pairs, dictionary, site, features, as_ablation(ablation), as_metric(metric))
    rows, facts, made_by = work.effects(positions)
    coords = {"component": work.names, "pos": list(positions)}
    data = xr.Dataset({"effect": (("component", "pos", "example"), rows)}, coords=coords)
    return Result(data, made_by.with_facts(*facts))


@dataclass(frozen=True)
class _Work:
    """Features of one site, what their activations are replaced by, and the runs that do it."""

    model: Model
    pairs: Pairs
    dictionary: str
    site: str
    features: tuple[int, ...]
    ablation: AnyAblation
    metric: Metric
    direction: Direction = "noise"

    @property
    def names(self) -> list[str]:
        """A name for each feature."""
        return [f"{self.site}.F{feature}" for feature in self.features]

    def effects(
        self, positions: Sequence[str | int | None]
    ) -> tuple[Float[np.ndarray, "feature pos example"], tuple[str, ...], Provenance]:
        """The score of each feature at each position (None: at all of them)."""
        basis, (base, _) = self._checked(), base_and_source(self.direction)
        change = self._change(base, basis)
        inputs = Contrast(self.pairs).inputs
        runs = {
            f"{number} at {place}": Run(
                input=base, edits=tuple(self._edits(change[..., number], basis.decoder[feature], at))
            )
            for number, feature in enumerate(self.features)
            for place, at in enumerate(positions)
        }
        sign = sign_of(self.metric) * (1 if base == "corrupt" else -1)
        plain = reading(self.metric, clean="clean", corrupt="corrupt")
        rows, found = [], None
        every = list(runs)
        for names in (every[i : i + AT_ONCE] for i in range(0, len(every), AT_ONCE)):
            metrics = (*reading(self.metric, **{name: name for name in names}), *plain)
            some = {name: runs[name] for name in names}
            found = self.model.measure(Experiment(inputs=inputs, runs=some, metrics=metrics, main=names[0]))
            rows += [sign * (found.data[name].values - found.data[base].values) for name in names]
        assert found is not None  # there is at least one feature
        clean, corrupt = found.data["clean"].values, found.data["corrupt"].values
        if isinstance(self.ablation, Counterfactual):
            check_gap(self.metric, clean, corrupt)
        facts = (
            f"replaced in the {base} run: the feature's activation, by {self.ablation}" if base == "clean" else
            "put back: the clean prompt's activation into the counterfactual run of the same pair",
            total_fact(self.metric, {"clean": clean, "counterfactual": corrupt}),
        )  # fmt: skip
        return np.stack(rows).reshape(len(self.features), len(positions), -1), facts, found.provenance

    def _checked(self) -> FeatureBasis:
        if not self.features or len(set(self.features)) < len(self.features):
            raise DataError(f"features={list(self.features)}: expected at least one, each once.")
        if isinstance(self.ablation, Optimal):
            raise SettingsError(
                "optimal constants are learned for sites, not for features: choose zero, mean or another."
            )
        if self.direction == "denoise" and not isinstance(self.ablation, Counterfactual):
            raise SettingsError(
                "denoise puts clean values into the counterfactual run: it takes ablation=counterfactual."
            )
        basis = read_dictionary(self.dictionary)
        if (beyond := max(self.features)) >= len(basis.decoder) or min(self.features) < 0:
            raise DataError(
                f"feature {beyond} is out of range: this dictionary has features 0-{len(basis.decoder) - 1}."
            )
        return basis

    def _change(self, base: str, basis: FeatureBasis) -> Float[Tensor, "batch pos feature"]:
        """New minus own activation, in the base run."""
        own = self._activations(base, basis)
        match self.ablation:
            case Counterfactual():
                return self._activations("clean" if base == "corrupt" else "corrupt", basis) - own
            case Resample(over=over, seed=seed):
                drawn = edit.resample(self.site, source=INPUT[over], seed=seed)
                return self._activations(base, basis, [drawn]) - own
            case Mean():
                return self._means(self.ablation, basis) - own
        return -own

    def _activations(
        self, side: str, basis: FeatureBasis, edits: Sequence[Edit] = ()
    ) -> Float[Tensor, "batch pos feature"]:
        """Of the chosen features; 0 behind shorter prompts."""
        inputs = Contrast(self.pairs).inputs
        value = self.model.run(inputs[side], capture=self.site, edits=edits, sources=inputs)[self.site]
        if value.ndim != 3:
            raise DataError(f"{self.site} has {value.ndim} axes: a dictionary reads one vector at each position.")
        return self._inside(basis.encode(value)[..., list(self.features)])

    def _inside(self, activations: Tensor) -> Tensor:
        lengths = torch.tensor(self.pairs.lengths)[:, None]
        return torch.where(
            (torch.arange(activations.shape[1]) < lengths)[..., None].to(activations.device), activations, 0.0
        )

    def _means(self, ablation: Mean, basis: FeatureBasis) -> Float[Tensor, "batch pos feature"]:
        sides = ("clean", "corrupt") if ablation.over == "both" else (INPUT[ablation.over],)
        seen = [self._activations(side, basis) for side in sides]
        found = torch.zeros_like(seen[0])
        for rows in mean_groups(self.pairs, ablation):
            total = torch.stack([each[rows].sum(0) for each in seen]).sum(0)
            tokens = len(sides) * sum(self.pairs.lengths[row] for row in rows)
            found[rows] = total / (len(sides) * len(rows)) if ablation.positions == "each" else total.sum(0) / tokens
        return self._inside(found)

    def _edits(
        self, change: Float[Tensor, "batch pos"], row: Float[Tensor, " d"], at: str | int | None
    ) -> Iterator[Edit]:
        """One edit for the examples of each length; at one position of each example if asked."""
        vectors = change[..., None] * row.to(change)
        for length in dict.fromkeys(self.pairs.lengths):
            rows = [i for i, n in enumerate(self.pairs.lengths) if n == length]
            own = vectors[rows][:, :length]
            if at is not None:
                named = self.pairs.position(at) if isinstance(at, str) and at != "end" else None
                index = [(named[i] if named else range(length)[-1 if at == "end" else int(at)]) for i in rows]
                own = own[range(len(rows)), index][:, None]
            yield edit.add(self.site, own, examples=rows, pos=at)
