"""Generation with a key/value cache: every site has the values of a pass over the whole text.

The last tokens are run one by one on the cache that the text before them left. Greedy generation with an edit is compared
with and without the cache. Where the native model has no cache, or its own outputs differ with one, the result says so
and begins with `native:`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from tests.conformance.padding import text_inputs, visible
from tests.conformance.subject import Subject, differs, main_output, natively
from torch import Tensor

from assay.engine.generate import Sampling, generate
from assay.engine.passes import Kept, forward
from assay.experiments import edit
from assay.models.codebooks import codebooks
from assay.models.structure import Site

STEPS = 2
NONE = "native: has no cache"
CHANGES = "native: a cache changes its outputs"
REFUSES = "native: fails with a cache"
NAMES = ("cache", "past_key_values", "cache_params", "state")


def cached_values(subject: Subject) -> str | None:
    """Captured step by step on a cache, sites equal the last positions of one pass over everything."""
    if not text_inputs(subject.inputs):
        return "–"
    refusal = _natively(subject)
    if refusal is not None:
        return refusal
    wrong: dict[str, None] = {}
    for at, now in _steps(subject):
        kept = forward(subject.network, now, keep=subject.sites.values())
        wrong |= dict.fromkeys(str(s.name.at(None)) for s in subject.sites.values() if not _same(subject, s, kept, at))
    return ", ".join(wrong) or None


def _natively(subject: Subject) -> str | None:
    """Why native code alone does not give its uncached outputs, None when it does."""
    if _cache(subject) is None:
        return NONE
    plain = main_output(subject.kept.native)
    for at, now in _steps(subject):
        native = natively(subject, now)
        if native is None:
            return REFUSES
        if differs(main_output(native)[:, -1], plain[:, at]) is not None:
            return CHANGES
    return None


def _cache(subject: Subject) -> tuple[str, Any] | None:
    """The cache after all but the last tokens, and the argument that takes it."""
    first = natively(subject, {"input_ids": subject.inputs["input_ids"][..., :-STEPS], "use_cache": True})
    found = ((n, getattr(first, n, None)) for n in NAMES if subject.network.takes(n))
    return next(((n, cache) for n, cache in found if cache is not None), None)


def _steps(subject: Subject) -> Iterator[tuple[int, dict[str, Any]]]:
    """Position and inputs of each of the last tokens; native code fills the cache in place."""
    ids, cache = subject.inputs["input_ids"], _cache(subject)
    assert cache is not None
    for at in range(ids.shape[-1] - STEPS, ids.shape[-1]):
        yield at, {"input_ids": ids[..., at : at + 1], cache[0]: cache[1], "use_cache": True}


def _same(subject: Subject, site: Site, kept: Kept, at: int) -> bool:
    found, whole = kept.sites[site], subject.kept.sites[site]
    axis = 2 if "query" in site.axes else 1
    if site.name.name == "logits" and codebooks(subject.native) > 1:  # positions once for each codebook
        return differs(found, whole.unflatten(1, (codebooks(subject.native), -1))[:, :, at]) is None
    wanted = whole.narrow(axis, at, 1)
    if "key" in site.axes:
        wanted = _keys(wanted, found, at)
    return differs(*visible(found, wanted)) is None


def _keys(wanted: Tensor, found: Tensor, at: int) -> Tensor:
    """The keys up to this token; a cache of a sliding window holds the last of them only."""
    return wanted[..., : at + 1][..., -found.shape[-1] :]


def cached_generation(subject: Subject) -> str | None:
    """Greedy tokens with an edit at every layer are the same with a cache and without."""
    if not text_inputs(subject.inputs) or not getattr(subject.native, "can_generate", lambda: False)():
        return "–"
    if codebooks(subject.native) > 1:
        return "–"  # one token at a time is not what it writes
    site = next((s for s in reversed(subject.sites.values()) if s.name.name == "resid_post"), None)
    if site is None:
        return "–"
    if (refusal := _natively(subject)) is not None:
        return refusal
    push = torch.randn(site.sizes["d_model"], generator=torch.Generator().manual_seed(0))
    ids: Any = subject.inputs["input_ids"].tolist()
    made = [
        generate(subject.network, ids, edits=edit.add("resid_post", push), sampling=Sampling(4, use_cache=cached))
        for cached in (True, False)
    ]
    return None if made[0].tokens == made[1].tokens else "other tokens with a cache than without"
