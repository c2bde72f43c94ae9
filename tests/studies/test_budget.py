"""Estimates before a step, and budgets that end a run before one that would exceed them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.studies.conftest import Lab
from tests.studies.replicas import Place, short_study

from assay.core.progress import report
from assay.core.registry import find
from assay.studies.budget import BudgetError, Purse, resident
from assay.studies.estimate import Estimated, estimate_step
from assay.studies.plan import read_plan
from assay.studies.run import Silent, default_sources, run_study
from assay.studies.schema import Budget, Study


def log(folder: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def allowing(study: Study, **budget: float) -> Study:
    return study.model_copy(update={"budget": Budget(**budget)})


def test_an_estimate_is_the_engines(replica: Place) -> None:
    study = short_study(replica.model)
    sources = default_sources()
    model = sources.model(study.model)
    pairs = sources.data(study.data["find"], model)
    method = find("patch_heads")
    told = estimate_step(method, model, pairs, settings=method.validated({"direction": "denoise"}), earlier={})
    assert told.token_layers is not None and told.seconds is not None and told.why_not is None
    tokens = sum(pairs.lengths)
    assert tokens < told.token_layers < 2 * tokens * 2 * 10, "between one pass of each prompt and a pass for each head"
    made = method.run(model, pairs, method.validated({"direction": "denoise"}))
    assert any(fact.startswith("engine: scheduled") for fact in made.facts), "what was tried for the plan is kept"
    lens = find("logit_lens")
    silent = estimate_step(lens, model, pairs, settings=lens.validated({}), earlier={})
    assert silent.seconds is None and "begins with a run" in str(silent.why_not)
    dictionary = find("train_dictionary")  # of the untrained model, which it makes of the one that only explains
    how = {"site": "resid_post", "depth": 0.5, "texts": {"corpus": "stdlib", "tokens": 100}, "weights": "untrained"}
    trained = estimate_step(dictionary, model, pairs, settings=dictionary.validated(how), earlier={})
    assert trained.seconds is None and "begins with a harvest" in str(trained.why_not)
    weights = find("head_weight_norms")
    edges = find("edge_patching")
    asked = edges.validated({"ablation": "counterfactual", "metric": "logit_diff", "receivers": "logits"})
    own = estimate_step(edges, model, pairs, settings=asked, earlier={})
    assert own.why_not == "its method begins with passes of its own, which can't be told beforehand"
    assert model.run(pairs.clean_tokens[:1]).logits.isfinite().all()  # and it computes as before
    free = estimate_step(weights, model, pairs, settings=weights.validated({}), earlier={})
    assert free.seconds == 0, "it asks for no pass"


def test_estimates_are_told_and_logged(replica: Place, tmp_path: Path) -> None:
    class Ear(Silent):
        heard: dict[str, Estimated] = {}

        def estimated(self, steps: Any) -> None:
            self.heard.update(steps)

    run_study(short_study(replica.model), tmp_path, watcher=Ear())
    assert set(Ear.heard) == {"accuracy", "heads"}, "the step that needs an earlier result is told when that is there"
    assert [line["step"] for line in log(tmp_path, "estimate")] == ["accuracy", "heads", "chosen"]
    assert all(line["seconds"] > 0 for line in log(tmp_path, "estimate")[:2])
    Ear.heard.clear()
    run_study(short_study(replica.model), tmp_path, watcher=Ear())
    assert Ear.heard == {}, "what is done costs nothing"


def purse(seconds: float, now: list[float]) -> Purse:
    return Purse(Budget(seconds=seconds), clock=lambda: now[0])


def test_a_step_whose_estimate_is_too_long_is_not_begun() -> None:
    money = purse(10, [0.0])
    money.pay(6)
    money.check("short", Estimated(seconds=3.0))
    with pytest.raises(BudgetError, match=r"6 s are used and step 'long' is estimated to take at least 5 s.*goes on"):
        money.check("long", Estimated(seconds=5.0))
    money.check("unknown", Estimated(why_not="?"))
    money.pay(5)
    with pytest.raises(BudgetError, match=r"11 s are used, before step 'unknown'"):
        money.check("unknown", Estimated(why_not="?"))


def test_a_step_is_ended_once_its_own_speed_shows_that_it_is_too_long() -> None:
    now = [0.0]
    money = purse(100, now)
    listen = money.watch("slow")
    now[0] = 0.5
    listen(1, 1000)  # too early to tell
    now[0] = 9.0
    listen(10, 100)  # 90 s in all
    now[0] = 12.0
    with pytest.raises(BudgetError, match="'slow' is going to take 120 s"):
        listen(10, 100)


def test_memory_is_counted_with_what_is_there() -> None:
    here = resident() / 1e9
    assert 0.05 < here < 64
    Purse(Budget(gigabytes=here + 1)).check("s", Estimated(bytes=10**8))
    with pytest.raises(BudgetError, match=r"'s' would need about .* GB"):
        Purse(Budget(gigabytes=here + 1)).check("s", Estimated(bytes=2 * 10**9))


def test_a_run_that_stops_for_its_budget_goes_on_with_a_larger_one(lab: Lab, tmp_path: Path) -> None:
    """The budget is no part of the plan: raising it is no deviation."""
    lab.before = lambda name: (report(1, 2), None)[1]
    with pytest.raises(BudgetError):
        run_study(allowing(lab.study, seconds=1e-9), tmp_path, sources=lab.sources)
    assert lab.calls == ["measure"], "the first is begun, as nothing is known of it"
    assert "second" in log(tmp_path, "budget")[0]["reason"]
    run_study(allowing(lab.study, seconds=1e9), tmp_path, sources=lab.sources)
    assert lab.calls == ["measure", "double"]
    plan = read_plan(tmp_path)
    assert len(plan.frozen) == 1 and "budget" not in plan.current.content
