"""What runs on a worker: an actor that holds one model and measures parts of experiments with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from assay.core.errors import LoadError
from assay.core.provenance import Cost
from assay.core.result_files import pack_result
from assay.engine.costs import Costs
from assay.engine.model import Model
from assay.engine.prepare import prompts_of
from assay.engine.ray.parcel import Parcel
from assay.engine.source_means import MeanKey, given_means, source_means
from assay.engine.tally import Tally
from assay.experiments.executed import executed
from assay.experiments.expand import expand
from assay.experiments.experiment import Experiment
from assay.experiments.network_facts import NetworkFacts


@dataclass(frozen=True)
class Job:
    """A part of an experiment as data, and how to measure it. `tensors` are those that no other part has."""

    experiment: str
    tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shared:
    """What all parts have in common: the tensors of edits and metrics, by hash, and means over whole inputs."""

    tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    means: Mapping[MeanKey, Tensor] = field(default_factory=dict, repr=False)


class Worker:
    """One process with one model. `threads` is how many processors it may use."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.model: Model | None = None

    def pid(self) -> int:
        """The process."""
        return os.getpid()

    def load(self, parcel: Parcel) -> str | None:
        """Open a model: None, or why its source can't be loaded here."""
        self.model = None  # two would need twice the memory
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.model = Model(parcel.open(device))
        except LoadError as error:
            if parcel.native is not None:
                raise
            return str(error)
        return None

    def measure(self, job: Job, shared: Shared) -> bytes:
        """The packed result of a part."""
        experiment = Experiment.from_json(job.experiment, {**shared.tensors, **job.tensors})
        with given_means(shared.means):
            result = self._ready().measure(experiment, **job.options)
        return pack_result(result.data, result.provenance, result.cost, compressed=False)

    def means(self, job: Job) -> tuple[dict[MeanKey, Tensor], Cost]:
        """The means over all examples that any variant of an experiment asks for, and what they cost."""
        experiment, network = Experiment.from_json(job.experiment, job.tensors), self._ready().network
        prompts, tally = prompts_of(network, experiment), Tally()
        every = [
            {name: variant.runs.get(name) or experiment.run(name) for name in executed(experiment)}
            for variant in expand(experiment, NetworkFacts(network, prompts))
        ]
        found = source_means(network, experiment, prompts, every, tally)
        depth = max(network.structure.depth.values(), default=0)
        flops = Costs(network, network.structure.main_chain).tallied(tally)
        cost = Cost(passes=tally.passes, rows=tally.rows, token_layers=tally.tokens * depth, flops=flops)
        return {(run, str(site), each): mean.cpu() for (run, site, each), mean in found.items()}, cost

    def _ready(self) -> Model:
        assert self.model is not None, "a worker is asked only after it has a model"
        return self.model
