"""The sweeps that are timed: which site is patched where, from which prompt, and the part of the cells that a slow tool runs.

A row has one or more parts; its time is their sum. A part is one grid: (site, layer, position, head), all patched one by one
from the other prompt or, for path patching, from the run in which the sender alone was patched and all between was held.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from assay import Experiment, Run, edit, metric, sweep

Cell = tuple[str, int, int | None, int | None]
"""Site, layer, position (None is all), head (None is all)."""

PLACES = ("store", "park", "school", "office")
NAMES = ("Mary", "John", "Tom", "James", "Anna", "Paul", "Mark", "Sarah", "David", "Peter")


@dataclass(frozen=True)
class Part:
    """One grid of patches from `corrupt` into `clean`; the metric is logit(answer) − logit(wrong) at the last position."""

    clean: Tensor
    corrupt: Tensor
    answer: Tensor
    wrong: Tensor
    sites: tuple[str, ...]
    layers: tuple[int, ...]
    positions: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    sender: tuple[int, int] | None = None
    """Layer and head whose direct path is patched; the values at `sites` are then taken from its run."""

    @property
    def cells(self) -> list[Cell]:
        return list(itertools.product(self.sites, self.layers, self.positions or (None,), self.heads or (None,)))

    def between(self, depth: int) -> list[str]:
        """What is held in the sender's run: all that its block and later ones add to the stream after the head."""
        layer = self.sender[0] if self.sender else depth
        later = [f"L{i}.{site}" for i in range(layer + 1, depth) for site in ("attn_out", "mlp_out")]
        return [f"L{layer}.mlp_out", *later]

    def score(self, logits: Tensor) -> Tensor:
        """The metric for logits [examples, vocabulary]."""
        rows = torch.arange(len(logits))
        answer, wrong = (t.repeat(len(logits) // len(t)) for t in (self.answer, self.wrong))
        return logits[rows, answer] - logits[rows, wrong]

    def experiment(self, depth: int) -> Experiment:
        """The same as data."""
        site = self.sites[0] if len(self.sites) == 1 else "*"
        over = {"site": self.sites if len(self.sites) > 1 else None, "layer": self.layers, "pos": self.positions,
                "head": self.heads}  # fmt: skip
        runs, source = {}, "corrupt"
        if self.sender:
            layer, head = self.sender
            held = [edit.freeze(name, source="clean") for name in self.between(depth)]
            source, runs = "sender", {
                "sender": Run(input="clean", edits=[edit.patch(f"L{layer}.z", source="corrupt", head=head), *held])
            }  # fmt: skip
        return sweep(
            edit.patch(site, source=source),
            {name: values for name, values in over.items() if values is not None},
            inputs={"clean": self.clean.tolist(), "corrupt": self.corrupt.tolist()},
            base="clean",
            runs=runs,
            metrics=[metric.logit_diff(self.answer.tolist(), self.wrong.tolist(), name="diff")],
        )

    def sample(self, budget: int) -> Part:
        """A smaller grid of at most `budget` cells, spread evenly over each axis."""
        axes = {n: v for n in ("layers", "positions", "heads") if (v := getattr(self, n)) is not None}
        counts = dict.fromkeys(axes, 1)
        while True:
            grown = [n for n in axes if counts[n] < len(axes[n])
                     and len(self.sites) * math.prod(counts.values()) // counts[n] * (counts[n] + 1) <= budget]  # fmt: skip
            if not grown:
                return replace(self, **{n: spread(v, counts[n]) for n, v in axes.items()})
            counts[min(grown, key=lambda n: counts[n])] += 1


@dataclass(frozen=True)
class Row:
    """What one line of the table times."""

    name: str
    title: str
    parts: tuple[Part, ...]
    share: float = 1.0
    """Of the cells that slow tools are given in an ordinary row: less where one cell is many prompts."""


def spread(values: Sequence[int], count: int) -> tuple[int, ...]:
    """So many of them, evenly, the last one always."""
    return tuple(values[len(values) - 1 - (i * len(values)) // count] for i in range(count))[::-1]


def rows(model: Any, options: Any) -> list[Row]:
    """All rows, in order."""
    depth = options.layers or model.n_layers
    every, heads = tuple(range(depth)), tuple(range(model.n_heads))
    pair, apart = ioi(model, 1), unlike(model)
    places = tuple(range(pair["clean"].shape[1]))
    senders = tuple((layer, head) for layer, head in options.senders if layer < depth - 1)
    groups = model.native.config.num_key_value_heads
    paths = [
        Part(**pair, sites=sites, layers=every[layer + 1 :], heads=tuple(range(count)), sender=(layer, head))
        for layer, head in senders
        for sites, count in ((("q",), len(heads)), (("k", "v"), groups))
    ]
    shown = ", ".join(f"L{layer} head {head}" for layer, head in senders)
    found = [
        Row("a", "residual stream, layer × position, an IOI pair",
            (Part(**pair, sites=("resid_pre",), layers=every, positions=places),)),
        Row("a′", "the same, prompts that differ from the first token on",
            (Part(**apart, sites=("resid_pre",), layers=every, positions=tuple(range(apart["clean"].shape[1]))),)),
        Row("b", "head outputs, layer × head, all positions", (Part(**pair, sites=("z",), layers=every, heads=heads),)),
        Row("b′", "head outputs, layer × position × head",
            (Part(**pair, sites=("z",), layers=every, positions=places, heads=heads),)),
        Row("c", "MLP and attention outputs, layer × position",
            tuple(Part(**pair, sites=(s,), layers=every, positions=places) for s in ("mlp_out", "attn_out"))),
        Row("d", f"path patching, {shown} → q, k, v of every later head", tuple(paths)),
    ]  # fmt: skip
    if options.pairs > 1:
        many = ioi(model, options.pairs)
        part = Part(**many, sites=("resid_pre",), layers=every, positions=tuple(range(many["clean"].shape[1])))
        found.insert(2, Row("a″", f"residual stream, layer × position, {options.pairs} IOI pairs", (part,), share=0.25))
    return [row for row in found if row.parts]


def ioi(model: Any, count: int) -> dict[str, Tensor]:
    """Pairs of one length that part where the first name, or the second, is repeated."""
    texts: list[tuple[str, str, str, str]] = []
    for place, (one, two) in itertools.product(PLACES, itertools.permutations(NAMES, 2)):
        start = f"When {one} and {two} went to the {place},"
        texts.append((f"{start} {two} gave a drink to", f"{start} {one} gave a drink to", one, two))
    return ids(model, texts[:count])


def unlike(model: Any) -> dict[str, Tensor]:
    """A pair that differs from the first token on."""
    clean = "When Mary and John went to the store, John gave a drink to"
    corrupt = "After Tom or James ran from that park. Anna sold my ring at"
    return ids(model, [(clean, corrupt, "Mary", "John")])


def ids(model: Any, texts: Sequence[tuple[str, str, str, str]]) -> dict[str, Tensor]:
    """Token ids of pairs that line up."""

    def read(text: str) -> list[int]:
        return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])

    clean, corrupt = ([read(t[i]) for t in texts] for i in (0, 1))
    lengths = {len(row) for row in clean + corrupt}
    assert len(lengths) == 1, f"prompts of {sorted(lengths)} tokens do not line up"
    answer, wrong = ([read(" " + t[i]) for t in texts] for i in (2, 3))
    assert all(len(row) == 1 for row in answer + wrong), "a name of several tokens"
    return {"clean": torch.tensor(clean), "corrupt": torch.tensor(corrupt),
            "answer": torch.tensor(answer)[:, 0], "wrong": torch.tensor(wrong)[:, 0]}  # fmt: skip
