"""How a metric changes with what each part reads of each other part, to first order, for all edges at once.

    slope(u → v) = D_u · ∂m/∂in_v          D_u = ablated_u − current_u,   summed over positions

∂m/∂in_v is the gradient at the receiver's own input of the stream: what later parts make of the receiver's change is in it.
One backward pass gives it at queries, keys, values, MLP inputs and the last stream; the way back through a head's columns W
of the projection and the norm (x̂ = x / s, weight w) is done in the head's own small space,

    D · J'(Wᵀg) = D · w∘Wᵀ(g / s) − (D · x̂) · (x̂ · w∘Wᵀg) / (d · s)

so that points of a path are summed before anything of the size receivers × d_model is made. Cost for each pass: the pass
itself and its backward pass; and once for each example, edges · pos · d_model multiplications. Where the stream is normed
after each sum, gradients go back through these norms at each point (`pulled.py`). What a whole layer reads has the gradient at
its input less that at the stream behind it, which is what goes past it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.edge_names import BLOCK, Receiver, Sender, parse_receiver, parse_sender
from assay.engine.edges.expanded import group_size, own_keys, widening
from assay.engine.edges.many import ManyCircuits
from assay.engine.edges.pulled import Pulled
from assay.engine.edges.reading import Port, norm_parts
from assay.engine.edges.rewire import Place, by_place
from assay.engine.edges.writes import Given, changes, given_beside
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
    """Slopes of some examples of one length, summed over passes. `made` says which edges, and what is measured.

    `own` is what senders write in the plain run.
    """

    made: ManyCircuits
    runner: Runner
    own: Mapping[Site, Tensor]
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
        leaves = {port.site: self.made.wiring.block(at[0] or 0).leaves for at, port in ports.items() if at[1] == BLOCK}
        attached = [*(read.get(port.site, port.site) for port in ports.values()), self.made.wiring.last]
        attached += [*leaves.values(), *(given.site for given in self._given)]
        read_too = dict.fromkeys([*streams, *(norm.before for norm in self.made.wiring.norms)])
        changing = [
            *many.changes(run.edits, many.scope(run)),
            *((site, _constant(value)) for site, value in values.items()),
            *((site, change) for site, (change, _) in wide.items()),
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
        for enters, left in leaves.items():  # what goes past a whole layer is none of what it reads
            by_site[enters] = by_site[enters] - by_site[left]
        for given in self._given:
            given.add(by_site[given.site].unflatten(0, (points, examples)))
        many.tally.backward += 1
        self.points += points
        slopes = {site: value.unflatten(0, (points, examples)) for site, value in by_site.items()}
        passed = {site: value.detach().unflatten(0, (points, examples)) for site, value in kept.sites.items()}
        if self.made.wiring.norms:
            for point in range(points):
                self._pull(ports, {s: v[point] for s, v in slopes.items()}, {s: v[point] for s, v in passed.items()})
        else:
            self._sum_all(ports, slopes, passed)
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

    def _sum_all(self, ports: Mapping[Place, Port], slopes: Mapping[Site, Tensor], passed: Mapping[Site, Tensor]) -> None:
        """Sum one pass's gradients; values at sites are [point, example, pos, …]."""
        normed = {}
        for stream in dict.fromkeys(_stream(port) for port in ports.values()):
            if stream is not None:
                normed[stream] = norm_parts(passed[stream[0]], *stream[1:])
                self._units.setdefault(stream, []).extend(normed[stream][0])
        for place in self._summed:
            port = ports.get(place)
            site = self.made.wiring.last if port is None else port.site
            stream = None if port is None else _stream(port)
            self._sum(place, port, slopes[site], None if stream is None else normed[stream])

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
    def scores(self) -> Float[Tensor, "example sender receiver"]:
        """D_u times the mean gradient at every receiver; of pairs that are no edges as well, where no norms lie between."""
        found = self._pulled.total / self.points if self.made.wiring.norms else self._of_sums()
        for given in self._given:
            found[:, given.sender, given.receiver] += given.total / self.points
        return found

    def written(self, sender: Sender) -> list[Site]:
        """The sites of all that a sender writes for these receivers, or what it is computed from."""
        return self.made.wiring.carried([sender], self.receivers)

    def _of_sums(self) -> Float[Tensor, "example sender receiver"]:
        changed = changes(self.made, self.runner, self.own)
        found = changed.new_zeros(*changed.shape[:2], len(self.receivers))
        together: dict[tuple[int | None, _Stream | None], list[Place]] = {}
        for place in self._summed:
            together.setdefault((place[0], self._stream_at(place)), []).append(place)
        for (layer, stream), places in together.items():
            numbers = [n for place in places for n in self._summed[place].numbers]
            last = max(n for n, sender in enumerate(self.senders) if _before(sender, layer)) + 1
            gradient = torch.cat([self._gradient(place) for place in places], 1)
            for example, some in enumerate(changed[:, :last].to(gradient.dtype)):
                total = some.flatten(1) @ gradient[example].flatten(1).T
                if stream is not None:
                    unit = torch.stack([unit[example] for unit in self._units[stream]], -1)  # pos d_model point
                    at = [torch.stack([a[example] for a in self._summed[place].along], -1) for place in places]
                    along = torch.cat(at).permute(1, 2, 0)  # pos point receiver
                    total -= ((some.transpose(0, 1) @ unit) @ along).sum(0)
                found[example, :last, numbers] = (total / self.points).to(found)
        return found

    @cached_property
    def _given(self) -> list[Given]:
        return given_beside(self.made, self.runner, self.own)

    @cached_property
    def _pulled(self) -> Pulled:
        changed = changes(self.made, self.runner, self.own)
        return Pulled(self.runner.network, self.made.wiring.norms, self.senders, self.receivers, changed)

    @torch.no_grad()
    def _pull(self, ports: Mapping[Place, Port], gradients: Mapping[Site, Tensor], sums: Mapping[Site, Tensor]) -> None:
        """Take one point's gradients back through the norms; values at sites are [example, pos, …]."""
        streams: dict[tuple[int | None, bool], list[Place]] = {}
        for place in self._summed:
            streams.setdefault((place[0], place[1] is None), []).append(place)
        norms = {norm: sums[norm.before] for norm in self.made.wiring.norms}
        for places in streams.values():
            numbers = [number for place in places for number in self._summed[place].numbers]
            read = []
            for place in places:
                port = ports.get(place)
                gradient = gradients[self.made.wiring.last if port is None else port.site]
                if port is None:
                    read.append(gradient[:, None])
                    continue
                if port.projection is not None:
                    gradient = gradient[..., self._heads(place), :]
                at_input = self._at_input(place, port, gradient)
                read.append(port.reading.pulled(self.runner.network, at_input, sums[port.reading.stream][:, None]))
            self._pulled.add(numbers, torch.cat(read, 1), norms)

    def _stream_at(self, place: Place) -> _Stream | None:
        return None if place == (None, None) else _stream(self.made.wiring.port(Receiver(*_layer_slot(place))))

    def _gradient(self, place: Place) -> Float[Tensor, "example receiver pos d_model"]:
        network, flat = self.runner.network, self._summed[place].flat
        assert flat is not None  # a pass was added
        if place == (None, None):
            return flat[:, None]
        port = self.made.wiring.port(Receiver(*_layer_slot(place)))
        pulled = self._at_input(place, port, flat)
        norm = port.reading.scale
        if norm is None:
            return pulled
        pulled = pulled * norm.weight(network, pulled)
        return pulled - pulled.mean(-1, keepdim=True) if norm.centred else pulled

    def _at_input(self, place: Place, port: Port, gradient: Tensor) -> Float[Tensor, "example receiver pos d_model"]:
        """Gradients at the receivers' own places as those at what their projection reads."""
        if port.projection is None:
            return gradient[:, None]
        return port.projection.pull(self.runner.network, gradient, self._columns(place))

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
