"""Every situation by name: what the tests of truth and the table of methods go through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from assay.core.errors import DataError, nearest
from assay.training.planted.copying import backup_head, cancelling_pair, constant_heads, negative_head
from assay.training.planted.gates import all_of, cancelling_paths, either
from assay.training.planted.induction import GAINS, induction
from assay.training.planted.library import PROGRAMS, compiled
from assay.training.planted.situation import Situation
from assay.training.planted.trained import trained_induction

Maker = Callable[[int, int], Situation]

_HAND_WIRED: Mapping[str, Callable[..., Situation]] = {
    **{f"induction, gain {gain:g}": partial(induction, gain) for gain in GAINS},
    "redundant pair": either,
    "all or nothing": all_of,
    "cancelling pair": cancelling_pair,
    "cancelling paths": cancelling_paths,
    "negative head": negative_head,
    "backup head": backup_head,
    "constant heads": constant_heads,
}
NAMES = (*_HAND_WIRED, *PROGRAMS)
"""Hand-wired circuits first, then compiled programs: each is there in about a second."""
TRAINED = "trained induction"
"""The one that has to be trained first."""


def situation(name: str, *, seed: int = 0, n: int = 16) -> Situation:
    """One situation with `n` pairs. The same seed gives the same weights and prompts; another one, others.

    Cost: about a second, most of it for finding the model's sites; ten for the trained one, once in a process.

    Raises:
        DataError: there is none of this name.
    """
    if name in _HAND_WIRED:
        return _HAND_WIRED[name](seed=seed, n=n)
    if name in PROGRAMS:
        return compiled(PROGRAMS[name](), seed=seed, n=n)
    if name == TRAINED:
        return trained_induction(seed=seed, n=n)
    raise DataError(f"There is no situation {name!r}.{nearest(name, NAMES)} There are: {', '.join((*NAMES, TRAINED))}.")


def situations(*, seed: int = 0, n: int = 16) -> list[Situation]:
    """All of them, but the one that has to be trained."""
    return [situation(name, seed=seed, n=n) for name in NAMES]
