"""Weights of a plain transformer, written by hand into named channels of its residual stream.

A `Wiring` says which channels there are, what the embedding puts into them, and for each head and each group of neurons
which channels it reads and which it writes. The weights follow from that (`weights`), and so does the true circuit: an edge
goes from each part that writes a channel to each part that reads it. What a part writes *varies* if it can differ between a
prompt and its counterfactual; what tells positions does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from assay.core.errors import DataError
from assay.core.protocols import head_name

Port = tuple[str, Float[Tensor, "row column"]]
"""A channel, and the matrix through which it is read ([channel, here]) or written ([here, channel])."""


@dataclass(frozen=True)
class Head:
    """One head. Scores are the product of what `query` and `key` make of the channels that they read."""

    layer: int
    index: int
    query: tuple[Port, ...]
    key: tuple[Port, ...]
    value: tuple[Port, ...]
    write: tuple[Port, ...]

    @property
    def name(self) -> str:
        """`L1.H0`."""
        return head_name(self.layer, self.index)

    def reads(self) -> Iterator[tuple[str, str]]:
        """Receivers and the channels that they read."""
        for letter, ports in (("q", self.query), ("k", self.key), ("v", self.value)):
            yield from ((f"{self.name}.{letter}", channel) for channel, _ in ports)


@dataclass(frozen=True)
class Neurons:
    """Some neurons of one MLP: relu(reads + bias), written through `write`, with a constant `shift` of what is written."""

    layer: int
    read: tuple[Port, ...]
    bias: Float[Tensor, " neuron"]
    write: tuple[Port, ...]
    shift: tuple[Port, ...] = ()

    @property
    def name(self) -> str:
        """`L1.mlp`."""
        return f"L{self.layer}.mlp"

    def reads(self) -> Iterator[tuple[str, str]]:
        """Receivers and the channels that they read."""
        yield from ((self.name, channel) for channel, _ in self.read)


@dataclass
class Wiring:
    """What is written where; `weights.plant` makes the model of it."""

    vocabulary: int
    length: int
    causal: bool = True
    channels: dict[str, int] = field(default_factory=dict)
    embedding: list[Port] = field(default_factory=list)
    positions: list[Port] = field(default_factory=list)
    unembedding: list[Port] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    neurons: list[Neurons] = field(default_factory=list)
    fixed: set[str] = field(default_factory=set)
    """Channels of the embedding that are the same in a prompt and its counterfactual, such as the mark of the first token."""

    # -- writing --------------------------------------------------------------------------------------------------------

    def channel(self, name: str, size: int) -> str:
        """A new channel of the residual stream."""
        if name in self.channels:
            raise DataError(f"There is a channel {name!r} already.")
        self.channels[name] = size
        return name

    def embed(self, name: str, matrix: Float[Tensor, "vocabulary size"], *, fixed: bool = False) -> str:
        """A channel with a row for each token."""
        self.embedding.append((self.channel(name, matrix.shape[1]), matrix))
        self.fixed |= {name} if fixed else set()
        return name

    def place(self, name: str, matrix: Float[Tensor, "length size"]) -> str:
        """A channel with a row for each position."""
        self.positions.append((self.channel(name, matrix.shape[1]), matrix))
        return name

    def unembed(self, channel: str, matrix: Float[Tensor, "size vocabulary"]) -> None:
        """Logits from a channel."""
        self.unembedding.append((channel, matrix))

    # -- what follows from it -------------------------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """Layers that are needed."""
        return 1 + max(part.layer for part in self.parts())

    def parts(self) -> list[Head | Neurons]:
        """Heads and neurons in forward order."""
        return sorted((*self.heads, *self.neurons), key=_stage)

    def links(self) -> Iterator[tuple[str, str, str]]:
        """(writer, channel, receiver) for every reading of a channel that an earlier part has written."""
        embedded = {channel for channel, _ in (*self.embedding, *self.positions)}
        reads = [(to, channel, _stage(part)) for part in self.parts() for to, channel in part.reads()]
        reads += [("logits", channel, self.depth) for channel, _ in self.unembedding]
        for to, channel, stage in reads:
            if channel in embedded:
                yield "embed", channel, to
            for part in self.parts():
                if _stage(part) < stage and any(channel == written for written, _ in part.write):
                    yield part.name, channel, to

    def varying(self) -> frozenset[tuple[str, str]]:
        """Each (node, channel) where what the node writes can differ between a prompt and its counterfactual."""
        found = {("embed", channel) for channel, _ in self.embedding if channel not in self.fixed}
        links = list(self.links())
        for part in self.parts():
            if any((writer, channel) in found for writer, channel, to in links if node_of(to) == part.name):
                found |= {(part.name, channel) for channel, _ in part.write}
        return frozenset(found)

    def edges(self, *, varying: bool) -> frozenset[str]:
        """Every edge over which a channel is read, or only those over which something that varies is.

        Edges that lead to no output are left out.
        """
        differs = self.varying()
        found = {(writer, to) for writer, channel, to in self.links() if not varying or (writer, channel) in differs}
        alive = {"logits"}
        while more := {writer for writer, to in found if node_of(to) in alive} - alive:
            alive |= more
        return frozenset(f"{writer}->{to}" for writer, to in found if node_of(to) in alive)


def node_of(receiver: str) -> str:
    """`L1.H0.q` → `L1.H0`."""
    return receiver[:-2] if receiver[-2:] in (".q", ".k", ".v") else receiver


def _stage(part: Head | Neurons) -> float:
    """Its place in the forward pass: heads of a layer at its number, the MLP half a layer later."""
    return part.layer + isinstance(part, Neurons) / 2
