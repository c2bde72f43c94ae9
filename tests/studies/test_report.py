"""The report: everything of the run is in it, nothing in it can run or fetch, and it is there whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from assay.core import files
from assay.core.errors import StudyError
from assay.studies.read import parse_study
from assay.studies.report import write_report
from assay.studies.run import Run, run_study

from .conftest import TEXT, Lab

HOSTILE = "</script><script>alert('x')</script><img src=http://evil.example/x onerror=alert(1)> & \u2028 {{ 7*7 }}"


class Page(HTMLParser):
    """The elements and the visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.data: list[str] = []
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append("data" if dict(attrs).get("type") == "application/json" else tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.words.append(data)
        elif self._inside[-1] == "data":
            self.data.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def run(lab: Lab, tmp_path: Path) -> Run:
    return run_study(lab.study, tmp_path, sources=lab.sources)


def read(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_every_hypothesis_with_its_numbers_and_verdict_is_in_the_page(run: Run, tmp_path: Path) -> None:
    text = read(tmp_path).text
    for each in run.conclusion.judgements:
        assert each.statement in text
        assert each.number.text in text
        assert each.outcome in text
        assert all(beside.number.text in text and beside.name in text for beside in each.baselines)
    for limitation in run.conclusion.limitations:
        assert limitation.text in text


def test_every_step_has_its_mean_its_card_and_its_settings(run: Run, tmp_path: Path) -> None:
    text = read(tmp_path).text
    for name, result in run.results.items():
        assert name in text and result.method in text
        assert result.card["fails_when"] in text and result.card["summary"] in text
        for value in result.data["score"].mean("example").values:
            assert f"{value:.2f}".replace("-", "−") in text or f"{value:.3f}".replace("-", "−") in text
    assert "doi:1" in text and "mean 2" in text


def test_where_it_comes_from_is_in_the_page(run: Run, tmp_path: Path) -> None:
    text = read(tmp_path).text
    assert run.plan.hash in text
    assert "sha256:model" in text
    assert "assay study run" in text
    assert all(version in text for version in run.plan.current.versions.values())


def test_text_of_study_and_prompts_is_only_text(lab: Lab, tmp_path: Path) -> None:
    question, statement = json.dumps(HOSTILE), json.dumps(f"Is {HOSTILE} large?")
    text = TEXT.replace("Do the steps work?", question).replace("The first part is large.", statement)
    run_study(parse_study(text), tmp_path, sources=lab.sources)
    line = {"clean": HOSTILE, "corrupt": [1, 2], "answers": [HOSTILE], "template": HOSTILE,
            "positions": {HOSTILE: {"clean": [0, 5], "corrupt": [0, 1]}, "bad": {"clean": [3, 10**9]}, "end": -1}}  # fmt: skip
    (tmp_path / "prompts" / "test.jsonl").write_text(json.dumps(line) + "\nnot json\n")
    page = read(tmp_path)
    assert HOSTILE.split("\u2028")[0].strip() in page.text
    assert "1 lines of the file can't be read" in page.text
    assert not [tag for tag, attrs in page.elements if tag == "img" or any(name.startswith("on") for name in attrs)]
    assert (
        len([tag for tag, attrs in page.elements if tag == "script" and attrs.get("type") != "application/json"]) == 1
    )


def test_nothing_is_fetched_and_no_other_script_may_run(run: Run, tmp_path: Path) -> None:
    page = read(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for tag, attrs in page.elements:
        for name in ("src", "srcset", "data", "poster", "action"):
            assert name not in attrs, (tag, attrs)
        if tag == "link":
            assert attrs["href"] == "data:,"
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style
    policy = next(attrs["content"] for _, attrs in page.elements if attrs.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "script-src 'sha256-" in policy


def test_a_step_whose_numbers_are_gone_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "results" / "second.parquet").unlink()
    (tmp_path / "environment.json").unlink()
    (tmp_path / "prompts" / "test.jsonl").unlink()
    text = read(tmp_path).text
    assert "The numbers of this step are not in the run folder" in text
    assert "the prompts' file is not in the run folder" in text
    assert all(each.number.text in text for each in run.conclusion.judgements)


def test_a_run_that_did_not_end_has_no_report(run: Run, tmp_path: Path) -> None:
    (tmp_path / "conclusion.json").unlink()
    with pytest.raises(StudyError, match="did not come to its end"):
        write_report(tmp_path)


def test_a_study_file_that_is_not_the_plans_is_refused(run: Run, tmp_path: Path) -> None:
    changed = TEXT.replace("second:", "third:").replace("step: second", "step: third")
    (tmp_path / "study.yaml").write_text(changed)
    with pytest.raises(StudyError, match="not the study of the plan"):
        write_report(tmp_path)


def test_an_old_report_stays_when_a_new_one_fails(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write_report(tmp_path).read_bytes()

    def fail(*_: object) -> Iterator[None]:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_rename", fail)
    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))


def test_ids_are_unique_and_links_lead_somewhere(run: Run, tmp_path: Path) -> None:
    page = read(tmp_path)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    inner = [
        href[1:] for tag, attrs in page.elements if tag == "a" and (href := attrs.get("href") or "").startswith("#")
    ]
    assert set(inner) <= set(ids)


def test_a_change_of_plan_is_shown_as_exploratory(lab: Lab, tmp_path: Path) -> None:
    run_study(lab.study, tmp_path, sources=lab.sources)
    changed = parse_study(TEXT.replace('prediction: "< 1"', 'prediction: "> 1"'))
    run_study(changed, tmp_path, sources=lab.sources, amend=True)
    text = read(tmp_path).text
    assert "exploratory" in text
    assert "Deviations from the plan" in text and "changed hypotheses.1.prediction" in text
