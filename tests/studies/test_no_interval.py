"""A number that rests on no examples: printed without an interval, without n and without p, in every form, everywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import pytest

from assay.app.comparison_display import show_comparison
from assay.app.study_display import show_conclusion
from assay.core import registry
from assay.core.protocols import Scores
from assay.studies.compare import compare, read_run
from assay.studies.compare.page import comparison_page
from assay.studies.conclusion import read_conclusion
from assay.studies.read import parse_study
from assay.studies.report import gathered, page, read_contents
from assay.studies.report.latex.macros import macros
from assay.studies.report.latex.paper import texts
from assay.studies.report.markdown import markdown
from assay.studies.report.shown import Shown
from assay.studies.run import run_study

from .conftest import Lab

TEXT = """\
title: Counted
question: How few parts are enough?
data: {test: {task: pretended, n: 20, split: test}}
steps:
  found: {method: share_of_parts, data: test, settings: {share: 0.052}}
  rival: {method: share_of_parts, data: test, settings: {share: 0.31}}
hypotheses:
  - id: few
    statement: At most one part in ten is enough.
    quantity: {step: found, coords: {component: all}}
    prediction: "<= 0.1"
    smallest_effect: 0.05
    baselines:
      - {name: another ranking, quantity: {step: rival, coords: {component: all}}}
sensitivity:
  - name: other_choice
    settings: {found: {share: 0.25}}
analysis: {control_time: 0}
"""
NO_INTERVAL = re.compile(r"\[([-−.\d]+), ?\1\]")


@pytest.fixture
def folder(lab: Lab, tmp_path: Path) -> Path:
    card: dict[str, Any] = {
        "gives": Scores, "cites": "doi:1", "cost": "none", "assumes": "nothing", "fails_when": "asked too much",
    }  # fmt: skip

    @registry.method(**card)
    def share_of_parts(model: Any, data: Any, *, share: Annotated[float, "how many"]) -> Scores:
        """A count."""
        return Scores.of({"all": share}, "share of all parts")

    run_study(parse_study(TEXT), tmp_path, sources=lab.sources)
    return tmp_path


@pytest.fixture
def shown(folder: Path) -> Shown:
    return gathered(read_contents(folder))


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_the_conclusion_holds_a_number_and_no_ends(folder: Path) -> None:
    found = read_conclusion(folder)
    (few,) = found.judgements
    assert (few.number.value, few.number.low, few.number.high, few.number.n) == (0.052, None, None, 0)
    assert few.number.text == few.number.short == "0.052 (no interval)" and few.outcome == "supported"
    assert few.p is None and few.p_text == ""
    texts_of = [each.text for each in found.limitations]
    assert "supported here, but refuted under the choices other_choice: 0.25 (no interval)" in texts_of
    assert "the number has no interval: it is one count, on one draw of the prompts" in texts_of
    assert not any("n = 0" in text or NO_INTERVAL.search(text) for text in texts_of)


def test_no_form_of_the_report_shows_one(shown: Shown) -> None:
    latex = texts(shown, list(shown.figures()))
    body = page(shown).partition("<main")[2].partition("<script")[0]
    for text in (body, markdown(shown).replace("\\", ""), *latex.values()):
        assert not NO_INTERVAL.search(text)
        assert not re.search(r"\bn = 0\b", text)
    for text in (plain(page(shown)), markdown(shown).replace("\\", "")):
        assert text.count("0.052 (no interval)") >= 2 and "0.31 (no interval)" in text and "0.25 (no interval)" in text


def test_a_column_that_does_not_apply_has_a_dash(shown: Shown) -> None:
    row = re.search(r'<tr role="row">\s*<th scope="row".*?</tr>', page(shown), re.DOTALL)
    assert row is not None and "≤ 0.1 0.052 (no interval) –" in plain(row[0])
    (line,) = [each for each in markdown(shown).splitlines() if each.startswith("| At most one part in ten")]
    assert [cell.strip() for cell in line.split("|")[3:5]] == ["0.052 (no interval)", "–"]


def test_latex_macros_say_nothing_of_what_is_not_there(shown: Shown) -> None:
    found = macros(shown)
    assert found["numFew"] == "0.052 (no interval)" and found["numFewValue"] == "0.052"
    assert [found[f"numFew{part}"] for part in ("Low", "High", "N", "Level", "P")] == ["--"] * 5
    assert "(n = " not in texts(shown, list(shown.figures()))["main.tex"]


def test_every_row_of_a_latex_table_has_as_many_cells_as_columns(shown: Shown) -> None:
    """`&` stands only between cells: escaped ones are `\\&`."""
    for name, text in texts(shown, list(shown.figures())).items():
        for columns, body in re.findall(r"\\begin\{longtable\}\{@\{\}(.*?)@\{\}\}\n(.*?)\\end", text, re.DOTALL):
            wanted = len(re.sub(r"p\{[^}]*\}", "p", columns))
            rows = [line for line in body.splitlines() if line.endswith(r"\\") and "caption" not in line]
            assert rows, name
            assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {wanted}, name


def test_pictures_have_a_mark_without_whiskers(shown: Shown) -> None:
    drawn = str(dict(shown.figures())["hypothesis-few"].picture)
    assert "0.052 (no interval)" in drawn
    for kind in ("found", "beside", "under"):
        (group,) = re.findall(rf'<g class="{kind}">(.*?)</g>', drawn, re.DOTALL)
        assert "whisker" not in group


def test_the_terminal_and_the_comparison_say_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_conclusion(read_conclusion(folder), folder, title="Counted", holds="")
    told = " ".join(capsys.readouterr().out.split())
    assert "few <= 0.1 0.052 (no interval) supported –" in told
    assert "another ranking 0.31 (no interval)" in told and "under other_choice 0.25 (no interval)" in told
    both = compare([read_run(folder, "one"), read_run(folder, "two")])
    show_comparison(both)
    told = " ".join(capsys.readouterr().out.split())
    text = comparison_page(both)
    for each in (told, plain(text)):
        assert "0.052 (no interval)" in each and not NO_INTERVAL.search(each)
    json.dumps(both.as_data())
