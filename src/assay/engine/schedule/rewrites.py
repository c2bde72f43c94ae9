"""Edits of heads' outputs said where the same change costs less.

`head_out` is `z` through the head's slice of the output projection, so what is linear and acts on whole heads can be done
to `z`: the tensor is smaller by d_model / d_head, and nothing is multiplied that the block would not multiply anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from assay.core.sites import SiteName
from assay.experiments.edits import Edit
from assay.experiments.given_edits import Scale, Zero
from assay.experiments.runs import Run
from assay.experiments.sourced_edits import Freeze, Mean, Patch
from assay.models.network import Network

AT_Z = {"head_out": "z", "cross_head_out": "cross_z"}


def at_z(runs: Mapping[str, Run], network: Network) -> dict[str, Run]:
    """Runs whose edits of `head_out` are edits of `z`, where that is the same."""
    return {name: _run_at_z(run, network) for name, run in runs.items()}


def _run_at_z(run: Run, network: Network) -> Run:
    here = [edit for edit in run.edits if SiteName.parse(edit.site).name in AT_Z]
    if not here or not all(_linear(edit) and _there(edit, network) for edit in here):
        return run
    others = [edit for edit in run.edits if edit not in here]  # of these, edits of z come before, as they did
    return run.with_edits((*others, *(edit.model_copy(update={"site": _name(edit.site)}) for edit in here)))


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
