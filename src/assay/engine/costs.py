"""What passes cost: floating-point operations and bytes, from the shapes of a model's weights; seconds, from this machine.

A token in a block costs two operations for every weight that it meets (of experts, the chosen ones), and a query four for
every key and head dimension. Left out: norms, activations, softmax, rotary tables (a few per cent). A sliding window is
counted as if it saw everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import nn

from assay.core.sites import SiteName
from assay.engine.speed import Speed, speed_of
from assay.engine.tally import Tally
from assay.models.chain import Chain, Link
from assay.models.network import Network

CALL = 4e6
"""Operations in attention that are taken to last as long as one more call of it: a choice, not a measurement."""


@dataclass(frozen=True)
class Work:
    """Some work: operations, and how long they should take here."""

    flops: float = 0.0
    seconds: float = 0.0
    bytes: int = 0
    """Memory that it takes while it lasts."""

    def __add__(self, other: Work) -> Work:
        """One after the other."""
        return Work(self.flops + other.flops, self.seconds + other.seconds, max(self.bytes, other.bytes))

    def held(self, held: int) -> Work:
        """The same beside something that is kept in memory."""
        return replace(self, bytes=self.bytes + held)


@dataclass(frozen=True)
class Costs:
    """Costs of one model's passes."""

    network: Network
    chain: Chain | None
    speed: Speed | None = None
    share: float = 1.0
    """Of the vocabulary, how much has logits in planned passes."""

    @classmethod
    def here(cls, network: Network, chain: Chain | None) -> Costs:
        """With this machine's speed, so that work has seconds."""
        costs = cls(network, chain)
        one_token = sum(costs.blocks) + costs.unembedding
        return replace(costs, speed=speed_of(network, one_token, len(costs.blocks)))

    @cached_property
    def blocks(self) -> tuple[float, ...]:
        """Operations for one token in each block, without attention's meeting of tokens."""
        active = _active(self.network)
        counts = [self.network.weights_in(link.path) for link in self.links]
        return tuple(2.0 * (plain + active * experts) for plain, experts in counts)

    @cached_property
    def meeting(self) -> tuple[float, ...]:
        """Operations for one query and one key in each block, all heads."""
        stack = self.chain.stack if self.chain is not None else None
        sites = [self.network.structure.sites.get(SiteName("z", layer=i, stack=stack)) for i in range(len(self.blocks))]
        return tuple(4.0 * s.sizes["head"] * s.sizes["d_head"] if s is not None else 0.0 for s in sites)

    @cached_property
    def unembedding(self) -> float:
        """Operations for the logits of one position."""
        find = getattr(self.network.native, "get_output_embeddings", None)
        head = find() if find is not None else None
        weight = getattr(head, "weight", None)
        return 2.0 * weight.numel() if weight is not None else 0.0

    @cached_property
    def itemsize(self) -> int:
        """Bytes of a number."""
        parameter = next(self.network.native.parameters(), None)
        return 4 if parameter is None else parameter.element_size()

    @cached_property
    def width(self) -> int:
        """Numbers in the residual stream of one token."""
        sizes = (s.sizes["d_model"] for s in self.network.structure.sites.values() if s.name.name == "resid_pre")
        return max(sizes, default=0)

    @cached_property
    def row_bytes(self) -> int:
        """Memory for one row while it passes a block: the stream and a few copies, and the widest tensors inside."""
        widest = max((_widest(self.network.modules[link.path]) for link in self.links), default=self.width)
        return self.itemsize * (8 * self.width + 4 * widest)

    @property
    def links(self) -> Sequence[Link]:
        """The blocks."""
        return self.chain.links if self.chain is not None else ()

    def logit_bytes(self, positions: int) -> int:
        """Memory for logits, in the model's numbers and once more in double precision for a metric."""
        return int(positions * self.share * (self.network.vocabulary or 0)) * (self.itemsize + 8)

    def base(self, examples: int, tokens: int, *, read: int | None = None, depth: int | None = None) -> Work:
        """An unchanged pass: all blocks or `depth`, logits of `read` positions or of all, and what variants begin from."""
        read = examples * tokens if read is None else read
        blocks = len(self.blocks) if depth is None else depth
        made = self.flow([examples * tokens] * blocks, keys=(tokens + 1) / 2, read=read)
        left = examples * tokens * (len(self.blocks) + 1) * self.width * 2 * self.itemsize
        return made.held(left)

    def flow(self, rows: Sequence[int], *, keys: float, read: int) -> Work:
        """A pass of so many rows in each block, each of which sees so many keys, with the logits of `read` rows."""
        flops = sum(n * (block + keys * pair) for n, block, pair in zip(rows, self.blocks, self.meeting, strict=False))
        unembedding = self.share * self.unembedding
        flops += read * unembedding
        seconds = 0.0
        if self.speed is not None:
            work = zip(rows, self.blocks, self.meeting, strict=False)
            seconds = sum(self.speed.block(n * (block + keys * pair), n) for n, block, pair in work if n)
            seconds += read * unembedding / self.speed.rate(read) if read else 0.0
        return Work(flops, seconds, max(rows, default=0) * self.row_bytes + self.logit_bytes(read))

    def spare_queries(self, keys: int) -> float:
        """How many queries over so many keys cost as much as another call of attention does."""
        return CALL / (max(self.meeting, default=0) * keys or CALL)

    def plain(self, tokens: int, pairs: int) -> float:
        """Operations of plain passes over so many tokens, with so many pairs of a query and a key that it may see."""
        return tokens * (sum(self.blocks) + self.unembedding) + pairs * sum(self.meeting)

    def after(self, blocks: int, tokens: int, pairs: int) -> float:
        """What so many tokens cost in the blocks from that one on, of plain passes."""
        return tokens * sum(self.blocks[blocks:]) + pairs * sum(self.meeting[blocks:])

    def tallied(self, tally: Tally) -> float:
        """Operations of the plain passes that were counted, without the blocks and the logits that were left out."""
        left = sum(self.after(blocks, *size) for blocks, size in tally.ended.items())
        return self.plain(tally.tokens, tally.pairs) - left - tally.unread * self.unembedding


def total(parts: Iterable[Work]) -> Work:
    """All of them, one after the other."""
    whole = Work()
    for part in parts:
        whole += part
    return whole


def _active(network: Network) -> float:
    """The share of experts that a token meets."""
    config = getattr(network.native, "config", None)
    config = getattr(config, "text_config", None) or config
    chosen = next((n for n in (getattr(config, a, None) for a in ("num_experts_per_tok", "moe_topk")) if n), None)
    names = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    there = next((n for n in (getattr(config, a, None) for a in names) if n), None)
    return chosen / there if isinstance(chosen, int) and isinstance(there, int) else 1.0


def _widest(block: nn.Module) -> int:
    return max((max(p.shape[-2:]) for p in block.parameters() if p.ndim >= 2), default=0)
