"""Where passes whose output nobody reads may end: at the last site that is kept."""

from __future__ import annotations

from collections.abc import Collection

from assay.experiments.executed import executed, of_output
from assay.experiments.experiment import Experiment
from assay.models.network import Network
from assay.models.structure import Site


class EnoughError(Exception):
    """All that was asked of a pass is there."""


def unread(experiment: Experiment) -> frozenset[str]:
    """The runs whose output no metric reads, and no gradient of one."""
    read = {name for metric, run in of_output(experiment) for name in (run, metric.other_run)}
    return frozenset(executed(experiment)) - read


def blocks_until(network: Network, sites: Collection[Site]) -> int | None:
    """How many blocks a pass computes that ends at the last of these sites; None where it has to go on to its output.

    That is so where nothing is kept, and where a site is in no block of the main stack: of an encoder, or after the blocks.
    """
    chain = network.structure.main_chain
    if chain is None or not sites:
        return None
    found = 0
    for site in sites:
        if site.layer is None and site.name.name in BEFORE:
            continue
        if site.layer is None or site.name.stack != chain.stack or not site.layer < len(chain):
            return None
        found = max(found, site.layer + (site.name.name != "resid_pre"))
    return found


BEFORE = frozenset({"embed", "pos_embed"})
"""Sites outside the layers that native code passes before them."""
