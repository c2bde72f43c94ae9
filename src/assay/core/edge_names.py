"""Names of what writes to a residual stream and what reads it: `L3.H2`, `L3.mlp`, `embed`; `L3.H2.q`, `logits`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from assay.core.errors import DataError

ARROW = "->"
SLOTS = ("q", "k", "v")
_SENDER = re.compile(r"^L(\d+)\.(?:H(\d+)|mlp)$")
_RECEIVER = re.compile(r"^L(\d+)\.(?:(H|KV)(\d+)\.(q|k|v)|mlp)$")


@dataclass(frozen=True)
class Sender:
    """Who writes. Without a layer `embed`, without a head an MLP."""

    layer: int | None = None
    head: int | None = None

    @property
    def name(self) -> str:
        """`L3.H2`, `L3.mlp` or `embed`."""
        return "embed" if self.layer is None else _name(self.layer, self.head)


@dataclass(frozen=True)
class Receiver:
    """Who reads. Without a layer `logits`, without a slot an MLP; `shared`: the head is a key/value head."""

    layer: int | None = None
    head: int | None = None
    slot: str | None = None
    shared: bool = False

    @property
    def name(self) -> str:
        """`L3.H2.q`, `L3.mlp` or `logits`."""
        if self.layer is None:
            return "logits"
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
            f"{name!r} writes nothing to the residual stream: expected embed, a head L3.H2 or an MLP L3.mlp."
        )
    return Sender(int(match[1]), None if match[2] is None else int(match[2]))


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
            "share it), or L3.mlp."
        )
    return Receiver(int(match[1]), None if match[3] is None else int(match[3]), match[4], match[2] == "KV")


def comes_before(sender: Sender, receiver: Receiver, *, parallel: bool) -> bool:
    """Whether a receiver reads what a sender writes. `parallel`: the layer's attention and MLP read the same stream."""
    if sender.layer is None or receiver.layer is None:
        return True
    if sender.layer != receiver.layer:
        return sender.layer < receiver.layer
    return sender.head is not None and receiver.slot is None and not parallel
