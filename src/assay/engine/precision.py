"""Running in fewer bits: on a copy of the model, with the difference to single precision measured on a sample.

A sample is at most two values of each axis of a sweep (eight variants) and four examples. Cost: the copy, and two naive
runs of the sample.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from assay.core.errors import ExperimentError
from assay.core.progress import listening
from assay.core.result import Result
from assay.engine import naive
from assay.engine.memory import free_bytes
from assay.engine.prepare import prompts_of
from assay.experiments.expand import axes
from assay.experiments.experiment import Experiment
from assay.experiments.network_facts import NetworkFacts
from assay.experiments.restrict import restrict, why_together
from assay.models.network import Network

LOW = {"bfloat16": torch.bfloat16, "float16": torch.float16}
VARIANTS, EXAMPLES = 8, 4


def dtype_of(network: Network) -> torch.dtype:
    """The dtype of the first parameter."""
    return next((p.dtype for p in network.native.parameters()), torch.float32)


def in_dtype(network: Network, experiment: Experiment, dtype: str, run: Callable[[Network], Result]) -> Result:
    """Run on a copy of the model in `dtype` ("bfloat16", "float16"); the result says how far a sample is from float32.

    Raises:
        ExperimentError: another dtype, or a model that is not in single or double precision.
    """
    if dtype not in LOW:
        raise ExperimentError(f"dtype={dtype!r}: expected 'bfloat16' or 'float16'; models run in their own otherwise.")
    if dtype_of(network) not in (torch.float32, torch.float64):
        raise ExperimentError(
            f"the model is in {_name(dtype_of(network))} already: leave dtype out, or load it in float32 so that the "
            "difference can be measured."
        )
    low = copy_in(network, LOW[dtype])
    return with_deviation(run(low), low, network, experiment)


def with_own_deviation(result: Result, network: Network, experiment: Experiment) -> Result:
    """A result of a model that was loaded in few bits, with its distance from the same weights in float32."""
    size = sum(p.numel() for p in network.native.parameters()) * 4
    if size * 2 > free_bytes(network.device):
        return _told(
            result, f"ran in {_name(dtype_of(network))}; a float32 copy to compare with does not fit in memory", {}
        )
    return with_deviation(result, network, copy_in(network, torch.float32), experiment)


def with_deviation(result: Result, low: Network, high: Network, experiment: Experiment) -> Result:
    """`result`, with what two naive runs of a sample differ by, in its facts and its attribute `deviation`."""
    part, variants, examples = sample(experiment, low)
    with listening(None):
        found, wanted = naive.measure(low, part), naive.measure(high, part)
    worst: dict[str, dict[str, float]] = {}
    for name in wanted.names:
        here, there = found[name].values, wanted[name].values
        if not np.isfinite(there).any():
            continue
        most, size = float(np.nanmax(np.abs(here - there))), float(np.nanmax(np.abs(there)))
        worst[name] = {"largest_difference": most, "largest_value": size}
    shown = "; ".join(
        f"{name} by at most {w['largest_difference']:.2g} of values up to {w['largest_value']:.2g}"
        for name, w in worst.items()
    )
    fact = (
        f"ran in {_name(dtype_of(low))}, which on a sample of {variants} variants and {examples} examples differs from "
        f"{_name(dtype_of(high))}: {shown}"
    )
    return _told(result, fact, worst)


def sample(experiment: Experiment, network: Network) -> tuple[Experiment, int, int]:
    """A small part of an experiment, and how many variants and examples it has."""
    along = axes(experiment, NetworkFacts(network, prompts_of(network, experiment)))
    chosen, variants = {}, 1
    for name, values in along.items():
        ends = [values[0], values[-1]] if len(values) > 1 and variants * 2 <= VARIANTS else [values[len(values) // 2]]
        chosen[name] = ends
        variants *= len(ends)
    total = max(given.examples for given in experiment.inputs.values())
    few = min(total, EXAMPLES)
    together, _ = why_together(experiment)
    if few == total or together != "never":
        return restrict(experiment, axes=chosen), variants, total
    return restrict(experiment, axes=chosen, examples=list(range(few))), variants, few


def copy_in(network: Network, dtype: torch.dtype) -> Network:
    """The network in another dtype. Made afresh each time: weights may have been changed in place since the last."""
    return replace(network, native=copy.deepcopy(network.native).to(dtype))


def _told(result: Result, fact: str, worst: dict[str, Any]) -> Result:
    data = result.data.assign_attrs(deviation=worst)
    return Result(data, result.provenance.with_facts(fact), result.cost)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
