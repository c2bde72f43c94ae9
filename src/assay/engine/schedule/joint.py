"""Unchanged passes of several inputs as one: small prompts fill a machine badly, so they share the reading of weights.

Only token prompts of equal length are joined. Rounding may then differ between the inputs where their tokens do not, so
which positions are the same is told from the tokens, not from the tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from assay.engine.passes import Kept
from assay.engine.schedule.base import Base, base_pass
from assay.models.chain import Chain
from assay.models.network import Network
from assay.models.structure import Site

TOKENS_AT_ONCE = 1024
"""Passes that have as many tokens by themselves fill any machine."""


def base_passes(
    network: Network,
    chain: Chain,
    inputs: Mapping[str, Mapping[str, Any]],
    keep: Mapping[str, Iterable[Site]],
    groups: Iterable[Sequence[str]],
    *,
    eager: bool,
    read: Mapping[str, Tensor] | None = None,
    tokens: Tensor | None = None,
) -> dict[str, Base]:
    """The unchanged pass of every input by name; those of a group share a native pass. `read`, `tokens`: as for `base_pass`."""
    found: dict[str, Base] = {}
    for names in groups:
        if len(names) == 1:
            name, mine = names[0], None if read is None else read[names[0]]
            found[name] = base_pass(network, chain, inputs[name], keep[name], eager=eager, read=mine, tokens=tokens)
            continue
        every = dict.fromkeys(site for name in names for site in keep[name])
        ids = torch.cat([inputs[name]["input_ids"] for name in names])
        mine = None if read is None else torch.cat([read[name] for name in names])
        whole = base_pass(network, chain, {"input_ids": ids}, every, eager=eager, read=mine, tokens=tokens)
        start = 0
        for name in names:
            end = start + len(inputs[name]["input_ids"])
            found[name] = _part(whole, slice(start, end), inputs[name])
            start = end
    return found


def joined(
    inputs: Mapping[str, Mapping[str, Any]], keep: Mapping[str, Iterable[Site]], *, together: bool
) -> list[list[str]]:
    """Names of inputs that share a pass."""
    found: list[list[str]] = []
    alike: dict[int, list[str]] = {}
    for name, given in inputs.items():
        length = _length(given) if together else None
        if length is None or any(site.axes[:1] != ("batch",) for site in keep[name]):
            found.append([name])
        else:
            alike.setdefault(length, []).append(name)
    for names in alike.values():
        found += _packed(names, [inputs[name]["input_ids"].numel() for name in names])
    return found


def _length(given: Mapping[str, Any]) -> int | None:
    """Tokens of each prompt of an input that is nothing but token ids."""
    ids = given.get("input_ids")
    return ids.shape[1] if len(given) == 1 and isinstance(ids, Tensor) and ids.ndim == 2 else None


def _packed(names: Sequence[str], sizes: Sequence[int]) -> list[list[str]]:
    """Names in order, as many together as `TOKENS_AT_ONCE` allows."""
    found: list[list[str]] = []
    room = 0
    for name, size in zip(names, sizes, strict=True):
        if not found or size > room:
            found.append([])
            room = TOKENS_AT_ONCE
        found[-1].append(name)
        room -= size
    return found


def _part(whole: Base, rows: slice, inputs: Mapping[str, Any]) -> Base:
    """One input's share of a pass of several."""
    kept = Kept(
        None if whole.kept.output is None else whole.kept.output[rows],
        {site: value[rows] for site, value in whole.kept.sites.items()},
    )
    return Base(
        inputs,
        kept,
        whole.attention,
        whole.eager,
        [state[rows] for state in whole.stream],
        {module: (keys[rows], values[rows]) for module, (keys, values) in whole.past.items()},
        whole.arity,
        whole.repeated,
        whole.causal,
    )


def same_so_far(one: Mapping[str, Any], other: Mapping[str, Any]) -> Tensor | None:
    """Whether all tokens up to each position are the same in two inputs, [batch, pos]; None where that can't be told."""
    length = _length(one)
    if length is None or length != _length(other):
        return None
    here, there = one["input_ids"], other["input_ids"]
    return (here == there).long().cumprod(1).bool() if here.shape == there.shape else None
