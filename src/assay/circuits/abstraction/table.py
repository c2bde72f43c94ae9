"""Answers under many alignments as one result: IIA for each variable and place, with intervals and what to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from assay.circuits.abstraction.counterfactuals import Counterfactuals
from assay.circuits.abstraction.measuring import Answered
from assay.circuits.abstraction.places import Places
from assay.core.caveats import caveat
from assay.core.provenance import Cost, Provenance
from assay.core.result import Result
from assay.stats.proportion import wilson_of

DOES_TASK = 0.9
"""Below this share of bases answered rightly, a low IIA says little."""


@dataclass
class Table:
    """Filled in by variable; every row has a number for each place."""

    places: Places
    rows: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    correct: dict[str, np.ndarray] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)
    provenance: Provenance = field(default_factory=Provenance)
    cost: Cost = field(default_factory=Cost)

    def add(self, variable: str, found: Answered, data: Counterfactuals, **more: Sequence[float]) -> None:
        """What was measured for a variable at every place; `more` are further numbers of each place."""
        ends = [wilson_of(row) for row in found.correct]
        self.correct[variable] = found.correct
        self.rows[variable] = {
            "iia": np.array([end.value for end in ends]),
            "iia_low": np.array([end.low for end in ends]),
            "iia_high": np.array([end.high for end in ends]),
            "logit_fraction": found.logit_fraction,
            **{name: np.asarray(values, dtype=float) for name, values in more.items()},
            "chance": np.array(max(data.chance.values())),
            "does_task": np.array(found.does_task.mean()),
        }
        self.provenance, self.cost = found.provenance, self.cost + found.cost
        self._note(variable, data)

    def compare(self, variable: str, name: str, values: Sequence[float], cost: Cost | None = None) -> None:
        """A baseline's number for each place."""
        self.rows[variable][name] = np.asarray(values, dtype=float)
        self.cost = self.cost if cost is None else self.cost + cost

    def result(
        self,
        *,
        facts: Sequence[str] = (),
        attrs: Mapping[str, object] | None = None,
        more: Mapping[str, tuple[tuple[str, ...], np.ndarray]] | None = None,
    ) -> Result:
        """Variables over (variable, layer or site, pos); `correct` over examples too; `more` are added as they are."""
        variables, shape = list(self.rows), self.places.shape
        dims = (self.places.axis, "pos")
        data: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
        for name, first in self.rows[variables[0]].items():
            stacked = np.stack([self.rows[variable][name] for variable in variables])
            if first.ndim == 0:
                data[name] = (("variable",), stacked)
            else:
                data[name] = (("variable", *dims), stacked.reshape(len(variables), *shape))
        most = max(each.shape[-1] for each in self.correct.values())
        correct = np.full((len(variables), *shape, most), np.nan)
        for i, variable in enumerate(variables):
            rows = self.correct[variable]
            correct[i, ..., : rows.shape[-1]] = rows.reshape(*shape, -1)
        data["correct"] = (("variable", *dims, "example"), correct)
        data |= more or {}
        coords = {"variable": variables, **self.places.coords}
        made = self.provenance.with_facts(*facts, *self.facts)
        return Result(xr.Dataset(data, coords=coords, attrs=dict(attrs or {})), made, self.cost)

    def _note(self, variable: str, data: Counterfactuals) -> None:
        chance = max(data.chance, key=lambda name: data.chance[name])
        self.facts.append(f"{variable}: {len(data)} examples; chance is {data.chance[chance]:.2f} ({chance})")
        does = float(self.rows[variable]["does_task"])
        if does < DOES_TASK:
            self.facts.append(
                caveat(f"{variable}: the network answers only {does:.0%} of the bases as the causal model does")
            )
        self.facts += [fact for fact in data.facts if fact not in self.facts]
