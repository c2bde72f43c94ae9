"""How a metric changes with what each part reads of each other part, to first order, for all edges at once.

    slope(u → v) = D_u · ∂m/∂in_v          D_u = ablated_u − current_u,   summed over positions

∂m/∂in_v is the gradient at the receiver's own input of the stream: what later parts make of the receiver's change is in it.
One backward pass gives it at queries, keys, values, MLP inputs and the last stream; from there it goes back to what the
receiver reads, and to what each sender writes: at once for all points of a path where streams are sums (`summed.py`), at
each point where they are normed after each sum (`pulled.py`). What a whole layer reads has the gradient at its input less
that at the stream behind it, which is what goes past it.

Cost for each pass: the pass itself and its backward pass; and what these two say.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.edge_names import Sender, parse_receiver, parse_sender
from assay.engine.edges.expanded import group_size, own_keys, widening
from assay.engine.edges.many import ManyCircuits
from assay.engine.edges.pulled import Pulled
from assay.engine.edges.read_at import read_at
from assay.engine.edges.summed import Summed
from assay.engine.edges.underived import watched
from assay.engine.edges.writes import Given, changes, given_beside
from assay.engine.followed import followed
from assay.engine.hooks import Change
from assay.engine.passes import forward
from assay.engine.prepared import per_example, picked
from assay.engine.rows import own_rows
from assay.engine.runner import Runner
from assay.models.structure import Site


@dataclass
class Slopes:
    """Slopes of some examples of one length, summed over passes. `made` says which edges, and what is measured.

    `own` is what senders write in the plain run.
    """

    made: ManyCircuits
    runner: Runner
    own: Mapping[Site, Tensor]
    points: int = 0

    def __post_init__(self) -> None:
        self.senders = [parse_sender(name) for name in self.made.senders]
        self.receivers = [parse_receiver(name) for name in self.made.receivers]
        self.shared = all(receiver.shared for receiver in self.receivers if receiver.slot in ("k", "v"))
        self.reads = read_at(self.made.wiring, self.receivers, shared=self.shared)
        self._summed = Summed(self.reads, self.senders)

    def add(self, points: int, values: Mapping[Site, Tensor]) -> Tensor:
        """One more pass: the examples at some points of a path, `values` [point · example, …] put at sites.

        Gives the metric, [point, example].
        """
        examples, wiring = len(self.runner.rows), self.made.wiring
        many = picked(self.runner, list(range(examples)) * points)
        run, prompts, network = self.made.prepared.run, many.prompts[self.made.prepared.run.input], many.network
        streams = dict.fromkeys(at.port.reading.stream for at in self.reads if at.port is not None)
        wide = {} if self.shared else self._wide()
        read = {site: after for site, (_, after) in wide.items()}
        around = {at.site: at.port for at in self.reads if at.port is not None and at.port.leaves is not None}
        attached = [*(read.get(at.site, at.site) for at in self.reads if at.port is not None), wiring.last]
        attached += [port.leaves for port in around.values() if port.leaves is not None]
        attached += [given.site for given in self._given]
        read_too = dict.fromkeys([*streams, *(norm.before for norm in wiring.norms)])
        changing = [
            *many.changes(run.edits, many.scope(run)),
            *((site, _constant(value)) for site, value in values.items()),
            *((site, change) for site, (change, _) in wide.items()),
            *(watched(at.site) for at in self.reads if at.port is not None),
        ]
        inputs = prompts.inputs(own_rows(prompts, many.rows))
        with own_keys(network) if wide else nullcontext():
            kept = self.made.passed(many, lambda: followed(network, inputs, changing, read_too, attach=attached))
        many.kept["main"] = kept
        with torch.enable_grad():
            measured = per_example(many.measure_smooth(self.made.prepared.experiment.metrics[0], "main", run))
        sites = dict.fromkeys(attached)
        gradients = torch.autograd.grad(measured.sum(), [kept.sites[site] for site in sites], allow_unused=True)
        by_site = {
            site: torch.zeros_like(kept.sites[site]) if gradient is None else gradient
            for site, gradient in zip(sites, gradients, strict=True)
        }
        whole = dict(by_site)  # where one part leaves the stream the next may read it
        for enters, port in around.items():
            if port.leaves is not None:  # what goes past a part is none of what it reads
                by_site[enters] = whole[enters] - port.past(network, whole[port.leaves])
        many.tally.backward += 1
        self.points += points
        slopes = {site: value.unflatten(0, (points, examples)) for site, value in by_site.items()}
        passed = {site: value.detach().unflatten(0, (points, examples)) for site, value in kept.sites.items()}
        for given in self._given:
            given.add(slopes[given.site])
        if wiring.norms:
            for point in range(points):
                self._pulled.add({s: v[point] for s, v in slopes.items()}, {s: v[point] for s, v in passed.items()})
        else:
            self._summed.add(slopes, passed)
        found: Tensor = measured.detach().unflatten(0, (points, examples))
        return found

    def measure(self, values: Mapping[Site, Tensor]) -> Float[Tensor, " example"]:
        """The metric with `values` [example, …] put at sites."""
        run, network = self.made.prepared.run, self.runner.network
        many = picked(self.runner, list(range(len(self.runner.rows))))
        prompts, scope = many.prompts[run.input], many.scope(run)
        changing = [*many.changes(run.edits, scope), *((site, _constant(value)) for site, value in values.items())]
        inputs = prompts.inputs(own_rows(prompts, many.rows))
        many.kept["main"] = self.made.passed(many, lambda: forward(network, inputs, changing))
        return per_example(many.measure(self.made.prepared.experiment.metrics[0], "main", run))

    @torch.no_grad()
    def scores(self) -> Float[Tensor, "example sender receiver"]:
        """D_u times the mean gradient at every receiver; for pairs that are no edges it is nothing in particular."""
        if self.made.wiring.norms:
            found = self._pulled.total / self.points
        else:
            found = self._summed.times(changes(self.made, self.runner, self.own), self.points)
        for given in self._given:
            found[:, given.sender, given.receiver] += given.total / self.points
        return found

    def written(self, sender: Sender) -> list[Site]:
        """The sites of all that a sender writes for these receivers, or what it is computed from."""
        return self.made.wiring.carried([sender], self.receivers)

    @cached_property
    def _given(self) -> list[Given]:
        return given_beside(self.made, self.runner, self.own)

    @cached_property
    def _pulled(self) -> Pulled:
        return Pulled(self.made.wiring, self.senders, self.reads, changes(self.made, self.runner, self.own))

    def _wide(self) -> dict[Site, tuple[Change, Site]]:
        """Keys and values of their own for query heads that share them."""
        found: dict[Site, tuple[Change, Site]] = {}
        for at in self.reads:
            layer, slot = at.place
            if slot in ("k", "v") and layer is not None and group_size(self.runner.network, layer) > 1:
                found[at.site] = widening(at.site, group_size(self.runner.network, layer))
        return found


def _constant(value: Tensor) -> Change:
    return lambda _: value
