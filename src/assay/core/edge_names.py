"""Names of what writes to a residual stream and what reads it: `L3.H2`, `L3.mlp`, `embed`; `L3.H2.q`, `logits`.

`L3.attn` is both: all that mixes positions in a layer (attention, a recurrent mixer) as one part, where heads are not known.
So is `L3.block`: all that a layer does, where its parts are not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from assay.core.errors import DataError

ARROW = "->"
SLOTS = ("q", "k", "v")
MIXER = "attn"
"""The slot by which a whole mixer reads."""
BLOCK = "block"
"""The slot by which a whole layer reads."""
_SENDER = re.compile(r"^L(\d+)\.(?:H(\d+)|mlp|(attn|block))$")
_RECEIVER = re.compile(r"^L(\d+)\.(?:(H|KV)(\d+)\.(q|k|v)|mlp|(attn|block))$")


@dataclass(frozen=True)
class Sender:
    """Who writes. Without a layer `embed`, without a head an MLP, or all that mixes positions (`mixer`), or all (`block`)."""

    layer: int | None = None
    head: int | None = None
    mixer: bool = False
    block: bool = False

    @property
    def name(self) -> str:
        """`L3.H2`, `L3.mlp`, `L3.attn`, `L3.block` or `embed`."""
        if self.layer is None:
            return "embed"
        if self.block:
            return f"L{self.layer}.{BLOCK}"
        return f"L{self.layer}.{MIXER}" if self.mixer else _name(self.layer, self.head)


@dataclass(frozen=True)
class Receiver:
    """Who reads. Without a layer `logits`, without a slot an MLP; `shared`: the head is a key/value head."""

    layer: int | None = None
    head: int | None = None
    slot: str | None = None
    shared: bool = False

    @property
    def name(self) -> str:
        """`L3.H2.q`, `L3.mlp`, `L3.attn`, `L3.block` or `logits`."""
        if self.layer is None:
            return "logits"
        if self.slot in (MIXER, BLOCK):
            return f"L{self.layer}.{self.slot}"
        whole = _name(self.layer, self.head, "KV" if self.shared else "H")
        return whole if self.slot is None else f"{whole}.{self.slot}"


def _name(layer: int, head: int | None, kind: str = "H") -> str:
    return f"L{layer}.mlp" if head is None else f"L{layer}.{kind}{head}"


def parse_sender(name: str) -> Sender:
    """`L3.H2` → Sender(3, 2).

    Raises:
        DataError: it is no name of a sender.
    """
    if name == "embed":
        return Sender()
    match = _SENDER.match(name)
    if match is None:
        raise DataError(
            f"{name!r} writes nothing to the residual stream: expected embed, a head L3.H2, an MLP L3.mlp, or L3.attn "
            "where heads are not known, L3.block where nothing in the layer is."
        )
    head = None if match[2] is None else int(match[2])
    return Sender(int(match[1]), head, mixer=match[3] == MIXER, block=match[3] == BLOCK)


def parse_receiver(name: str) -> Receiver:
    """`L3.H2.q` → Receiver(3, 2, "q").

    Raises:
        DataError: it is no name of a receiver.
    """
    if name == "logits":
        return Receiver()
    match = _RECEIVER.match(name)
    if match is None or (match[2] == "KV" and match[4] == "q"):
        raise DataError(
            f"{name!r} reads nothing of the residual stream: expected logits, L3.H2.q (or k, v; L3.KV0.k where heads "
            "share it), L3.mlp, or L3.attn where heads are not known, L3.block where nothing in the layer is."
        )
    head = None if match[3] is None else int(match[3])
    return Receiver(int(match[1]), head, match[4] or match[5], match[2] == "KV")


def comes_before(sender: Sender, receiver: Receiver, *, parallel: bool) -> bool:
    """Whether a receiver reads what a sender writes. `parallel`: the layer's attention and MLP read the same stream."""
    if sender.layer is None or receiver.layer is None:
        return True
    if sender.layer != receiver.layer:
        return sender.layer < receiver.layer
    mixes = sender.head is not None or sender.mixer
    return mixes and receiver.slot is None and not parallel


def mixed_layers(parts: Iterable[Sender | Receiver]) -> tuple[frozenset[int], frozenset[int]]:
    """The layers whose attention these parts name whole, and those whose heads they name.

    Raises:
        DataError: a layer is named both ways, so that what its heads write would be counted twice.
    """
    whole, heads = set[int](), set[int]()
    for part in parts:
        if part.layer is None:
            continue
        if part.slot == MIXER if isinstance(part, Receiver) else part.mixer:
            whole.add(part.layer)
        elif part.head is not None:
            heads.add(part.layer)
    if both := whole & heads:
        layer = min(both)
        raise DataError(f"L{layer}.{MIXER} and heads of layer {layer} are named together: name one or the other.")
    return frozenset(whole), frozenset(heads)


def block_layers(parts: Iterable[Sender | Receiver]) -> tuple[frozenset[int], frozenset[int]]:
    """The layers that these parts name as one block, and those whose parts they name.

    Raises:
        DataError: a layer is named both ways, so that what its parts write would be counted twice.
    """
    blocks, parted = set[int](), set[int]()
    for part in parts:
        if part.layer is not None:
            whole = part.slot == BLOCK if isinstance(part, Receiver) else part.block
            (blocks if whole else parted).add(part.layer)
    if both := blocks & parted:
        layer = min(both)
        raise DataError(f"L{layer}.{BLOCK} and parts of layer {layer} are named together: name one or the other.")
    return frozenset(blocks), frozenset(parted)
