"""A contrast as an experiment's inputs: clean and counterfactual prompts, and which of them is the base.

Denoising starts from the counterfactual run and puts clean values back (is this part enough?); noising starts from the
clean run and puts counterfactual values in (is this part needed?). In both, 0 is the base and 1 the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from assay.circuits.measuring import check_gap
from assay.data.pairs import Pairs
from assay.experiments import metric
from assay.experiments.inputs import Input, as_input
from assay.experiments.metrics import Metric

Direction = Literal["denoise", "noise"]


@dataclass(frozen=True)
class Contrast:
    """The two inputs of a set of pairs."""

    pairs: Pairs

    @property
    def inputs(self) -> dict[str, Input]:
        """`clean` and `corrupt`, with named positions; the answers of both are the clean prompt's."""
        tokens = self.pairs.aligned_tokens()
        shared: dict[str, Any] = {
            "positions": {name: tuple(self.pairs.position(name)) for name in self.pairs.position_names()},
            "answers": self.pairs.answer_ids.tolist(),
            "wrong": self.pairs.wrong_ids.tolist(),
        }
        return {
            "clean": as_input([list(each.clean) for each in tokens], **shared),
            "corrupt": as_input([list(each.corrupt) for each in tokens], **shared),
        }

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The logit difference in the changed run, and in both unchanged ones."""
        return (
            metric.logit_diff(name="logit_diff"),
            metric.logit_diff(name="clean", run="clean"),
            metric.logit_diff(name="corrupt", run="corrupt"),
        )


def base_and_source(direction: Direction) -> tuple[str, str]:
    """The run that is changed, and the one that values come from."""
    return ("corrupt", "clean") if direction == "denoise" else ("clean", "corrupt")


def share(data: xr.Dataset, direction: Direction) -> xr.DataArray:
    """How far each change moves the logit difference from base (0) to source (1), for each example.

    The denominator is the mean total effect over examples, so that the mean of the shares is the ratio of the means,
    and an example with a small total effect does not blow up.
    """
    return (data["logit_diff"] - data[base_and_source(direction)[0]]) / total_effect(data, direction)


def total_effect(data: xr.Dataset, direction: Direction) -> float:
    """How far base and source lie apart, on average over examples: what a share of 1 stands for.

    Raises:
        DataError: they do not, so that there are no shares.
    """
    base, source = base_and_source(direction)
    check_gap(metric.logit_diff(), data["clean"].values, data["corrupt"].values)
    return float(np.mean(data[source] - data[base]))
