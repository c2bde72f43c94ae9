"""A run that is ready to be made again and again: inputs tokenised, everything checked, sources known.

For derivatives, which make one run in several ways: from a tangent, or from many points at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from assay.engine.edges.binding import refuse_edges
from assay.engine.prepare import checked, prompts_of
from assay.engine.rows import groups
from assay.engine.run_result import given_input
from assay.engine.runner import Means, Runner, executed, needed_sites
from assay.engine.source_means import source_means
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run
from assay.models.network import Network
from assay.models.prompts import Prompts
from assay.models.structure import Site


@dataclass(frozen=True)
class Prepared:
    """The main run of an experiment of one variant, on the input `"input"`."""

    network: Network
    experiment: Experiment
    prompts: Mapping[str, Prompts]
    means: Means
    needed: Mapping[str, set[Site]]
    order: tuple[str, ...] = field(default=())

    @classmethod
    def of(
        cls,
        network: Network,
        inputs: Any,
        *,
        edits: Edit | Sequence[Edit] = (),
        probe: Sequence[Edit] = (),
        metrics: Sequence[Metric] = (),
        sources: Mapping[str, Any] | None = None,
        positions: Mapping[str, Sequence[int]] | None = None,
    ) -> Prepared:
        """Check a run under `edits`. `probe` are edits that are checked with them and are not the run's own."""
        own = (edits,) if isinstance(edits, Edit) else tuple(edits)
        refuse_edges(own, "derivatives are taken")
        given = {"input": given_input(inputs, positions or {})}
        given |= {name: given_input(value, {}) for name, value in (sources or {}).items()}
        runs = {"main": Run(input="input", edits=(*own, *probe))}
        experiment = Experiment(inputs=given, runs=runs, metrics=metrics, main="main")
        prompts = prompts_of(network, experiment)
        checked(network, experiment, prompts)
        order, whole = executed(experiment), experiment
        experiment = experiment.with_runs({"main": Run(input="input", edits=own)})
        each = [{name: whole.run(name) for name in order}]
        means = source_means(network, experiment, prompts, each)
        return cls(network, experiment, prompts, means, needed_sites(network, whole, each), order)

    @property
    def run(self) -> Run:
        """The main run."""
        return self.experiment.run("main")

    def groups(self) -> list[list[int]]:
        """Examples of equal length in every input that is read."""
        return groups(self.prompts, list(dict.fromkeys(self.experiment.run(name).input for name in self.order)))

    def runner(self, rows: Sequence[int]) -> Runner:
        """Examples of one group, with the runs that others take values from."""
        runner = Runner(self.network, self.experiment, self.prompts, rows, self.means, self.needed)
        for name in self.order:
            if name != "main":
                runner.make(name, self.experiment.run(name))
        return runner


def per_example(values: Tensor) -> Tensor:
    """A metric's numbers summed over all but examples."""
    return values.reshape(values.shape[0], -1).sum(1)
