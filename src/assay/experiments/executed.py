"""Which runs of an experiment are made, and what is measured on them."""

from __future__ import annotations

from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.site_metrics import SiteMetric
from assay.experiments.sourced_edits import Mean


def executed(experiment: Experiment) -> tuple[str, ...]:
    """The runs that are made for each group of examples, in order: all but those of which only a mean is taken."""
    read = {experiment.main, *(m.run for m in experiment.metrics), *(m.other_run for m in experiment.metrics)}
    order = experiment.order()
    for name in reversed(order):
        run = experiment.run(name)
        if name in read or run.captures:
            read.add(name)
            read |= {e.source_run for e in run.edits if not isinstance(e, Mean)}
            read |= {capture.of.other_run for capture in run.gradients}
    return tuple(name for name in order if name in read)


def measured(experiment: Experiment) -> list[tuple[Metric, str]]:
    """Every metric that is computed, with the run that it reads: those of the experiment, and of captured gradients."""
    found: list[tuple[Metric, str]] = [(metric, metric.run or experiment.main) for metric in experiment.metrics]
    for name in executed(experiment):
        found += [(capture.of, name) for capture in experiment.run(name).gradients]
    return found


def of_output(experiment: Experiment) -> list[tuple[Metric, str]]:
    """Those among them that read a run's output, not a site."""
    return [(metric, name) for metric, name in measured(experiment) if not isinstance(metric, SiteMetric)]
