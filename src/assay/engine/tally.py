"""What passes were really made: the ground of what a result says that it cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Bool
from torch import Tensor


@dataclass
class Tally:
    """What was really done."""

    passes: int = 0
    rows: int = 0
    tokens: int = 0
    pairs: int = 0
    """Pairs of a token and one that is not after it, over all prompts."""
    backward: int = 0
    unread: float = 0.0
    """Tokens whose logits were not computed; those with a share of the vocabulary count in part."""
    ended: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Tokens and pairs of passes that ended early, by the number of blocks that they computed."""

    def plain(self, rows: int, tokens: int) -> None:
        """So many prompts of so many tokens were computed."""
        self.rows += rows
        self.tokens += rows * tokens
        self.pairs += rows * tokens * (tokens + 1) // 2

    def ends(self, blocks: int, *, rows: int, tokens: int) -> None:
        """Of a pass that was counted, only so many blocks were computed."""
        before, pairs = self.ended.get(blocks, (0, 0))
        self.ended[blocks] = before + rows * tokens, pairs + rows * tokens * (tokens + 1) // 2

    def token_layers(self, depth: int) -> int:
        """Tokens times the blocks that they went through, of `depth`."""
        left = sum(tokens * (depth - blocks) for blocks, (tokens, _) in self.ended.items())
        return self.tokens * depth - left

    def logits(self, read: Bool[Tensor, "batch pos"] | None, *, tokens: int, share: float) -> None:
        """Of a pass of `tokens` that was counted, only the positions in `read` were unembedded; None is all.

        `share`: what part of the vocabulary has logits there.
        """
        positions = tokens if read is None else int(read.sum())
        self.unread += tokens - share * positions
