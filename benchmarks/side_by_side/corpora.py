"""A corpus captured in each library, in its own idiom: the mean of every chosen residual stream over all tokens.

Each contestant runs the same documents and adds up the tensors that it captured, so that nothing has to be held; the
benchmark checks that all found the same means before it times them. The plain forward pass is the native model, ended by
an exception after the last block that is needed. Documents of unequal length are padded at the right to the longest of
their batch, with an attention mask, as tokenizers do; assay is given the documents and packs them.
"""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

Means = dict[str, Tensor]
Work = Callable[[], Means]


class Enough(Exception):
    """Raised by a hook: all that is needed has run."""


@dataclass(frozen=True)
class Corpus:
    """Documents, and how many share a pass."""

    documents: tuple[tuple[int, ...], ...]
    batch: int

    @property
    def tokens(self) -> int:
        return sum(map(len, self.documents))

    @property
    def context(self) -> int:
        return max(map(len, self.documents))

    @property
    def ragged(self) -> bool:
        return len(set(map(len, self.documents))) > 1

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """What a native model is called with: ids, and a mask where documents are padded."""
        for first in range(0, len(self.documents), self.batch):
            rows = [torch.tensor(document) for document in self.documents[first : first + self.batch]]
            ids = pad_sequence(rows, batch_first=True)
            if not self.ragged:
                yield {"input_ids": ids}
                continue
            lengths = torch.tensor([len(row) for row in rows])
            yield {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}


class Sums:
    """Means by name, added up in double precision."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.rows: dict[str, int] = {}

    def add(self, name: str, value: Tensor, mask: Tensor | None) -> None:
        flat = value.flatten(0, 1) if mask is None else value[mask.bool()]
        total = sum((block.double().sum(0) for block in flat.split(512)), torch.zeros(flat.shape[1]).double())
        self.sums[name] = self.sums.get(name, 0) + total
        self.rows[name] = self.rows.get(name, 0) + len(flat)

    def means(self) -> Means:
        return {name: total / self.rows[name] for name, total in self.sums.items()}


def plain(native: nn.Module, corpus: Corpus, layers: Sequence[int]) -> Callable[[], None]:
    """The baseline: no more than the blocks that are needed, and nothing captured."""

    def enough(*_: Any) -> None:
        raise Enough

    def run() -> None:
        handle = native.model.layers[max(layers)].register_forward_hook(enough)
        try:
            for rows in corpus.batches():
                with suppress(Enough):
                    native(**rows, use_cache=False)
        finally:
            handle.remove()

    return run


def hooks(native: nn.Module, corpus: Corpus, layers: Sequence[int]) -> Work:
    blocks: Any = native.model.layers

    def run() -> Means:
        sums, mask = Sums(), None

        def take(layer: int) -> Callable[..., None]:
            def hook(module: nn.Module, args: Any, out: Tensor) -> None:
                sums.add(f"L{layer}.resid_post", out, mask)
                if layer == max(layers):
                    raise Enough

            return hook

        handles = [blocks[i].register_forward_hook(take(i)) for i in layers]
        try:
            for rows in corpus.batches():
                mask = rows.get("attention_mask")
                with suppress(Enough):
                    native(**rows, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return sums.means()

    return run


def assay_work(native: nn.Module, corpus: Corpus, layers: Sequence[int]) -> Work:
    from assay.engine.model import load

    model = load(native)
    sites = [f"L{i}.resid_post" for i in layers]
    documents = [list(document) for document in corpus.documents]
    layout = "packed" if corpus.ragged else "bucketed"
    rules: Any = {"batch": corpus.batch, "context": corpus.context, "layout": layout}

    def run() -> Means:
        found = model.harvest(documents, sites, statistics="mean", activations=False, **rules).statistics
        return {site: found[site].mean for site in sites}  # type: ignore[misc]

    return run


def transformer_lens_work(native: nn.Module, corpus: Corpus, layers: Sequence[int]) -> Work:
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    native = copy.deepcopy(native)
    bridge = build_bridge_from_module(native, type(native).__name__, hf_config=native.config)
    bridge.eval()
    names = {f"blocks.{i}.hook_resid_post": f"L{i}.resid_post" for i in layers}
    stop = max(layers) + 1
    early = {"stop_at_layer": stop} if stop < len(bridge.blocks) else {}

    def run() -> Means:
        sums = Sums()
        for rows in corpus.batches():
            ids, mask = rows["input_ids"], rows.get("attention_mask")
            _, cache = bridge.run_with_cache(ids, names_filter=list(names), attention_mask=mask, **early)
            for theirs, ours in names.items():
                sums.add(ours, cache[theirs], mask)
        return sums.means()

    return run


def nnsight_work(native: nn.Module, corpus: Corpus, layers: Sequence[int]) -> Work:
    from nnsight import NNsight

    wrapped = NNsight(copy.deepcopy(native))

    def run() -> Means:
        sums = Sums()
        for rows in corpus.batches():
            with wrapped.trace(**rows, use_cache=False) as tracer:
                kept = dict().save()  # noqa: C408 (a literal has no save)
                for i in layers:
                    kept[f"L{i}.resid_post"] = wrapped.model.layers[i].output
                tracer.stop()
            for name, value in kept.items():
                sums.add(name, value, rows.get("attention_mask"))
        return sums.means()

    return run


BUILDERS: Mapping[str, tuple[str, Callable[..., Work]]] = {
    "hooks by hand": ("torch", hooks),
    "assay": ("assay", assay_work),
    "TransformerLens": ("transformer_lens", transformer_lens_work),
    "nnsight": ("nnsight", nnsight_work),
}


def contestants(native: nn.Module, corpus: Corpus, layers: Sequence[int]) -> dict[str, Work]:
    """The work of every library that is installed, by its name."""
    found = {}
    for name, (module, build) in BUILDERS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(module)
        except ImportError:
            continue
        found[name] = build(native, corpus, layers)
    return found
