"""What senders write in the plain run, and what a receiver reads more of each when it is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.edge_names import BLOCK, Receiver, comes_before, parse_receiver, parse_sender
from assay.engine.edges.many import ManyCircuits
from assay.engine.edges.rewire import by_place
from assay.engine.passes import forward
from assay.engine.rows import own_rows
from assay.engine.runner import Runner
from assay.models.structure import Site


def own_writes(made: ManyCircuits, runner: Runner) -> dict[Site, Tensor]:
    """What senders write in the plain run, at their sites. Cost: one pass."""
    prompts, run = runner.prompts[made.prepared.run.input], made.prepared.run
    inputs = prompts.inputs(own_rows(prompts, runner.rows))
    senders, receivers = map(parse_sender, made.senders), map(parse_receiver, made.receivers)
    sites = dict.fromkeys(made.wiring.carried(senders, receivers))
    changes = runner.changes(run.edits, runner.scope(run))
    return made.passed(runner, lambda: forward(runner.network, inputs, changes, sites)).sites


def replaced(made: ManyCircuits, runner: Runner, own: Mapping[Site, Tensor], site: Site) -> Tensor:
    """What a site holds in the run of replaced values."""
    return runner.value(made.source, site).to(own[site])


@torch.no_grad()
def changes(
    made: ManyCircuits, runner: Runner, own: Mapping[Site, Tensor]
) -> Float[Tensor, "example sender pos d_model"]:
    """Of every sender, what is added more to the stream when it alone is replaced."""
    network, wiring, senders = runner.network, made.wiring, [parse_sender(name) for name in made.senders]
    found: dict[int, Tensor] = {}
    for place, numbers in by_place((sender, number) for number, sender in enumerate(senders)).items():
        site = wiring.written(senders[numbers[0]])
        value, other = own[site], replaced(made, runner, own, site)
        if place[1] == "heads":
            every = wiring.heads_of(place[0] or 0).changes(network, value, other)
            found |= {n: every[:, senders[n].head or 0] for n in numbers}
        else:
            found[numbers[0]] = other - value
    return torch.stack([found[number] for number in range(len(senders))], 1)


@dataclass
class Given:
    """What a part reads of one sender beside its stream: the change of that, and the slopes along it so far."""

    sender: int
    receiver: int
    site: Site
    change: Tensor
    total: Float[Tensor, " example"]

    def add(self, gradient: Float[Tensor, "point example *any"]) -> None:
        """One pass's gradients at the site."""
        self.total = self.total + (gradient.sum(0) * self.change).flatten(1).sum(1)


def given_beside(made: ManyCircuits, runner: Runner, own: Mapping[Site, Tensor]) -> list[Given]:
    """All that parts read of these senders beside their stream."""
    numbers = {parse_sender(name): number for number, name in enumerate(made.senders)}
    found = []
    for number, reads in enumerate(map(parse_receiver, made.receivers)):
        port = None if reads.layer is None else made.wiring.port(reads)
        given = made.wiring.beside if port is None else port.given
        for again in () if port is None else port.earlier:
            read = Receiver(again.layer, slot=BLOCK)
            every = changes(made, runner, own)
            for sender, at in numbers.items():
                if comes_before(sender, read, parallel=False):
                    found.append(Given(at, number, again.site, every[:, at], every.new_zeros(len(every))))
        for each in (one for one in given if one.sender in numbers):
            if not own[each.site].is_floating_point():
                continue  # a choice has no slope
            change = replaced(made, runner, own, each.site) - own[each.site]
            found.append(Given(numbers[each.sender], number, each.site, change, change.new_zeros(len(change))))
    return found
