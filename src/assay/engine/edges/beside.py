"""What receivers read beside the stream: the changes of what their cut senders write, as they reach them in one pass.

Changes of sums add up. Where a norm comes after attention, those of a layer's heads are what that norm makes of them
together; where the stream is normed after each sum, what is added up so far goes through each norm on the way
(`stream_norms.py`), from the first cut edge on. Cost: edges · pos · d_model multiplications for each row; in post-norm
blocks up to two norms for each receiver and layer before it, once for receivers whose edges are cut alike. Derivatives with
respect to the cuts go through these norms, which are then made twice in place of being kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from assay.core.edge_names import Receiver, Sender, comes_before
from assay.engine.edges.heads_out import HeadsOut
from assay.engine.edges.stream_joins import moved_on
from assay.engine.edges.stream_scales import StreamStep
from assay.engine.edges.wiring import Wiring
from assay.engine.followed import weights_at_rest
from assay.models.structure import Site


@dataclass(frozen=True)
class Written:
    """What some senders of a layer write differently: their numbers, and the change [batch, sender, pos, d_model]."""

    numbers: Sequence[int]
    change: Tensor
    heads: HeadsOut | None = None
    out: Tensor | None = None
    """What the output projection returns, where a norm comes after it."""


@dataclass(frozen=True)
class Normed:
    """A norm in the stream's own way: the sum that it reads in this pass, and what it gives."""

    norm: StreamStep
    before: Tensor
    after: Tensor


@dataclass(frozen=True)
class Beside:
    """All that was written and normed so far in a pass, in forward order. `learned`: derivatives go through the shares."""

    wiring: Wiring
    senders: Sequence[Sender]
    steps: Sequence[Written | Normed]
    learned: bool

    def read(
        self, reads: Receiver, stream: Tensor, share: Float[Tensor, "row sender receiver"]
    ) -> Float[Tensor, "row receiver pos d_model"]:
        """What receivers that read the same stream as `reads` read beside it, each with its own share of every change."""
        if not self.wiring.norms:
            return self._summed(reads, stream, share)
        if self.learned:
            like = stream.new_empty(1).expand(stream.shape)  # native code may write into the stream itself
            found: Tensor = checkpoint(self._at_rest, reads, like, share, use_reentrant=False, preserve_rng_state=False)
            return found
        alike, which = torch.unique(share, dim=2, return_inverse=True)
        return self._summed(reads, stream, alike)[:, which]

    def _at_rest(self, reads: Receiver, stream: Tensor, share: Tensor) -> Tensor:
        with weights_at_rest(self.wiring.network.native):  # also when it is made again, after the pass
            return self._summed(reads, stream, share)

    def _summed(self, reads: Receiver, stream: Tensor, share: Tensor) -> Tensor:
        kept: dict[Site, Tensor] = {}
        entry = self.wiring.written(Sender())
        total, moved = stream.new_zeros(stream.shape[0], share.shape[2], *stream.shape[1:]), False
        parallel = reads.layer is not None and self.wiring.parallel[reads.layer]
        for step in self.steps:
            if isinstance(step, Normed):
                if moved and step.norm.leads_to(reads):
                    total = step.norm.carried(self.wiring.network, total, step.before[:, None], step.after[:, None])
                    total = moved_on(total, step.norm, kept)
                continue
            if not comes_before(self.senders[step.numbers[0]], reads, parallel=parallel):
                continue
            mine = share[:, step.numbers].to(stream)
            if self.learned or bool(mine.any()):
                total, moved = total + self._mixed(mine, step), True
                if self.senders[step.numbers[0]].layer is None:
                    kept[entry] = total
        return total

    def _mixed(self, share: Tensor, written: Written) -> Tensor:
        """The change that each receiver sees of some senders of one layer."""
        flat = share.transpose(1, 2) @ written.change.flatten(2).to(share)  # the stream may be kept in a finer dtype
        mixed: Tensor = flat.unflatten(2, written.change.shape[2:])
        if written.heads is None or written.out is None:
            return mixed
        network = self.wiring.network
        changed = written.heads.added(network, (written.out[:, None] + mixed).flatten(0, 1)).reshape(mixed.shape)
        return changed - written.heads.added(network, written.out)[:, None]
