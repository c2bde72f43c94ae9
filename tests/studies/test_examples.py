"""The studies that come with the repository can be planned: every method, setting and earlier result is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.core.registry import find, methods
from assay.studies.plan import content_of
from assay.studies.read import read_study
from assay.studies.schema import Study

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "examples").rglob("study.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_an_example_can_be_planned(path: Path) -> None:
    study = read_study(path)
    assert set(content_of(study)["steps"]) == set(study.steps)


@pytest.fixture(scope="module")
def demo() -> Study:
    return read_study(ROOT / "examples" / "ioi" / "study.yaml")


def test_the_demo_shows_all_that_a_first_study_should(demo: Study) -> None:
    done = {(step.method, step.settings.get("direction")) for step in demo.steps.values()}
    assert done >= {
        ("task_accuracy", None), ("patch_residual", "denoise"), ("patch_components", "denoise"),
        ("patch_components", "noise"), ("patch_heads", "denoise"), ("patch_heads", "noise"),
        ("direct_logit_attribution", None), ("logit_lens", None), ("smallest_heads", None), ("keep_set", None),
        ("head_weight_norms", None), ("attention_patterns", None),
    }  # fmt: skip
    assert len(demo.hypotheses) >= 3


def test_parts_are_found_chosen_and_judged_on_separate_prompts(demo: Study) -> None:
    found = demo.data[demo.steps["heads_enough"].data].split
    chosen = demo.data[demo.steps["chosen"].data].split
    judged = demo.data[demo.steps["kept"].data].split
    assert {found, chosen, judged} == {"train", "validation", "test"}
    assert judged == demo.data[demo.steps["accuracy"].data].split == "test"


def test_methods_are_announced_with_cards() -> None:
    assert {"patch_heads", "keep_set", "logit_lens", "attention_patterns"} <= set(methods())
    for method in methods().values():
        assert method.card.cost and method.card.assumes and method.card.fails_when and method.summary.endswith(".")
    assert set(find("keep_set").takes) == {"chosen", "scores", "rival"}
