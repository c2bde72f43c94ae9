"""How a metric changes with what each part reads of each other part, to first order, for all edges at once.

    slope(u → v) = D_u · ∂m/∂in_v          D_u = ablated_u − current_u,   summed over positions

∂m/∂in_v is the gradient at the receiver's own input of the stream: what later parts make of the receiver's change is in it.
One backward pass gives it at queries, keys, values, MLP inputs and the last stream; the way back through a head's columns W
of the projection and the norm (x̂ = x / s, weight w) is done in the head's own small space,

    D · J'(Wᵀg) = D · w∘Wᵀ(g / s) − (D · x̂) · (x̂ · w∘Wᵀg) / (d · s)

so that points of a path are summed before anything of the size receivers × d_model is made. Cost for each pass: the pass
itself and its backward pass; and once for each example, edges · pos · d_model multiplications.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.edge_names import Receiver, Sender, parse_receiver, parse_sender
from assay.engine.edges.expanded import group_size, own_keys, widening
from assay.engine.edges.many import ManyCircuits
from assay.engine.edges.reading import Port, norm_parts
from assay.engine.edges.rewire import Place, by_place
from assay.engine.followed import followed
from assay.engine.hooks import Change
from assay.engine.passes import forward
from assay.engine.prepared import per_example, picked
from assay.engine.rows import own_rows
from assay.engine.runner import Runner
from assay.models.structure import Site

_Stream = tuple[Site, bool, float]
"""What is normalised, and how."""


@dataclass
class _Summed:
    """Of the receivers at one place, over the points of a path."""

    numbers: list[int]
    flat: Tensor | None = None
    """Σ g / s, in the receivers' own space: [example, pos, head, d_head], or [example, pos, d_model]."""
    along: list[Tensor] = field(default_factory=list)
    """(x̂ · w∘Wᵀg) / (d · s) at each point: [example, receiver, pos]."""


@dataclass
class Slopes:
    """Slopes of some examples of one length, summed over passes. `made` says which edges, and what is measured."""

    made: ManyCircuits
    runner: Runner
    points: int = 0
    _summed: dict[Place, _Summed] = field(default_factory=dict)
    _units: dict[_Stream, list[Tensor]] = field(default_factory=dict)
    """x̂ at each point: [example, pos, d_model]."""

    def __post_init__(self) -> None:
        self.senders = [parse_sender(name) for name in self.made.senders]
        self.receivers = [parse_receiver(name) for name in self.made.receivers]
        places = by_place((receiver, number) for number, receiver in enumerate(self.receivers))
        self._summed = {place: _Summed(numbers) for place, numbers in places.items()}
        self.shared = all(receiver.shared for receiver in self.receivers if receiver.slot in ("k", "v"))

    def own(self) -> dict[Site, Tensor]:
        """What senders write in the plain run, at their sites."""
        prompts, run = self.runner.prompts[self.made.prepared.run.input], self.made.prepared.run
        inputs = prompts.inputs(own_rows(prompts, self.runner.rows))
        sites = dict.fromkeys(self.made.wiring.written(sender) for sender in self.senders)
        changes = self.runner.changes(run.edits, self.runner.scope(run))
        return self.made.passed(self.runner, lambda: forward(self.runner.network, inputs, changes, sites)).sites

    def replaced(self, own: Mapping[Site, Tensor], site: Site) -> Tensor:
        """What a site holds in the run of replaced values."""
        return self.runner.value(self.made.source, site).to(own[site])

    @torch.no_grad()
    def changes(self, own: Mapping[Site, Tensor]) -> Float[Tensor, "example sender pos d_model"]:
        """D_u of every sender: what a receiver reads more when that sender alone is replaced."""
        network, wiring = self.runner.network, self.made.wiring
        found: dict[int, Tensor] = {}
        for place, numbers in by_place((sender, number) for number, sender in enumerate(self.senders)).items():
            site = wiring.written(self.senders[numbers[0]])
            value = own[site]
            other = self.replaced(own, site)
            if place[1] == "heads":
                heads = wiring.heads_of(place[0] or 0)
                every = heads.changes(network, value, other)
                found |= {n: every[:, self.senders[n].head or 0] for n in numbers}
            else:
                found[numbers[0]] = other - value
        return torch.stack([found[number] for number in range(len(self.senders))], 1)

    def add(self, points: int, values: Mapping[Site, Tensor]) -> Tensor:
        """One more pass: the examples at some points of a path, `values` [point · example, …] put at sites.

        Gives the metric, [point, example].
        """
        examples = len(self.runner.rows)
        many = picked(self.runner, list(range(examples)) * points)
        run, prompts, network = self.made.prepared.run, many.prompts[self.made.prepared.run.input], many.network
        ports = {
            place: self.made.wiring.port(Receiver(*_layer_slot(place)))
            for place in self._summed
            if place != (None, None)
        }
        streams = dict.fromkeys(port.reading.stream for port in ports.values())
        wide = {} if self.shared else self._wide(ports)
        read = {site: after for site, (_, after) in wide.items()}
        attached = [*(read.get(port.site, port.site) for port in ports.values()), self.made.wiring.last]
        changes = [
            *many.changes(run.edits, many.scope(run)),
            *((site, _constant(value)) for site, value in values.items()),
        ]
        inputs = prompts.inputs(own_rows(prompts, many.rows))
        changes += [(site, change) for site, (change, _) in wide.items()]
        with own_keys(network) if wide else nullcontext():
            kept = self.made.passed(many, lambda: followed(network, inputs, changes, streams, attach=attached))
        many.kept["main"] = kept
        with torch.enable_grad():
            measured = per_example(many.measure_smooth(self.made.prepared.experiment.metrics[0], "main", run))
        sites = dict.fromkeys(attached)
        gradients = torch.autograd.grad(measured.sum(), [kept.sites[site] for site in sites], allow_unused=True)
        by_site = {
            site: torch.zeros_like(kept.sites[site]) if gradient is None else gradient
            for site, gradient in zip(sites, gradients, strict=True)
        }
        many.tally.backward += 1
        normed = {}
        for stream in dict.fromkeys(_stream(port) for port in ports.values()):
            if stream is not None:
                parts = norm_parts(kept.sites[stream[0]].detach(), *stream[1:])
                normed[stream] = [part.unflatten(0, (points, examples)) for part in parts]
                self._units.setdefault(stream, []).extend(normed[stream][0])
        for place in self._summed:
            port = ports.get(place)
            site = self.made.wiring.last if port is None else port.site
            stream = None if port is None else _stream(port)
            seen = None if stream is None else normed[stream]
            self._sum(place, port, by_site[site].unflatten(0, (points, examples)), seen)
        self.points += points
        found: Tensor = measured.detach().unflatten(0, (points, examples))
        return found

    def measure(self, values: Mapping[Site, Tensor]) -> Float[Tensor, " example"]:
        """The metric with `values` [example, …] put at sites."""
        run, network = self.made.prepared.run, self.runner.network
        many = picked(self.runner, list(range(len(self.runner.rows))))
        prompts, scope = many.prompts[run.input], many.scope(run)
        changes = [*many.changes(run.edits, scope), *((site, _constant(value)) for site, value in values.items())]
        inputs = prompts.inputs(own_rows(prompts, many.rows))
        many.kept["main"] = self.made.passed(many, lambda: forward(network, inputs, changes))
        return per_example(many.measure(self.made.prepared.experiment.metrics[0], "main", run))

    def _sum(self, place: Place, port: Port | None, gradient: Tensor, normed: Sequence[Tensor] | None) -> None:
        """Sum one pass's gradients at a place, [point, example, pos, …]; `normed` are x̂ and s of what is read there."""
        summed = self._summed[place]
        if port is not None and port.projection is not None:
            gradient = gradient[..., self._heads(place), :]
        if normed is not None and port is not None and port.reading.scale is not None:
            unit, scale = normed
            weighted = unit * port.reading.scale.weight(self.runner.network, unit)
            for at in range(len(unit)):
                seen = gradient[at] * self._projected(place, port, weighted[at])
                along = seen.sum(-1) / (
                    unit.shape[-1] * scale[at].reshape(*scale[at].shape[:2], *[1] * (seen.ndim - 3))
                )
                summed.along.append(along.transpose(1, 2) if along.ndim == 3 else along[:, None])
            gradient = gradient / scale.reshape(*scale.shape[:3], *[1] * (gradient.ndim - 3))
        total = gradient.sum(0)
        summed.flat = total if summed.flat is None else summed.flat + total

    def _projected(self, place: Place, port: Port, x: Tensor) -> Tensor:
        """A vector of the stream as the receivers at a place see it, biases left out."""
        if port.projection is None:
            return x
        return port.projection.seen(self.runner.network, x, self._columns(place))

    @torch.no_grad()
    def scores(self, changes: Float[Tensor, "example sender pos d_model"]) -> Float[Tensor, "example sender receiver"]:
        """D_u times the mean gradient at every receiver; of pairs that are no edges as well."""
        found = changes.new_zeros(*changes.shape[:2], len(self.receivers))
        together: dict[tuple[int | None, _Stream | None], list[Place]] = {}
        for place in self._summed:
            together.setdefault((place[0], self._stream_at(place)), []).append(place)
        for (layer, stream), places in together.items():
            numbers = [n for place in places for n in self._summed[place].numbers]
            last = max(n for n, sender in enumerate(self.senders) if _before(sender, layer)) + 1
            gradient = torch.cat([self._gradient(place) for place in places], 1)
            for example, some in enumerate(changes[:, :last].to(gradient.dtype)):
                total = some.flatten(1) @ gradient[example].flatten(1).T
                if stream is not None:
                    unit = torch.stack([unit[example] for unit in self._units[stream]], -1)  # pos d_model point
                    at = [torch.stack([a[example] for a in self._summed[place].along], -1) for place in places]
                    along = torch.cat(at).permute(1, 2, 0)  # pos point receiver
                    total -= ((some.transpose(0, 1) @ unit) @ along).sum(0)
                found[example, :last, numbers] = (total / self.points).to(found)
        return found

    def _stream_at(self, place: Place) -> _Stream | None:
        return None if place == (None, None) else _stream(self.made.wiring.port(Receiver(*_layer_slot(place))))

    def _gradient(self, place: Place) -> Float[Tensor, "example receiver pos d_model"]:
        network, flat = self.runner.network, self._summed[place].flat
        assert flat is not None  # a pass was added
        if place == (None, None):
            return flat[:, None]
        port = self.made.wiring.port(Receiver(*_layer_slot(place)))
        pulled = flat[:, None] if port.projection is None else port.projection.pull(network, flat, self._columns(place))
        norm = port.reading.scale
        if norm is None:
            return pulled
        pulled = pulled * norm.weight(network, pulled)
        return pulled - pulled.mean(-1, keepdim=True) if norm.centred else pulled

    def _heads(self, place: Place) -> Tensor:
        return torch.tensor([self.receivers[n].head or 0 for n in self._summed[place].numbers])

    def _columns(self, place: Place) -> Tensor:
        """Which heads of the projection the receivers at a place read."""
        heads = self._heads(place)
        layer, slot = place
        if self.shared or slot not in ("k", "v") or layer is None:
            return heads
        return heads // group_size(self.runner.network, layer)

    def _wide(self, ports: Mapping[Place, Port]) -> dict[Site, tuple[Change, Site]]:
        """Keys and values of their own for query heads that share them."""
        found: dict[Site, tuple[Change, Site]] = {}
        for (layer, slot), port in ports.items():
            if slot in ("k", "v") and layer is not None and group_size(self.runner.network, layer) > 1:
                found[port.site] = widening(port.site, group_size(self.runner.network, layer))
        return found


def _layer_slot(place: Place) -> tuple[int | None, None, str | None]:
    return place[0], None, place[1]


def _stream(port: Port) -> _Stream | None:
    """What a port reads, as far as x̂ and s depend on it."""
    norm = port.reading.scale
    return None if norm is None else (port.reading.stream, norm.centred, norm.eps)


def _before(sender: Sender, layer: int | None) -> bool:
    return layer is None or sender.layer is None or sender.layer <= layer


def _constant(value: Tensor) -> Change:
    return lambda _: value


def chunks(runner: Runner, size: int) -> Iterator[Runner]:
    """A runner's examples, so many at a time."""
    every: Sequence[int] = range(len(runner.rows))
    for start in range(0, len(every), size):
        yield picked(runner, every[start : start + size])
