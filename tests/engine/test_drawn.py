"""Experiments drawn at random, wider than the schedule's own property tests: several runs that read each other, metrics on any
of them, answers given with prompts, named positions, gradients in runs that do not vary, sites after the blocks, no sweep.

The schedule gives the naive engine's numbers, its plan counts at least what is done, and it leaves nothing in the model.
"""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import numpy as np
import pytest
from tests.conformance import zoo
from torch import nn

import assay
from assay import Experiment, Run, capture, edit, metric
from assay.core.errors import AssayError
from assay.core.result import Result
from assay.engine import naive
from assay.engine.model import Model
from assay.engine.schedule.measure import OPTIONS, measure

MODELS = ("llama", "gpt2", "gemma2", "cohere", "granite", "opt", "phi", "olmo2", "bert", "mamba", "bart", "glm4")
SITES = ("resid_pre", "resid_mid", "resid_post", "mlp_out", "attn_out", "mlp_post", "q", "v", "z", "head_out")
WITH_HEADS = ("q", "z", "head_out")
INPUTS = ("clean", "corrupt", "third")
PLACES = (None, 0, -1, 2, -2, [1, -1], slice(1, None), slice(None, None, 2))


@cache
def model_of(name: str) -> Model:
    return assay.load(zoo.build(name)[0].double())


class Drawn:
    """One experiment: every choice comes from the seed."""

    def __init__(self, name: str, seed: int) -> None:
        self.r, self.network = random.Random(seed), model_of(name).network
        self.examples = self.r.randint(1, 4)
        self.lengths = [self.r.choice([6, 6, 5, 8]) for _ in range(self.examples)]
        self.named = self.r.random() < 0.5
        self.sites = [site for site in SITES if self.network.why_not(f"L0.{site}") is None]
        self.ends = [site for site in ("logits", "final_norm") if self.network.why_not(site) is None]
        self.axes = self.swept()

    def maybe(self, chance: float) -> bool:
        return self.r.random() < chance

    def token(self) -> int:
        return self.r.randint(5, min(self.network.vocabulary or 60, 60) - 1)

    def pos(self) -> Any:
        return self.r.choice([*PLACES, "there"] if self.named else PLACES)

    def swept(self) -> dict[str, Any]:
        if self.maybe(0.25):
            return {}
        axes: dict[str, Any] = {"layer": self.r.choice([None, [0, 1], [1]])} if self.maybe(0.85) else {}
        if not axes or self.maybe(0.4):
            axes["pos"] = self.r.choice([None, [0, -1], [-2]])
        return axes | ({"head": [0, 1]} if self.maybe(0.2) else {})

    def prompts(self) -> dict[str, Any]:
        part = self.r.randint(0, 4)
        clean = [[self.token() for _ in range(n)] for n in self.lengths]
        corrupt = [[*row[:part], self.token(), *row[part + 1 :]] for row in clean]
        third = [[self.token() for _ in range(n)] for n in self.lengths[: self.r.choice([1, self.examples])]]
        return {n: self.given(rows) for n, rows in zip(INPUTS, (clean, corrupt, third), strict=True)}

    def given(self, rows: list[list[int]]) -> dict[str, Any]:
        found: dict[str, Any] = {"kind": "tokens", "tokens": rows}
        for field in ("answers", "wrong"):
            if self.maybe(0.85):
                found[field] = [self.token() for _ in rows] if self.maybe(0.6) else self.token()
        return found | ({"positions": {"there": [self.r.randint(0, 3) for _ in rows]}} if self.named else {})

    def edit(self, sources: list[str], *, free: bool = False, first: bool = False) -> Any:
        site = self.r.choice(self.sites)
        heads = {"head": self.r.choice([0, [0, 1]])} if site in WITH_HEADS and self.maybe(0.3) else {}
        if self.ends and self.maybe(0.08):
            site, heads = self.r.choice(self.ends), {}
        elif not free or self.maybe(0.3):
            site = f"L{self.r.randint(0, 1)}.{site}"
        where: dict[str, Any] = {"pos": None if first and "pos" in self.axes else self.pos(), **heads}
        if self.maybe(0.2):
            where["examples"] = self.r.choice([0, [-1]])
        made = {
            "patch": lambda: edit.patch(site, source=self.r.choice(sources), **where),
            "freeze": lambda: edit.freeze(site, source=self.r.choice(sources), **where),
            "zero": lambda: edit.zero(site, **where),
            "scale": lambda: edit.scale(site, factor=1.7, **where),
            "noise": lambda: edit.noise(site, std=0.5, seed=3, **where),
            "clamp": lambda: edit.clamp(site, min=-0.2, max=0.3, **where),
            "mean": lambda: edit.mean(site, over=self.r.choice(["corrupt", "third"]), **where),
        }
        return made[self.r.choice(["patch", "patch", *made])]()

    def captures(self, *, gradients: bool) -> list[Any]:
        found: list[Any] = []
        for number in range(self.r.choice([0, 0, 0, 1, 2])):
            inside = [f"L{self.r.randint(0, 1)}.{self.r.choice(self.sites)}"]
            site = self.r.choice(inside * 3 + self.ends)
            of = self.r.choice(
                [
                    metric.logit_diff(7, 8),
                    metric.logit(9, pos=self.r.choice([2, [0, -1]])),
                    metric.kl(to=self.r.choice(INPUTS), pos=-2),
                ]
            )
            grad = gradients and self.maybe(0.5)
            made = capture.grad(site, of=of, name=f"g{number}") if grad else capture.site(site, name=f"c{number}")
            found.append(made)
        return found

    def metric(self, number: int, runs: list[str]) -> Any:
        kind = self.r.choice(
            ["logit_diff"] * 4 + ["logit"] * 3 + ["accuracy"] * 2 + ["logprob", "kl", "loss", "entropy"]
        )
        kind = self.r.choice([kind] * 6 + ["norm", "call", "several"])
        all_of_it = {"name": f"{kind}{number}"} | ({"run": self.r.choice(runs)} if self.maybe(0.5) else {})
        where: dict[str, Any] = {"pos": -1 if self.maybe(0.5) or kind == "several" else self.pos(), **all_of_it}
        if self.maybe(0.3):
            where["reduce"] = self.r.choice(["mean", "max"])

        def answers() -> Any:
            return self.r.choice([None, self.token(), [self.token() for _ in range(self.examples)]])

        some = [[self.token() for _ in range(self.r.randint(1, 3))] for _ in range(self.examples)]
        made = {
            "logit_diff": lambda: metric.logit_diff(answers(), answers(), **where),
            "logit": lambda: metric.logit(answers(), **where),
            "accuracy": lambda: metric.accuracy(answers(), wrong=self.r.choice([None, self.token(), some]), **where),
            "logprob": lambda: metric.logprob(answers(), **where),
            "several": lambda: metric.logprob([[self.token(), self.token()]] * self.examples, **where),
            "kl": lambda: metric.kl(to=self.r.choice(runs), **where),
            "loss": lambda: metric.loss(**where),
            "entropy": lambda: metric.entropy(**where),
            "norm": lambda: metric.norm(self.r.choice([f"L0.{self.r.choice(self.sites)}", *self.ends]), **where),
            "call": lambda: metric.call(lambda run: run.output[:, -1, 7], **all_of_it),
        }
        return made[kind]()

    def experiment(self) -> Experiment:
        inputs, runs, sources = self.prompts(), dict[str, Run](), list(INPUTS)
        if self.maybe(0.6):
            edits = [self.edit(sources) for _ in range(self.r.randint(0, 2))]
            runs["fixed"] = Run(input=self.r.choice(INPUTS), edits=edits, captures=self.captures(gradients=True))
            sources.append("fixed")
        if self.maybe(0.4):
            runs["middle"] = Run(input=self.r.choice(INPUTS), edits=[self.edit(sources, free=True, first=True)])
            sources.append("middle")
        edits = [self.edit(sources, free=True, first=n == 0) for n in range(self.r.randint(1, 3))]
        captures = self.captures(gradients=self.maybe(0.2))
        runs["main"] = Run(input=self.r.choice(["clean", "third"]), edits=edits, captures=captures)
        metrics = [self.metric(n, [*runs, *INPUTS]) for n in range(self.r.randint(1, 4))]
        sweep: dict[str, Any] | None = {"axes": self.axes} if self.axes else None
        if sweep and "middle" in runs and self.maybe(0.5):
            sweep["runs"] = self.r.choice([["middle"], ["middle", "main"]])
        return Experiment(inputs=inputs, runs=runs, metrics=metrics, main="main", sweep=sweep)


def left(native: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + ("forward" in vars(m)) for m in native.modules())


def same(slow: Result, fast: Result) -> None:
    """Double precision rounds at 1e-16, and sums of a few hundred terms in another order stay under 1e-9 of the largest."""
    assert set(slow.data) == set(fast.data)
    for label in map(str, slow.data):
        here, there = slow[label], fast[label]
        assert here.dims == there.dims and here.shape == there.shape
        largest = float(np.nanmax(np.abs(here.values))) if np.isfinite(here.values).any() else 0.0
        if label.startswith("accuracy"):  # counts: a tie may round to either side
            assert np.nanmean(np.abs(here.values - there.values)) <= 0.05
        else:
            np.testing.assert_allclose(there.values, here.values, rtol=0, atol=1e-9 * max(largest, 1e-4), err_msg=label)


def check(name: str, seed: int) -> str:
    """What became of the experiment of this seed: "refused" alike by both engines, "naive", or "scheduled"."""
    model = model_of(name)
    try:
        experiment = Drawn(name, seed).experiment()
        slow = naive.measure(model.network, experiment)
    except AssayError as error:
        try:
            experiment = Drawn(name, seed).experiment()
        except AssayError:
            return "refused"
        with pytest.raises(type(error)):
            measure(model.network, experiment)
        return "refused"
    without = random.Random(seed).choice([[], [], [OPTIONS[seed % len(OPTIONS)]]])
    fast = measure(model.network, experiment, without=without)
    same(slow, fast)
    assert left(model.native) == 0
    plan = model.explain(experiment, without=without)
    assert fast.cost.flops is not None and fast.cost.flops <= plan.work.flops * (1 + 1e-9)
    assert fast.cost.token_layers <= plan.token_layers
    if plan.engine == "naive":
        assert fast.cost.flops == pytest.approx(plan.work.flops) and fast.cost.token_layers == plan.token_layers
    return plan.engine


@pytest.mark.parametrize("name", MODELS)
def test_any_experiment_gives_the_naive_numbers_and_its_plan_counts_them(name: str) -> None:
    seeds = range(100 * MODELS.index(name), 100 * MODELS.index(name) + 7)
    found = [check(name, seed) for seed in seeds]
    assert any(end != "refused" for end in found)
