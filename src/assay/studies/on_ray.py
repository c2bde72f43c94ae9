"""A study's sweeps on a Ray cluster: `assay study run study.yaml --ray local`, or the address of a cluster.

What is worth it goes there: sweeps, and experiments over many examples. All else stays here: single passes, Python functions,
gradients, training. Numbers are the local engine's (`assay.engine.ray`), so a run may go on elsewhere than it began.
"""

from __future__ import annotations

from typing import Any

from assay.core.result import Result
from assay.engine.model import Model
from assay.engine.ray import Ray
from assay.experiments.experiment import Experiment
from assay.models.network import Network
from assay.studies.sources import Sources

LOCAL = "local"
MANY = 64
"""Examples from which on an experiment without a sweep goes there."""


def cluster_at(address: str) -> Ray:
    """The cluster that a person names; `local` is this machine."""
    return Ray(address=None if address == LOCAL else address)


def on_ray(sources: Sources, cluster: Ray) -> Sources:
    """The same models and prompts, with what models measure shared out over a cluster."""
    return Sources(lambda spec: _OnRay(sources.model(spec).network, cluster), sources.data)


class _OnRay(Model):
    """A model whose larger experiments run on a cluster."""

    def __init__(self, network: Network, cluster: Ray) -> None:
        super().__init__(network)
        self._cluster = cluster

    def measure(self, experiment: Experiment, *, engine: Any = "scheduled", **options: Any) -> Result:
        """As `Model.measure`; what the schedule would run here, its workers do."""
        apart = engine == "scheduled" and _worth_it(experiment) and not experiment.local_only
        return super().measure(experiment, engine=self._cluster if apart else engine, **options)


def _worth_it(experiment: Experiment) -> bool:
    most = max(given.examples for given in experiment.inputs.values())
    return experiment.sweep is not None or most >= MANY
