"""Prompts that a circuit was not found on: parting pairs by template or name, and saying what two sets share.

A circuit that was chosen and measured on the same prompts looks better than it is. Pairs of assay's own task families come in
splits that share no wording and no name; of other pairs, `parted` keeps whole templates (or all prompts with a name) back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from assay.core.errors import DataError
from assay.data.example import Example
from assay.data.pairs import Pairs

By = Literal["template", "name"]


def parted(pairs: Pairs, *, by: By, share: float = 0.5, seed: int = 0) -> tuple[Pairs, Pairs]:
    """Pairs to find a circuit on, and pairs to measure it on that share no template (or no name) with them.

    About `share` of the templates or names is kept back. Prompts with names of both kinds are in neither.

    Raises:
        DataError: there are fewer than two templates or names, or one side would be empty.
    """
    labels = sorted({label for example in pairs for label in _labels(example, by)})
    if len(labels) < 2:
        raise DataError(f"These pairs have {len(labels)} {by}s: at least two are needed to keep some back.")
    count = min(len(labels) - 1, max(1, round(share * len(labels))))
    back = {labels[i] for i in np.random.default_rng(seed).permutation(len(labels))[:count]}
    found_on = [i for i, example in enumerate(pairs) if not back & _labels(example, by)]
    held = [i for i, example in enumerate(pairs) if _labels(example, by) and _labels(example, by) <= back]
    if not found_on or not held:
        raise DataError(f"Parted by {by}, one side has no prompts: try another seed or share, or more prompts.")
    return pairs.take(found_on), pairs.take(held)


def shared(first: Pairs, second: Pairs) -> str:
    """What two sets of pairs have in common, in words."""
    found = []
    for by in ("template", "name"):
        a, b = ({label for example in pairs for label in _labels(example, by)} for pairs in (first, second))
        if a and b:
            found.append(f"{len(a & b)} of {len(b)} {by}s")
    same = {example.clean for example in first} & {example.clean for example in second}
    return "shared with the prompts it was found on: " + ", ".join([*found, f"{len(same)} of {len(second)} prompts"])


def described(pairs: Pairs) -> str:
    """How many prompts, of which splits and templates."""
    splits = _listed({example.split for example in pairs})
    return f"{len(pairs)} prompts of {pairs.task}, {len(pairs.templates)} templates" + (
        f", split {splits}" if splits else ""
    )


def _labels(example: Example, by: By) -> set[str]:
    return {example.template} - {""} if by == "template" else set(example.names)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(name for name in names if name))
