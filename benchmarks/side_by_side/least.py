"""The least operations that a sweep of patches in a causal model takes, by the same count as `result.cost.flops`.

A variant that patches (L, p) can differ at rows p … T − 1 from block L on, and nowhere else. What must be computed:

- in block L, what comes after the site: of a residual patch q, k, v of row p and attention, output and MLP of the rows from p
  on; of a patch of z the output and MLP, of attn_out the MLP, of mlp_out nothing, of row p alone (of all the rows from p on
  if all positions are patched);
- in the blocks after it, rows p … T − 1;
- in the last block, keys and values of those rows, and for the row that is read the rest;
- the logits of the two tokens that the metric names.

Added is one unchanged pass for each input, that of the base with those two logits. A patch that brings what is there already
costs nothing: at positions before the first token in which the prompts differ and, in the embedding, wherever the tokens are
equal. Two operations for each weight that a row meets, four for each query, key and head dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from side_by_side.sweep_rows import Part


@dataclass(frozen=True)
class Weights:
    """Operations for one row in the parts of a block, for one query and key, and for the two logits that are read."""

    q: float
    kv: float
    out: float
    mlp: float
    pair: float
    logits: float
    depth: int

    @classmethod
    def of(cls, native: Any) -> Weights:
        block, config = native.model.layers[0], native.config
        attention = block.self_attn
        count = {name: 2.0 * getattr(attention, f"{name}_proj").weight.numel() for name in "qkvo"}
        mlp = sum(2.0 * p.numel() for p in block.mlp.parameters())
        pair = 4.0 * config.num_attention_heads * config.head_dim
        return cls(count["q"], count["k"] + count["v"], count["o"], mlp, pair, 2.0 * 2 * config.hidden_size,
                   len(native.model.layers))  # fmt: skip

    @property
    def block(self) -> float:
        return self.q + self.kv + self.out + self.mlp


def least(native: Any, part: Part) -> float | None:
    """Operations of a part; None for path patching, for which it is not derived."""
    if part.sender:
        return None
    w, tokens = Weights.of(native), part.clean.shape[1]
    total = 0.0
    for clean, corrupt in zip(part.clean.tolist(), part.corrupt.tolist(), strict=True):
        total += 2 * w.depth * (tokens * w.block + tokens * (tokens + 1) / 2 * w.pair) + w.logits
        differ = [a != b for a, b in zip(clean, corrupt, strict=True)]
        first = differ.index(True)
        for site, layer, pos, _ in part.cells:
            start = first if pos is None else pos
            same = start < first or (site == "resid_pre" and layer == 0 and not differ[start])
            total += 0.0 if same else variant(w, site, layer, start, tokens, whole=pos is None)
    return total


def variant(w: Weights, site: str, layer: int, start: int, tokens: int, *, whole: bool) -> float:
    """Operations for one variant of one example."""
    later, last = tokens - start, w.depth - 1
    met = lambda first: sum(range(first + 1, tokens + 1)) * w.pair  # noqa: E731 (queries from `first` on, and keys up to them)
    after = {"z": w.out + w.mlp, "attn_out": w.mlp, "mlp_out": 0.0}
    if layer == last:
        read = start == tokens - 1 or whole
        if site == "resid_pre":
            return w.kv + (w.q if read else 0.0) + met(tokens - 1) + w.out + w.mlp + w.logits
        return after[site] + w.logits if read else 0.0
    if site == "resid_pre":
        here = w.q + w.kv + met(start) + later * (w.out + w.mlp)
    else:
        here = after[site] * (later if whole else 1)
    between = (last - layer - 1) * (later * w.block + met(start))
    end = later * w.kv + w.q + met(tokens - 1) + w.out + w.mlp
    return here + between + end + w.logits
