"""Edge ablation written out by hand for the plain transformer: what truths, and methods, are checked against.

Every receiver reads its own sum of senders: those of its edges that are kept as they are in this very pass, the others as
the ablation gives them. Nothing of assay's engine or of its circuits is used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.core.protocols import Scores
from assay.data.pairs import Pairs
from assay.models.plain import PlainTransformer
from assay.training.planted import Situation

CHUNK = 24
"""Circuits at once: every sender's value for every receiver is in memory."""


@dataclass(frozen=True)
class Parts:
    """Names of senders and receivers in forward order, and how many senders each receiver can read."""

    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    reach: dict[str, int]

    @classmethod
    def of(cls, native: PlainTransformer) -> Parts:
        senders, receivers, reach = ["embed"], [], {}
        for i in range(native.config.n_layers):
            heads = [f"L{i}.H{h}" for h in range(native.config.n_heads)]
            for slot in "qkv":
                receivers += [f"{head}.{slot}" for head in heads]
                reach |= {f"{head}.{slot}": len(senders) for head in heads}
            senders += heads
            if native.config.d_mlp:
                receivers.append(f"L{i}.mlp")
                reach[f"L{i}.mlp"] = len(senders)
                senders.append(f"L{i}.mlp")
        reach["logits"] = len(senders)
        return cls(tuple(senders), (*receivers, "logits"), reach)

    @property
    def edges(self) -> tuple[str, ...]:
        return tuple(f"{s}->{r}" for r in self.receivers for s in self.senders[: self.reach[r]])

    def mask(self, kept: Collection[str]) -> Tensor:
        wanted = [[f"{s}->{r}" in kept for r in self.receivers] for s in self.senders]
        return torch.tensor(wanted, dtype=torch.float64)


@torch.no_grad()
def senders(native: PlainTransformer, ids: Tensor) -> Tensor:
    """Every sender's value in a plain pass: [sender, batch, pos, d_model]."""
    return _pass(native, ids, None, None)[1]


def ablated_values(situation: Situation, ablation: str) -> Tensor:
    """What a missing edge carries: [sender, batch, pos, d_model]."""
    native, pairs = situation.model.native, situation.pairs
    corrupt = senders(native, pairs.corrupt_tokens)
    match ablation:
        case "zero":
            return torch.zeros_like(corrupt)
        case "mean everywhere":
            return corrupt.mean((1, 2), keepdim=True).expand_as(corrupt)
        case "mean":
            return corrupt.mean(1, keepdim=True).expand_as(corrupt)
        case "resample":
            return corrupt.roll(1, dims=1)
        case "counterfactual":
            return corrupt
    raise ValueError(ablation)


@torch.no_grad()
def logit_diffs(situation: Situation, circuits: Sequence[Collection[str]], ablation: str) -> Tensor:
    """The logit difference with each circuit kept, and nothing else: [circuit, example]."""
    native, pairs, parts = situation.model.native, situation.pairs, Parts.of(situation.model.native)
    values = ablated_values(situation, ablation)
    made = [
        _difference(pairs, _pass(native, pairs.clean_tokens, masks, values)[0]) for masks in _chunks(parts, circuits)
    ]
    return torch.cat(made)


def slopes(situation: Situation, values: Tensor) -> Scores:
    """Edge attribution patching against any values [sender, batch, pos, d_model]: the gradient of how much is kept."""
    native, pairs, parts = situation.model.native, situation.pairs, Parts.of(situation.model.native)
    kept = parts.mask(parts.edges)[None].requires_grad_()
    _difference(pairs, _pass(native, pairs.clean_tokens, kept, values)[0]).mean().backward()
    assert kept.grad is not None
    table = {
        f"{s}->{r}": kept.grad[0, i, j] for i, s in enumerate(parts.senders) for j, r in enumerate(parts.receivers)
    }
    return Scores.of(
        {edge: float(table[edge]) for edge in parts.edges}, "metric lost when the edge is cut, to first order"
    )


def without(
    situation: Situation, groups: Sequence[Collection[str]], ablation: str, *, kept: Collection[str] | None = None
) -> Tensor:
    """The logit difference when each group of edges is taken from the whole model, or from the circuit `kept`."""
    start = set(Parts.of(situation.model.native).edges if kept is None else kept)
    return logit_diffs(situation, [start - set(group) for group in groups], ablation)


def _chunks(parts: Parts, circuits: Sequence[Collection[str]]) -> Iterator[Tensor]:
    masks = [parts.mask(kept) for kept in circuits]
    return (torch.stack(masks[i : i + CHUNK]) for i in range(0, len(masks), CHUNK))


def _difference(pairs: Pairs, logits: Tensor) -> Tensor:
    """[circuit, example] at the last position."""
    last = logits[:, :, -1]
    right, wrong = (ids.expand(len(last), -1)[..., None] for ids in (pairs.answer_ids, pairs.wrong_ids))
    return (last.gather(-1, right) - last.gather(-1, wrong))[..., 0]


def _pass(native: PlainTransformer, ids: Tensor, masks: Tensor | None, values: Tensor | None) -> tuple[Tensor, Tensor]:
    """Logits [circuit, batch, pos, vocab] and the senders [sender, batch, pos, d_model] of the first circuit."""
    config, parts = native.config, Parts.of(native)
    assert config.norm is None, "written for networks without norms"
    first = native.embed(ids) + native.positions.weight[: ids.shape[1]]
    circuits = 1 if masks is None else len(masks)
    sent = [first.expand(circuits, *first.shape)]

    def read(receiver: str) -> Tensor:
        n = parts.reach[receiver]
        if masks is None or values is None:
            return torch.stack(sent[:n]).sum(0)
        kept = masks[:, :n, parts.receivers.index(receiver)]
        total = values[:n].sum(0).expand_as(sent[0]).clone()
        for s in range(n):
            total = total + kept[:, s, None, None, None] * (sent[s] - values[s])
        return total

    hidden = torch.ones(ids.shape[1], ids.shape[1]).triu(1).bool() if config.causal else None
    d = config.d_head
    for i, block in enumerate(native.layers):
        heads = []
        for h in range(config.n_heads):
            rows = slice(h * d, (h + 1) * d)
            q, k, v = (read(f"L{i}.H{h}.{slot}") @ getattr(block.attn, f"{slot}_proj").weight[rows].T for slot in "qkv")
            scores = q @ k.transpose(-1, -2) * block.attn.scaling
            if hidden is not None:
                scores = scores.masked_fill(hidden, float("-inf"))
            heads.append(scores.softmax(-1) @ v @ block.attn.o_proj.weight[:, rows].T)
        sent += heads
        if config.d_mlp:
            sent.append(block.mlp(read(f"L{i}.mlp")))
    return native.unembed(read("logits")), torch.stack([value[0] for value in sent])
