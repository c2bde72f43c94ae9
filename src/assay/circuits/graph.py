"""The graph of components: which part of a model reads which, through the residual stream.

A sender writes to the residual stream: `embed` (what enters the first layer), a head `L3.H2`, an MLP `L3.mlp`. A receiver
reads it: a head's query, key or value (`L3.H2.q`), an MLP `L3.mlp`, or `logits` (what the last norm reads). An edge
`L0.H1->L3.H2.q` is what one sender contributes to what one receiver reads. Every sender reaches every receiver that comes
after it; in a parallel block attention and MLP read the same stream, so a layer's heads do not reach its MLP.

Where a layer's heads are not known, or the user asks for it, its attention or recurrent mixer is one node, `L3.attn`, which
reads and writes as a whole (`layers.py`). Where its parts are not known, or the user asks for it, so is the layer: `L3.block`.

Where query heads share keys and values, a graph is either `grouped` (k and v belong to a key/value head: `L3.KV0.k`) or
not (each query head has a k and a v of its own: `L3.H2.k`, as MIB counts).

A circuit is a mask [sender, receiver]. Cost: names and masks are built when first asked for; a mask takes a byte for each
pair, 3.2 MB for 32 layers of 32 heads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool

from assay.circuits.layers import Grouped, Layer, layers_of
from assay.core.edge_names import ARROW as ARROW
from assay.core.edge_names import BLOCK, MIXER, SLOTS
from assay.core.errors import DataError, SettingsError, nearest
from assay.core.protocols import head_name
from assay.engine.model import Model

_RECEIVER = re.compile(r"^L(\d+)\.(?:(H|KV)(\d+)\.(q|k|v)|mlp|attn|block)$")


@dataclass(frozen=True)
class Graph:
    """Senders, receivers and the edges that there can be, from the sizes of a model's layers.

    >>> graph = Graph.sequential(layers=12, heads=12)
    >>> graph.edge_count, graph.senders[:3], graph.receivers[-2:]
    (32491, ('embed', 'L0.H0', 'L0.H1'), ('L11.mlp', 'logits'))
    """

    layers: tuple[Layer, ...]
    grouped: bool = False

    @classmethod
    def sequential(cls, *, layers: int, heads: int, kv_heads: int | None = None, grouped: bool = False) -> Graph:
        """The graph of equal layers in which the MLP reads what attention wrote."""
        return cls((Layer(heads, kv_heads or heads),) * layers, grouped)

    @classmethod
    def parallel(cls, *, layers: int, heads: int, kv_heads: int | None = None, grouped: bool = False) -> Graph:
        """The graph of equal layers in which attention and MLP read the same stream (GPT-J, GPT-NeoX)."""
        return cls((Layer(heads, kv_heads or heads, parallel=True),) * layers, grouped)

    @classmethod
    def of(cls, model: Model, *, grouped: Grouped = False) -> Graph:
        """The graph of a decoder. `grouped`: heads that share a key are one receiver (true); a layer's heads are one node
        (whole), or all of the layer (block).

        Raises:
            SettingsError: `grouped` is none of these.
            SiteError: the residual stream of some layer is not a sum of known parts, as far as can be told.
        """
        if grouped not in (False, True, "whole", "block"):
            raise SettingsError(f"grouped={grouped!r}: expected false, true, whole or block.")
        if isinstance(grouped, str):
            return cls(layers_of(model, grouped), False)
        return cls(layers_of(model, "auto"), grouped)

    @classmethod
    def naming(cls, model: Model, names: Iterable[str]) -> Graph:
        """The graph of a decoder that counts shared keys, and whole mixers, as these names of parts or edges do."""
        parts = {part for name in names for part in name.split(ARROW)}
        graph = cls.of(model, grouped=any(".KV" in part for part in parts))
        if {part for part in parts if part.endswith(f".{BLOCK}")} - set(graph.senders):
            return cls.of(model, grouped="block")
        whole = {part for part in parts if part.endswith(f".{MIXER}")}
        return graph if whole <= set(graph.senders) else cls.of(model, grouped="whole")

    @property
    def whole(self) -> tuple[int, ...]:
        """The layers whose attention or mixer is one node; `why_whole` says why they have no heads."""
        return tuple(i for i, layer in enumerate(self.layers) if layer.whole)

    @property
    def blocks(self) -> tuple[int, ...]:
        """The layers that are one node themselves; `why_whole` says why they have no parts."""
        return tuple(i for i, layer in enumerate(self.layers) if layer.block)

    @property
    def facts(self) -> tuple[str, ...]:
        """Which layers have one node for all that mixes positions, or are one, in words; nothing where all have heads."""
        mixers = "attention, or what mixes positions instead, is one node in "
        both = ((mixers, self.whole), ("all that a layer does is one node in ", self.blocks))
        return tuple(f"{what}{self._where(layers)}" for what, layers in both if layers)

    def _where(self, layers: tuple[int, ...]) -> str:
        return "every layer" if len(layers) == len(self.layers) else f"layers {', '.join(map(str, layers))}"

    @cached_property
    def senders(self) -> tuple[str, ...]:
        """Who writes, in forward order."""
        return ("embed", *(name for i, layer in enumerate(self.layers) for name in _senders(i, layer)))

    @cached_property
    def receivers(self) -> tuple[str, ...]:
        """Who reads, in forward order: of each layer all q, all k, all v, then the MLP; last `logits`."""
        return (*(name for i, layer in enumerate(self.layers) for name in self._receivers(i, layer)), "logits")

    @cached_property
    def allowed(self) -> Bool[np.ndarray, "sender receiver"]:
        """Whether there can be an edge; not to be written to."""
        mask = np.arange(len(self.senders))[:, None] < self.reach[None]
        mask.setflags(write=False)
        return mask

    @cached_property
    def reach(self) -> np.ndarray:
        """For each receiver, how many senders come before it: the first so many of `senders`."""
        counts, before = [], 1
        for i, layer in enumerate(self.layers):
            slots = len(self._receivers(i, layer)) - layer.mlp
            counts += [before] * slots
            counts += [before if layer.parallel else before + layer.mixing] * layer.mlp
            before += layer.mixing + layer.mlp
        return np.array([*counts, before])

    @cached_property
    def edge_count(self) -> int:
        """How many edges there can be."""
        return int(self.reach.sum())

    @property
    def edges(self) -> tuple[str, ...]:
        """Every edge by name, senders first. Cost: a string for each."""
        return self.names(self.allowed)

    def names(self, mask: Bool[np.ndarray, "sender receiver"]) -> tuple[str, ...]:
        """The edges of a mask by name."""
        return tuple(f"{self.senders[s]}{ARROW}{self.receivers[r]}" for s, r in np.argwhere(self.checked(mask)))

    def index(self, edge: str) -> tuple[int, int]:
        """Where an edge stands in a mask: (sender, receiver).

        Raises:
            DataError: it is no edge of this graph.
        """
        sender, arrow, receiver = edge.partition(ARROW)
        if not arrow:
            raise DataError(f"{edge!r} is not an edge: expected SENDER{ARROW}RECEIVER, L0.H1->L3.H2.q say.")
        s, r = self.sender(sender), self.receiver(receiver)
        if s >= self.reach[r]:
            raise DataError(f"{edge!r} is not an edge of this graph: {receiver} does not read what {sender} writes.")
        return s, r

    def sender(self, name: str) -> int:
        """The number of a sender."""
        return _number(name, self._sender_numbers, "sender")

    def receiver(self, name: str) -> int:
        """The number of a receiver."""
        return _number(name, self._receiver_numbers, "receiver")

    def mask(self, edges: Iterable[str]) -> Bool[np.ndarray, "sender receiver"]:
        """The circuit of these edges."""
        found = np.zeros_like(self.allowed)
        for edge in edges:
            found[self.index(edge)] = True
        return found

    def checked(self, mask: np.ndarray) -> Bool[np.ndarray, "sender receiver"]:
        """A mask, if it fits.

        Raises:
            DataError: another shape, or edges that there can't be.
        """
        shape = self.allowed.shape
        if mask.shape != shape or mask.dtype != np.bool_:
            raise DataError(
                f"A circuit of this graph is a mask of booleans {list(shape)}, not {mask.dtype} {mask.shape}."
            )
        wrong = mask & ~self.allowed
        if wrong.any():
            s, r = np.argwhere(wrong)[0]
            raise DataError(
                f"The mask holds {self.senders[s]}{ARROW}{self.receivers[r]}, which is no edge of this graph."
            )
        return mask

    def prune(self, mask: Bool[np.ndarray, "sender receiver"]) -> Bool[np.ndarray, "sender receiver"]:
        """The mask without edges that lie on no path from `embed` to `logits`. Cost: one pass over receivers each way."""
        mask, owners = self.checked(mask), self.owners
        reached: np.ndarray = np.zeros(len(self.senders) + 1, dtype=bool)
        reached[0] = True
        for r in range(len(self.receivers)):  # forward order: all that comes before is settled
            if (mask[:, r] & reached[:-1]).any():
                reached |= owners[r]
        needed: np.ndarray = np.zeros_like(reached)
        needed[-1] = True
        for r in reversed(range(len(self.receivers))):
            if (needed & owners[r]).any():
                needed[:-1] |= mask[:, r]
        useful = (owners & needed).any(axis=1)
        kept: Bool[np.ndarray, "sender receiver"] = mask & reached[:-1, None] & useful[None]
        return kept

    @cached_property
    def owners(self) -> Bool[np.ndarray, "receiver node"]:
        """Which nodes compute with what a receiver reads; nodes are the senders, and last `logits`."""
        found = np.zeros((len(self.receivers), len(self.senders) + 1), dtype=bool)
        found[-1, -1] = True
        for r, name in enumerate(self.receivers[:-1]):
            found[r, [self.sender(owner) for owner in self.heads_of(name)]] = True
        return found

    def heads_of(self, receiver: str) -> tuple[str, ...]:
        """The senders that compute with what a receiver reads: one head, MLP or mixer, or the heads that share a key, be it
        with a later layer's.
        """
        match = _RECEIVER.match(receiver)
        if match is None:
            raise DataError(
                f"{receiver!r} belongs to no head, MLP or mixer: expected a name such as L3.H2.q or L3.mlp."
            )
        layer, kind, number = int(match[1]), match[2], match[3]
        if kind is None:
            return (receiver,)
        if kind == "H":
            return self._with_takers(layer, match[4], [int(number)])
        share = self.layers[layer].heads // self.layers[layer].kv_heads
        return self._with_takers(layer, match[4], [int(number) * share + i for i in range(share)])

    def _with_takers(self, layer: int, slot: str, heads: Sequence[int]) -> tuple[str, ...]:
        """Heads of a layer, and for keys and values the same heads of the layers that take these over."""
        takers = [i for i, later in enumerate(self.layers) if later.keys == layer] if slot in ("k", "v") else []
        return tuple(head_name(at, head) for at in (layer, *takers) for head in heads)

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` gives an equal graph."""
        layers = [[layer.heads, layer.kv_heads, layer.mlp, layer.parallel, *_rest(layer)] for layer in self.layers]
        return {"layers": layers, "grouped": self.grouped}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Graph:
        """The graph that `to_json` wrote."""
        return cls(tuple(Layer(*layer) for layer in data["layers"]), data["grouped"])

    @cached_property
    def _sender_numbers(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.senders)}

    @cached_property
    def _receiver_numbers(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.receivers)}

    def _receivers(self, i: int, layer: Layer) -> list[str]:
        heads = [head_name(i, h) for h in range(layer.heads)]
        shared = [f"L{i}.KV{h}" for h in range(layer.kv_heads)] if self.grouped else heads
        if layer.heads == layer.kv_heads:
            shared = heads  # nothing is shared: the names are the same either way
        shared = shared if layer.keys is None else []
        slots = [
            f"{owner}.{slot}" for slot, owners in zip(SLOTS, (heads, shared, shared), strict=True) for owner in owners
        ]
        return slots + _wholes(i, layer) + [f"L{i}.mlp"] * layer.mlp


def _senders(i: int, layer: Layer) -> Sequence[str]:
    heads = [head_name(i, h) for h in range(layer.heads)]
    return heads + _wholes(i, layer) + [f"L{i}.mlp"] * layer.mlp


def _wholes(i: int, layer: Layer) -> list[str]:
    return [f"L{i}.{MIXER}"] * layer.whole + [f"L{i}.{BLOCK}"] * layer.block


def _rest(layer: Layer) -> list[Any]:
    """What few layers are, in JSON: nothing where it is none of it."""
    if layer.keys is not None:
        return [layer.whole, layer.block, layer.keys]
    return [layer.whole, layer.block] if layer.block else [True] if layer.whole else []


def _number(name: str, known: dict[str, int], what: str) -> int:
    if name not in known:
        raise DataError(f"{name!r} is no {what} of this graph.{nearest(name, known) if len(known) < 5000 else ''}")
    return known[name]
