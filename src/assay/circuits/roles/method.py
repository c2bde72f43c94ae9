"""Roles of heads, decided by tests with thresholds that are stated beforehand, each with a control.

| role | what must hold |
|---|---|
| previous token | attention to the token before, on the prompts and on random tokens |
| duplicate token | attention from a repeated token to its first mention, on both |
| induction | attention from a repeated token to the one after its first mention, on both |
| writer, negative writer | a direct effect on the answer, for or against it |
| name mover | at the end it attends to the answer's token, what it moves from there names it, and it is a writer |
| negative name mover | the same, speaking against it |
| S-inhibition | its output, by way of the name movers' queries, moves their attention from the wrong answer to the right one |
| backup | its direct effect rises when the name movers (or, if there are none, the writers) are ablated together |

What each test is and what it is compared with is in `looking`, `speaking` and `causing`; `deciding` says what passes. The tests
follow Wang et al. 2022 (arXiv:2211.00593), who used no thresholds for most of them; those here are settings.

Cost: three passes of all examples, four more for each head (the schedule computes what differs), a row of logits for each head
and example, and one pass of random tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import xarray as xr

from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.claims import ROLES as FOUND_ROLES
from assay.circuits.intervention import Intervention, intervene
from assay.circuits.measuring import METRIC, AMetric, as_metric
from assay.circuits.places import Part, parts_of
from assay.circuits.roles.causing import against_median, direct_effects, inhibition, whole_effect
from assay.circuits.roles.deciding import ROLES, Decided, HeadExample, HeadTest, RoleTests, decide, held_by
from assay.circuits.roles.looking import (
    answer_places,
    looked,
    looked_at_answer,
    looked_back,
    random_prompts,
    repeated,
    wrong_places,
)
from assay.circuits.roles.speaking import copied
from assay.core.caveats import caveat
from assay.core.progress import listening, report
from assay.core.provenance import Provenance
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model

DEFAULT = RoleTests()
SHOWN = 12
"""Heads of a role that a fact names."""


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:2211.00593", "arXiv:2209.11895", "arXiv:2307.15771"),
    cost="about four forward passes of all examples for each head, of which the schedule computes what differs",
    assumes="that what a head does on these prompts and on random tokens is what it does",
    fails_when="a role is shared among many heads, each below the threshold; a head's role differs from prompt to prompt",
    claim=FOUND_ROLES,
)
def head_roles(
    model: Model,
    pairs: Pairs,
    *,
    ablation: Annotated[Ablation, "what a head's output is replaced by in the tests of effects"],
    metric: Annotated[AMetric, METRIC],
    repeated_at: Annotated[
        str | None, "named position of the second mention; nothing: every token that stood before in the prompt"
    ] = None,
    source: Annotated[
        str | None, "named position that name movers attend to; nothing: where the answer's token stands"
    ] = None,
    tests: Annotated[RoleTests, "thresholds, and how the tests are made"] = DEFAULT,
    layers: Annotated[tuple[int, ...] | None, "which layers' heads are tested; nothing means all"] = None,
    seed: Annotated[int, "of the random tokens and the bootstrap"] = 0,
) -> Result:
    """Which roles each head has.

    `value` and `control` (test, head, example); `low` and `high` (test, head) the interval of their difference; `passed`
    (test, head); `has` (role, head); `count` (role). Effects are shares of the mean difference between clean and
    counterfactual prompts.
    """
    heads = parts_of(model, "head", layers)
    made = intervene(model, pairs, heads, ablation=as_ablation(ablation), direction="noise", metric=as_metric(metric))
    asked = _Asked(model, pairs, heads, made, tests, repeated_at=repeated_at, source=source, seed=seed)
    found = asked.looking()
    report(1, 3)
    found |= asked.answering()
    report(2, 3)
    decided = {name: decide(test, level=tests.level, seed=seed) for name, test in found.items()}
    movers, who = _movers(heads, found, decided)
    with listening(None):
        later = asked.responding(found["direct_effect"].value, movers)
    decided |= {name: decide(test, level=tests.level, seed=seed) for name, test in later.items()}
    report(3, 3)
    return _result(model, heads, found | later, decided=decided, facts=[made.fact, who, _settings(tests)])


@dataclass(frozen=True)
class _Asked:
    """What was asked for, and the three groups of tests."""

    model: Model
    pairs: Pairs
    heads: tuple[Part, ...]
    made: Intervention
    tests: RoleTests
    repeated_at: str | None
    source: str | None
    seed: int

    @property
    def which(self) -> list[tuple[int, int]]:
        """Layer and head of each."""
        return [(part.layer, part.index or 0) for part in self.heads]

    @property
    def nothing(self) -> HeadExample:
        """The values of a test that can't be done."""
        return np.full((len(self.heads), len(self.pairs)), np.nan)

    @cached_property
    def whole(self) -> float:
        """The mean effect of the counterfactual."""
        return whole_effect(self.model, self.made)

    def looking(self) -> dict[str, HeadTest]:
        """Where heads look, on the prompts and on random tokens."""
        tokens = [each.clean for each in self.pairs.aligned_tokens()]
        places = None if self.repeated_at is None else [[place] for place in self.pairs.position(self.repeated_at)]
        found = self._looking_at(tokens, places, "")
        if not self.tests.random_length:
            return found | {
                f"{name}_random": HeadTest(self.nothing, self.nothing, test.threshold) for name, test in found.items()
            }
        random = random_prompts(self.model, self.pairs, length=self.tests.random_length, seed=self.seed)
        return found | self._looking_at(random, None, "_random")

    def _looking_at(
        self, prompts: list[tuple[int, ...]] | list[list[int]], places: list[list[int]] | None, suffix: str
    ) -> dict[str, HeadTest]:
        found = {}
        for name, after, limit in (
            ("duplicate_token", 0, self.tests.duplicate),
            ("induction", 1, self.tests.induction),
        ):
            targets = [
                repeated(each, None if places is None else places[row], after=after) for row, each in enumerate(prompts)
            ]
            seen = looked(self.model, prompts, self.which, target=targets.__getitem__)
            found[name + suffix] = HeadTest(*seen, limit)
        back = looked_back(self.model, prompts, self.which)
        return found | {"previous_token" + suffix: HeadTest(*back, self.tests.previous)}

    def answering(self) -> dict[str, HeadTest]:
        """What heads do to the answer: attention to it, direct effect, copying."""
        model, pairs, tests, nothing = self.model, self.pairs, self.tests, self.nothing
        direct = against_median(direct_effects(model, self.made, self.heads) / self.whole)
        said = None
        if self.source is None:
            said = copied(model, pairs, self.which, source=self.source, within=tests.copied_within)
        for_it, against_it = said or ((nothing, nothing), (nothing, nothing))
        looks = looked_at_answer(model, pairs, self.which, source=self.source)
        return {
            "answer_attention": HeadTest(*looks, tests.attention),
            "direct_effect": HeadTest(*direct, tests.direct),
            "negative_direct_effect": HeadTest(*direct, tests.direct, sign=-1),
            "copying": HeadTest(*for_it, tests.copying),
            "negative_copying": HeadTest(*against_it, tests.copying),
        }

    def responding(self, direct: HeadExample, movers: list[Part]) -> dict[str, HeadTest]:
        """What heads do to the name movers, and what they do without them."""
        moved, rise = self.nothing, self.nothing
        places = answer_places(self.pairs, self.source), wrong_places(self.pairs)
        if movers:
            alone = direct_effects(self.model, self.made, self.heads, without=movers) / self.whole
            rise = np.minimum(alone, alone - direct)
            rise[[self.heads.index(part) for part in movers]] = np.nan
        if movers and all(right and wrong for right, wrong in zip(*places, strict=True)):
            freeze = self.tests.freeze_mlps
            moved = inhibition(self.model, self.made, self.heads, movers=movers, places=places, freeze_mlps=freeze)
        return {
            "s_inhibition": HeadTest(*against_median(moved), self.tests.inhibition),
            "backup": HeadTest(*against_median(rise), self.tests.backup),
        }


def _movers(
    heads: tuple[Part, ...], tests: Mapping[str, HeadTest], decided: Mapping[str, Decided]
) -> tuple[list[Part], str]:
    """The name movers, or the writers if there are none; and which of the two, in words."""
    for role in ("name mover", "writer"):
        has = held_by(role, tests, decided)
        if has is not None and has.any():
            chosen = [part for part, yes in zip(heads, has, strict=True) if yes]
            return chosen, f"S-inhibition and backup: by the {len(chosen)} {role}s, {_names(chosen)}"
    return [], caveat("there are no name movers and no writers: S-inhibition and backup can't be tested")


def _result(
    model: Model,
    heads: tuple[Part, ...],
    tests: Mapping[str, HeadTest],
    *,
    decided: Mapping[str, Decided],
    facts: list[str],
) -> Result:
    held = {role: held_by(role, tests, decided) for role in ROLES}
    has = np.stack([np.zeros(len(heads), bool) if found is None else found for found in held.values()])
    names = [part.name for part in heads]
    data = xr.Dataset(
        {
            "value": (("test", "head", "example"), np.stack([test.value for test in tests.values()])),
            "control": (("test", "head", "example"), np.stack([test.control for test in tests.values()])),
            "low": (("test", "head"), np.stack([decided[name].low for name in tests])),
            "high": (("test", "head"), np.stack([decided[name].high for name in tests])),
            "passed": (("test", "head"), np.stack([decided[name].passed for name in tests])),
            "threshold": ("test", [test.sign * test.threshold for test in tests.values()]),
            "has": (("role", "head"), has),
            "count": ("role", has.sum(axis=1)),
        },
        coords={"test": list(tests), "head": names, "role": list(ROLES)},
    )
    undone = [role for role, found in held.items() if found is None]
    for role, found in held.items():
        if found is not None:
            chosen = [part for part, yes in zip(heads, found, strict=True) if yes]
            facts.append(f"{role}: {_names(chosen) if chosen else 'none'}")
    if undone:
        facts.append(caveat(f"these prompts can't tell: {', '.join(undone)}"))
    made = Provenance.now(model_fingerprint=model.fingerprint, model_source=model.network.source.name)
    return Result(data, made.with_facts(*facts))


def _settings(tests: RoleTests) -> str:
    shown = ", ".join(f"{name} {value:g}" for name, value in tests.model_dump().items() if isinstance(value, float))
    return f"thresholds: {shown} (level of the intervals of value − control, which must be above 0)"


def _names(parts: list[Part]) -> str:
    shown = ", ".join(part.name for part in parts[:SHOWN])
    return shown + (f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else "")
