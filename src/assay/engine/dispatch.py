"""Which engine runs an experiment, in which precision, through which store."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from assay.core.errors import ExperimentError, nearest
from assay.core.result import Result
from assay.engine import naive
from assay.engine.precision import LOW, dtype_of, in_dtype, with_own_deviation
from assay.engine.prepare import only_experiments
from assay.engine.ray.cluster import Ray
from assay.engine.schedule.measure import Asked
from assay.engine.schedule.measure import measure as measure_scheduled
from assay.engine.store.through import AnyStore
from assay.experiments.experiment import Experiment
from assay.models.network import Network

Engine = Literal["scheduled", "naive", "ray"] | Ray
NAMES = ("scheduled", "naive", "ray")


def measure(
    network: Network,
    experiment: Experiment,
    *,
    engine: Engine = "scheduled",
    batch: int | None = None,
    without: Collection[str] = (),
    memory: str | float | None = None,
    store: AnyStore | None = None,
    dtype: str | None = None,
) -> Result:
    """Run an experiment as `Model.measure` says. An option that the engine has no use for is an error."""
    only_experiments(experiment)
    if not isinstance(engine, Ray) and engine not in NAMES:
        raise ExperimentError(
            f"there is no engine {engine!r}: expected {', '.join(NAMES)}.{nearest(str(engine), NAMES)}"
        )
    if engine == "naive" and without:
        raise ExperimentError("without= switches parts of the schedule off: leave it out with engine='naive'.")
    if engine == "naive" and memory is not None:
        raise ExperimentError("memory= is a budget for batches of variants: with engine='naive' use batch=.")

    def run(chosen: Network) -> Result:
        if isinstance(engine, Ray) or engine == "ray":
            from assay.engine.ray.backend import measure as measure_apart  # workers have models themselves

            cluster = engine if isinstance(engine, Ray) else Ray()
            asked = Asked.of(batch, without, memory)
            return measure_apart(chosen, experiment, cluster, asked=asked, store=store)
        if engine == "naive":
            return naive.measure(chosen, experiment, batch=batch, store=store)
        return measure_scheduled(chosen, experiment, batch=batch, without=without, memory=memory, store=store)

    if dtype is not None:
        return in_dtype(network, experiment, dtype, run)
    result = run(network)
    return with_own_deviation(result, network, experiment) if dtype_of(network) in LOW.values() else result
