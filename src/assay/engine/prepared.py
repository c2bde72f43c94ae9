"""A run that is ready to be made again and again: inputs tokenised, everything checked, sources known.

For derivatives, which make one run in several ways: from a tangent, or from many points at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from assay.engine.edges.binding import refuse_edges
from assay.engine.passes import Kept
from assay.engine.prepare import checked, prompts_of
from assay.engine.rows import batch_size, groups
from assay.engine.run_result import given_input
from assay.engine.runner import Means, Runner, executed, needed_sites
from assay.engine.source_means import source_means
from assay.engine.tally import Tally
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run
from assay.experiments.validation import check_parts
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
    tally: Tally = field(default_factory=Tally)
    """What was done so far."""

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
        runs = {"main": Run(input="input", edits=own)}
        return cls.from_experiment(network, Experiment(inputs=given, runs=runs, metrics=metrics, main="main"), probe)

    @classmethod
    def from_experiment(cls, network: Network, experiment: Experiment, probe: Sequence[Edit] = ()) -> Prepared:
        """Check an experiment without a sweep; `probe` are edits that are checked with the run `main`'s own."""
        own = experiment.run("main")
        whole = experiment.model_copy(
            update={"runs": {**experiment.runs, "main": Run(input=own.input, edits=(*own.edits, *probe))}}
        )
        check_parts(whole)
        prompts = prompts_of(network, whole)
        checked(network, whole, prompts)
        order = executed(whole)
        each = [{name: whole.run(name) for name in order}]
        tally = Tally()
        means = source_means(network, experiment, prompts, each, tally)
        return cls(network, experiment, prompts, means, needed_sites(network, whole, each), order, tally)

    @property
    def run(self) -> Run:
        """The main run."""
        return self.experiment.run("main")

    def groups(self, at_most: int | None = None) -> list[list[int]]:
        """Examples of equal length in every input that is read; at most so many unless an edit draws others."""
        names = list(dict.fromkeys(self.experiment.run(name).input for name in self.order))
        return groups(self.prompts, names, at_most=batch_size(self.experiment, at_most))

    def runner(self, rows: Sequence[int]) -> Runner:
        """Examples of one group, with the runs that others take values from."""
        runner = Runner(self.network, self.experiment, self.prompts, rows, self.means, self.needed, self.tally)
        for name in self.order:
            if name != "main":
                runner.make(name, self.experiment.run(name))
        return runner


def picked(runner: Runner, at: Sequence[int]) -> Runner:
    """A runner of these of its examples, by their place in it: in another order, several times, sources included."""
    whole = list(at) == list(range(len(runner.rows)))

    def chosen(tensor: Tensor) -> Tensor:
        return tensor if whole or tensor.shape[0] != len(runner.rows) else tensor[list(at)]

    kept = {
        name: Kept(None if k.output is None else chosen(k.output), {site: chosen(t) for site, t in k.sites.items()})
        for name, k in runner.kept.items()
    }
    rows = [runner.rows[i] for i in at]
    return Runner(
        runner.network, runner.experiment, runner.prompts, rows, runner.means, runner.wanted, runner.tally, kept=kept
    )


def per_example(values: Tensor) -> Tensor:
    """A metric's numbers summed over all but examples."""
    return values.reshape(values.shape[0], -1).sum(1)


def chunks(runner: Runner, size: int) -> Iterator[Runner]:
    """A runner's examples, so many at a time."""
    every: Sequence[int] = range(len(runner.rows))
    for start in range(0, len(every), size):
        yield picked(runner, every[start : start + size])
