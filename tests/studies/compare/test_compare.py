"""Comparisons of runs in which the difference is planted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.studies.conftest import TEXT as SLOW
from tests.studies.conftest import Lab
from tests.studies.replicas import Place

from assay.app.cli import run as command
from assay.core.errors import StudyError
from assay.studies import steps
from assay.studies.compare import Compared, compare, comparison_page, read_run
from assay.studies.compare.runs import read_runs
from assay.studies.folder import RunFolder
from assay.studies.read import parse_study
from assay.studies.run import run_study

TEXT = SLOW.replace("control_time: 0", "control_time: 0, resamples: 300")
Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(autouse=True)
def _without_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are tested elsewhere, and take most of the time here."""
    monkeypatch.setattr(steps, "controlled", lambda *arguments, **named: None)


def run_of(lab: Lab, folder: Path, text: str = TEXT, change: Change | None = None) -> Compared:
    """A run of the pretended study; `change` makes other numbers of its first step."""
    run = run_study(parse_study(text), folder, sources=lab.sources)
    if change is not None:
        found = run.results["first"]
        data = found.data.copy(deep=True)
        data["score"].values[:] = change(data["score"].values)
        RunFolder(folder).save(replace(found, data=data))
        run_study(parse_study(text), folder, sources=lab.sources)  # judged again, from these numbers
    return read_run(folder)


def test_a_planted_difference_is_found_paired(lab: Lab, tmp_path: Path) -> None:
    """0.1 more for every example: spread between examples of 0.5 is not in the paired interval."""
    one = run_of(lab, tmp_path / "one")
    other = run_of(lab, tmp_path / "other", change=lambda x: x + 0.1 + 0.001 * np.arange(x.shape[1]))
    found = compare([one, other]).against_first("large")[0]
    assert found.paired and found.estimate is not None
    assert found.estimate.value == pytest.approx(0.1 + 0.001 * 9.5)
    assert found.estimate.half_width < 0.01, "the unpaired one would be 0.3 wide"
    assert found.differs
    assert found.equivalent is not None and found.equivalent.inside, (
        "and it is less than 0.5, the smallest that matters"
    )
    assert found.equivalent.p is not None and found.equivalent.p < 0.01


def test_other_prompts_are_not_paired(lab: Lab, tmp_path: Path) -> None:
    one = run_of(lab, tmp_path / "one")
    other = run_of(lab, tmp_path / "other", TEXT.replace("n: 20", "n: 20, seed: 3"), change=lambda x: x + 0.1)
    found = compare([one, other]).against_first("large")[0]
    assert not found.paired and found.estimate is not None
    assert 0.2 < found.estimate.half_width < 0.5  # 0.5 · √(2 / 20) · t
    assert found.equivalent is not None and found.equivalent.p is None


def test_which_claims_hold_where(lab: Lab, tmp_path: Path) -> None:
    runs = [
        run_of(lab, tmp_path / "a"),
        run_of(lab, tmp_path / "b", change=lambda x: x - 2.0),
        run_of(lab, tmp_path / "c"),
    ]
    found = compare(runs)
    large, small = found.claims
    assert (large.where, large.supported) == ("somewhere", ("a", "c"))
    assert small.where == "nowhere"
    assert [None if cell is None else cell.outcome for cell in large.cells] == ["supported", "refuted", "supported"]
    apart = {each.second: each for each in found.against_first("large")}
    assert apart["b"].equivalent is not None and not apart["b"].equivalent.inside
    assert apart["c"].estimate is not None and apart["c"].estimate.value == 0


def test_what_is_not_the_same_question_is_not_subtracted(lab: Lab, tmp_path: Path) -> None:
    other_quantity = TEXT.replace(
        "quantity: {step: first, coords: {component: L0.H0}}", "quantity: {step: first, over: max}", 1
    )
    other_text = TEXT.replace('prediction: ">= 1"', 'prediction: ">= 1.5"').replace("id: small", "id: tiny")
    runs = [
        run_of(lab, tmp_path / name, text) for name, text in (("a", TEXT), ("b", other_quantity), ("c", other_text))
    ]
    found = compare(runs)
    large = {each.second: each for each in found.against_first("large")}
    assert (large["b"].estimate, large["b"].why_not) == (None, "the two runs measure different quantities")
    assert large["c"].estimate is not None
    assert {each.hypothesis: each.unlike for each in found.claims} == {
        "large": ("prediction",),
        "small": (),
        "tiny": (),
    }
    small = {each.second: each.why_not for each in found.against_first("small")}
    assert small["c"] == "only a asks it"


def yes_or_no(lab: Lab, folder: Path, wrong: int) -> Compared:
    """A run whose hypothesis is a share of examples, of which so many are not."""
    text = TEXT.replace("quantity: {step: first, coords: {component: L0.H0}}",
                        'quantity: {step: first, coords: {component: L0.H0}, counts: "> 0"}', 1)  # fmt: skip

    def change(values: np.ndarray) -> np.ndarray:
        values = np.abs(values) + 0.1
        values[0, :wrong] = -1.0
        return values

    return run_of(lab, folder, text, change)


def test_answers_that_never_differ_are_not_known_to_the_last_digit(lab: Lab, tmp_path: Path) -> None:
    """Twenty examples alike: a difference on one in eight could have been missed."""
    one, other = yes_or_no(lab, tmp_path / "one", 3), yes_or_no(lab, tmp_path / "other", 3)
    found = compare([one, other]).against_first("large")[0].equivalent
    assert found is not None
    assert found.estimate.high == pytest.approx(1 - 0.05 ** (1 / 20))
    assert found.inside
    third = yes_or_no(lab, tmp_path / "third", 15)
    apart = compare([one, third]).against_first("large")[0]
    assert apart.differs and apart.equivalent is not None and not apart.equivalent.inside


def test_a_difference_of_two_numbers_is_paired_too(lab: Lab, tmp_path: Path) -> None:
    both = "{difference: [{step: first, coords: {component: L0.H0}}, {step: first, coords: {component: L0.H1}}]}"
    text = TEXT.replace("{step: first, coords: {component: L0.H0}}", both, 1)
    one = run_of(lab, tmp_path / "one", text)
    other = run_of(lab, tmp_path / "other", text, change=lambda x: x * np.array([[1.0], [0.0]]))
    found = compare([one, other]).against_first("large")[0]
    assert found.paired and found.estimate is not None
    assert found.estimate.value == pytest.approx(
        float(one.numbers["first"].data["score"].sel(component="L0.H1").mean())
    )


def seeded(lab: Lab, folder: Path, shifts: list[float]) -> list[Compared]:
    """Runs of several seeds, each with something of its own added."""
    return [
        run_of(lab, folder / f"s{i}", TEXT.replace("n: 20", f"n: 20, seed: {i}"), change=lambda x, s=shift: x + s)  # type: ignore[misc]
        for i, shift in enumerate(shifts)
    ]


def test_seeds_are_a_random_effect(lab: Lab, tmp_path: Path) -> None:
    """Each seed supports it by its own interval; between seeds it moves by more than it is above the prediction."""
    found = compare(seeded(lab, tmp_path, [-0.6, 0.1, 2.0, -0.5]))
    large = found.over_seeds("large")[0]
    assert large.by_seed == ("supported",) * 4 and large.outcome == "inconclusive"
    assert large.effect.sd_seed == pytest.approx(1.25, abs=0.3) and large.effect.sd_example is None
    steady = compare(seeded(lab, tmp_path / "steady", [0.0, 0.01, 0.0, 0.02])).over_seeds("large")[0]
    assert steady.outcome == "supported"
    assert steady.effect.mean.level == found.runs[0].contents.conclusion.judgements[0].number.level, "corrected"


def test_two_seeds_or_another_model_are_no_group(lab: Lab, tmp_path: Path) -> None:
    assert compare(seeded(lab, tmp_path / "two", [0.0, 0.1])).seeds == ()
    runs = seeded(lab, tmp_path / "three", [0.0, 0.1])
    lab.fingerprint = "sha256:another"
    runs += [run_of(lab, tmp_path / "third", TEXT.replace("n: 20", "n: 20, seed: 7"))]
    assert compare(runs).seeds == ()


def test_runs_that_have_nothing_in_common(lab: Lab, tmp_path: Path) -> None:
    one = run_of(lab, tmp_path / "one")
    text = TEXT.replace("id: large", "id: a").replace("id: small", "id: b")
    with pytest.raises(StudyError, match="no hypothesis in common"):
        compare([one, run_of(lab, tmp_path / "other", text)])
    with pytest.raises(StudyError, match="two runs or more"):
        compare([one])
    with pytest.raises(StudyError, match="There is no"):
        read_run(tmp_path / "nowhere")


def test_added_later_is_said_everywhere(lab: Lab, tmp_path: Path) -> None:
    run_of(lab, tmp_path / "a")
    later = parse_study(TEXT.replace('prediction: "< 1"', 'prediction: "< 9"'))
    run_study(later, tmp_path / "a", sources=lab.sources, amend=True)
    found = compare(read_runs([tmp_path / "a", tmp_path / "a"]))
    assert [each.exploratory for each in found.claims] == [False, True]
    assert [run.name for run in found.runs] == ["a", "a (2)"]
    assert comparison_page(found).count("exploratory</span>") == 1
    assert found.as_data()["claims"][1]["exploratory"] is True


def test_the_page_is_whole_and_alone(lab: Lab, tmp_path: Path) -> None:
    hostile = TEXT.replace("title: Pretended", 'title: "<script>alert(1)</script>"')
    found = compare([run_of(lab, tmp_path / "a", hostile), run_of(lab, tmp_path / "b", hostile, lambda x: x + 1)])
    page = comparison_page(found)
    assert "<script" not in page and "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert "&lt;script&gt;alert(1)" in page and "default-src &#39;none&#39;" in page.replace("'", "&#39;")
    assert page.count("<svg") == 2 and 'id="h-large"' in page


def test_the_command_takes_folders_and_bundles(
    replica: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert command(["study", "compare", str(replica.run), str(replica.bundle), "--html", str(page)]) == 0
    shown = capsys.readouterr().out
    assert "run (2)" in shown and "paired" in shown and "nowhere" in shown
    assert page.exists()
    assert command(["study", "compare", str(replica.run), str(replica.bundle), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differences"][0]["difference"]["value"] == 0 and found["differences"][0]["paired"]
    assert command(["study", "compare", str(replica.run)]) == 1
    assert "two runs or more" in capsys.readouterr().err
