"""Whether a circuit, or the scores that it was taken by, saw the prompts that it is measured on.

Chosen and measured on the same prompts, a circuit looks better than it is: what was noise when it was chosen is counted as
behaviour. A circuit keeps a short hash of each prompt that it was found on, so that this is seen later and in other hands.
"""

from __future__ import annotations

from collections.abc import Collection

from assay.core.calls import recall
from assay.core.caveats import caveat
from assay.core.codec import digest
from assay.core.protocols import Scores
from assay.data.pairs import Pairs

LENGTH = 16
"""Digits of a hash that are kept: two of a billion prompts share one with a chance of 3 %, so a chance match is no worry."""


def prompt_ids(pairs: Pairs) -> tuple[str, ...]:
    """A short hash of each different clean prompt, its text or its token ids, sorted."""
    return tuple(sorted({_hash(example.clean) for example in pairs}))


def made_on(scores: Scores | None) -> tuple[str, ...]:
    """The prompts that scores were made on, as far as this process knows: what is read from a file does not say."""
    call = recall(scores)
    return prompt_ids(call.data) if call is not None and isinstance(call.data, Pairs) else ()


def overlap(known: Collection[str], pairs: Pairs, *, what: str = "the circuit was found") -> list[str]:
    """A caveat, if any of these prompts is among those known; nothing if none is, or if none is known."""
    same = sum(_hash(example.clean) in known for example in pairs)
    if not same:
        return []
    return [
        caveat(
            f"{what} on {same} of these {len(pairs)} prompts: measured on what it was chosen by, it looks better than it is; "
            "take other prompts (another split)"
        )
    ]


def _hash(prompt: object) -> str:
    return digest(list(prompt) if isinstance(prompt, tuple) else prompt).removeprefix("sha256:")[:LENGTH]
