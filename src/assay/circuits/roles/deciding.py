"""From tests to roles: a test is passed where its value is large enough and surely above its control.

A head passes a test if the mean of its value reaches the threshold *and* the bootstrap interval of value − control, over
examples, lies above 0. (Negative roles: the same with the direct effect's sign turned.) A role is held by the heads that pass
all of its tests. So a head may have several roles or none, and what decides is written down before anything is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field

from assay.experiments.record import Record
from assay.stats.bootstrap import Units, draw_counts

RESAMPLES = 1000
HeadExample = Float[np.ndarray, "head example"]


class RoleTests(Record):
    """How the tests are made, and what a head's mean value must reach in each."""

    previous: float = Field(default=0.3, gt=0)
    """Attention to the token before."""
    duplicate: float = Field(default=0.2, gt=0)
    """Attention from a repeated token to where it stood first."""
    induction: float = Field(default=0.2, gt=0)
    """Attention from a repeated token to the token after where it stood first."""
    attention: float = Field(default=0.2, gt=0)
    """Attention from the last position to the answer's token."""
    direct: float = Field(default=0.02, gt=0)
    """Direct effect on the metric, as a share of the whole effect; negative roles: −this."""
    copying: float = Field(default=0.5, gt=0, le=1)
    """Share of prompts in which what the head moves from the answer's token names it (negative: speaks against it)."""
    inhibition: float = Field(default=0.1, gt=0)
    """Share of the name movers' attention from the wrong answer to the right one that is due to the head."""
    backup: float = Field(default=0.01, gt=0)
    """Rise of the direct effect without the name movers, as a share of the whole effect."""
    level: float = Field(default=0.99, gt=0, lt=1)
    """Of each interval of value − control."""
    copied_within: int = Field(default=5, ge=1)
    """How high the answer must rank in what a head says, to count as copied."""
    random_length: int = Field(default=40, ge=0)
    """Tokens in a random prompt; 0 leaves these tests out."""
    freeze_mlps: bool = False
    """S-inhibition: only direct paths to the name movers' queries, none through MLPs."""


@dataclass(frozen=True)
class HeadTest:
    """What one test found: a value for each head and example, and what it is compared with. NaN where it has no meaning."""

    value: HeadExample
    control: HeadExample
    threshold: float
    sign: float = 1.0
    """−1 where the value must be below −threshold, and below the control."""

    @property
    def known(self) -> bool:
        """Whether it could be done at all."""
        return bool(np.isfinite(self.value).any())


ATTENTION: Mapping[str, tuple[str, str]] = {
    "previous token": ("previous_token", "previous_token_random"),
    "duplicate token": ("duplicate_token", "duplicate_token_random"),
    "induction": ("induction", "induction_random"),
}
"""Roles that are told from where a head looks: on the prompts and on random tokens, or on whichever there is."""
ANSWER: Mapping[str, tuple[str, ...]] = {
    "writer": ("direct_effect",),
    "negative writer": ("negative_direct_effect",),
    "name mover": ("answer_attention", "direct_effect", "copying"),
    "negative name mover": ("answer_attention", "negative_direct_effect", "negative_copying"),
    "S-inhibition": ("s_inhibition",),
    "backup": ("backup",),
}
"""Roles that are told from what a head does to the answer: all of these tests, and none where one of them can't be done."""
ROLES = (*ATTENTION, *ANSWER)


@dataclass(frozen=True)
class Decided:
    """Intervals of value − control, and which heads pass."""

    low: Float[np.ndarray, " head"]
    high: Float[np.ndarray, " head"]
    passed: Bool[np.ndarray, " head"]


def decide(test: HeadTest, *, level: float, seed: int = 0) -> Decided:
    """Which heads pass a test. A head without a value passes none."""
    heads = len(test.value)
    here = np.isfinite(test.value).any(axis=0)
    if not here.any():
        nothing = np.full(heads, np.nan)
        return Decided(nothing, nothing, np.zeros(heads, dtype=bool))
    value, control = test.value[:, here], test.control[:, here]
    gap = value - control
    counts = draw_counts(Units(gap.shape[1]), resamples=RESAMPLES, seed=seed)
    drawn = gap @ counts.T / gap.shape[1]
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=1)
    if test.sign > 0:
        passed = (value.mean(axis=1) >= test.threshold) & (low > 0)
    else:
        passed = (value.mean(axis=1) <= -test.threshold) & (high < 0)
    return Decided(low, high, passed)


def held_by(
    role: str, tests: Mapping[str, HeadTest], decided: Mapping[str, Decided]
) -> Bool[np.ndarray, " head"] | None:
    """Which heads have a role; None where its tests could not be done."""
    if role in ATTENTION:
        asked = [name for name in ATTENTION[role] if tests[name].known]
    else:
        asked = list(ANSWER[role]) if all(tests[name].known for name in ANSWER[role]) else []
    if not asked:
        return None
    return np.asarray(np.logical_and.reduce([decided[name].passed for name in asked]))
