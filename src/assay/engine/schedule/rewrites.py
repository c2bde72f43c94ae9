"""Edits of heads' outputs said where the same change costs less.

`head_out` is `z` through the head's slice of the output projection, so what is linear and acts on whole heads can be done
to `z`: the tensor is smaller by d_model / d_head, and nothing is multiplied that the block would not multiply anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from assay.core.sites import SiteName
from assay.experiments.edits import ANY_SITE, Edit
from assay.experiments.experiment import Experiment
from assay.experiments.given_edits import Scale, Zero
from assay.experiments.runs import Run
from assay.experiments.site_metrics import SiteMetric
from assay.experiments.sourced_edits import Freeze, Mean, Patch
from assay.models.network import Network

AT_Z = {"head_out": "z", "cross_head_out": "cross_z"}


def at_z(runs: Mapping[str, Run], network: Network, experiment: Experiment) -> dict[str, Run]:
    """Runs whose edits of `head_out` are edits of `z`, where that is the same. `runs` are those that vary, filled in.

    It is another thing where somebody reads their `z`, or where a source's `head_out` is no longer what its `z` makes of it.
    """
    every = {**experiment.runs, **runs}
    apart = {name for name, run in every.items() if any(_of_heads(edit.site) for edit in run.edits)}
    read = {name for name in runs if _reads_z(name, every, experiment)}
    return {n: run if n in read else _run_at_z(run, network, apart) for n, run in runs.items()}


def _reads_z(name: str, runs: Mapping[str, Run], experiment: Experiment) -> bool:
    sites = [capture.site for capture in runs[name].captures]
    sites += [m.site for m in experiment.metrics if isinstance(m, SiteMetric) and (m.run or experiment.main) == name]
    sourced = [edit for run in runs.values() for edit in run.edits if edit.source_run == name]
    sites += [getattr(edit, "source_site", None) or edit.site for edit in sourced]
    names = [SiteName.parse(site) for site in sites if site != ANY_SITE]
    return any(found.name in AT_Z.values() or found.native is not None for found in names)


def _run_at_z(run: Run, network: Network, apart: Collection[str]) -> Run:
    here = [edit for edit in run.edits if _of_heads(edit.site)]
    if not here or not all(_linear(edit) and edit.source_run not in apart and _there(edit, network) for edit in here):
        return run
    others = [edit for edit in run.edits if edit not in here]  # of these, edits of z come before, as they did
    return run.with_edits((*others, *(edit.model_copy(update={"site": _name(edit.site)}) for edit in here)))


def _of_heads(site: str) -> bool:
    return site != ANY_SITE and SiteName.parse(site).name in AT_Z


def _linear(edit: Edit) -> bool:
    if edit.dims is not None:
        return False
    if isinstance(edit, Patch):
        return edit.source_site is None
    return isinstance(edit, Freeze | Mean | Zero | Scale)


def _there(edit: Edit, network: Network) -> bool:
    sites: Sequence[SiteName] = [site.name for site in network.sites_named(edit.site)]
    return all(replace(name, name=AT_Z[name.name]) in network.structure.sites for name in sites)


def _name(site: str) -> str:
    name = SiteName.parse(site)
    return str(replace(name, name=AT_Z[name.name]))
