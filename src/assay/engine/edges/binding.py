"""Edits of edges, bound to a pass: the changes at sites, and the attention under which they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor

from assay.core.edge_names import parse_receiver, parse_sender
from assay.core.errors import ExperimentError
from assay.engine.edges.expanded import own_keys, refuse_inside, refuse_shared
from assay.engine.edges.rewire import Rewire, cuts
from assay.engine.edges.trial import refuse_untrue
from assay.engine.edges.wiring import wiring
from assay.experiments.edge_edits import Edges
from assay.experiments.edits import Edit
from assay.models.network import Network
from assay.models.structure import Site


def rewire(network: Network, edit: Edges, ablated: Callable[[Site], Tensor]) -> Rewire:
    """What cuts the edges of an edit; `ablated` gives sites' values in its source, for the examples of the pass."""
    wires = wiring(network)
    senders, receivers = list(map(parse_sender, edit.senders)), list(map(parse_receiver, edit.receivers))
    refuse_untrue(wires, [*senders, *receivers])
    wires = wires.among([*senders, *receivers])
    kept = edit.kept.tensor[None].to(network.device)
    return Rewire(wires, cuts(wires, senders, receivers, kept), ablated)


def sender_sites(network: Network, edit: Edges) -> list[Site]:
    """The sites whose values in the source are needed."""
    wires = wiring(network)
    for name in edit.senders:
        wires.refuse_missing(parse_sender(name))
    senders, receivers = list(map(parse_sender, edit.senders)), list(map(parse_receiver, edit.receivers))
    return list(dict.fromkeys(wires.among([*senders, *receivers]).carried(senders, receivers)))


@contextmanager
def attention_for(network: Network, rewires: Sequence[Rewire], sites: Iterable[Site]) -> Iterator[None]:
    """The context in which a pass with these cuts is made; `sites` are those that it reads or changes otherwise."""
    with ExitStack() as stack:
        if any(each.own_keys for each in rewires):
            refuse_shared(network)
            refuse_inside(list(sites))
            stack.enter_context(own_keys(network))
        yield


def refuse_unreachable(network: Network, rewire: Rewire) -> None:
    """Raise SiteError, before any pass, where these edges can't be cut in this model."""
    rewire.changes()
    if rewire.own_keys:
        refuse_shared(network)


def parted(edits: Iterable[Edit]) -> tuple[list[Edit], list[Edges]]:
    """Edits at sites, and those of edges."""
    every = list(edits)
    return [e for e in every if not isinstance(e, Edges)], [e for e in every if isinstance(e, Edges)]


def refuse_edges(edits: Iterable[Edit], doing: str) -> None:
    """Raise ExperimentError where edges can't be cut."""
    if parted(edits)[1]:
        raise ExperimentError(f"edges can't be cut while {doing}: use edits at sites, or measure a run.")
