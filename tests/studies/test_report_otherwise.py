"""The verdict under each declared choice stands beside the verdict itself, in every form of the report."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from assay.studies.read import parse_study
from assay.studies.report import gathered, page, read_contents
from assay.studies.report.latex.macros import macros, prefixes
from assay.studies.report.latex.paper import texts
from assay.studies.report.latex.tables import verdict_table
from assay.studies.report.markdown import markdown
from assay.studies.report.shown import Shown
from assay.studies.run import run_study

from .conftest import TEXT, Lab

OTHER = "\nsensitivity:\n  - name: smaller_part\n    settings: {first: {mean: 0.2}}\n"


@pytest.fixture
def shown(lab: Lab, tmp_path: Path) -> Shown:
    """`large` is supported, and refuted under the choice; `small` is below 6, and so under the choice as well."""
    text = TEXT.replace('prediction: "< 1"', 'prediction: "< 6"')
    run_study(parse_study(text + OTHER), tmp_path, sources=lab.sources)
    return gathered(read_contents(tmp_path))


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_the_page_has_it_beside_the_verdict_and_beside_the_number(shown: Shown) -> None:
    text = page(shown)
    verdicts, evidence = (
        text.partition(f'<section id="{name}"')[2].partition("</section>")[0] for name in ("verdicts", "evidence")
    )
    first, second = re.findall(r"<tr role=\"row\">\s*<th scope=\"row\".*?</tr>", verdicts, re.DOTALL)
    assert "under smaller_part : ✗ refuted" in plain(first)
    assert "under smaller_part : ✓ supported" in plain(second)
    other = shown.hypotheses[0].judged.otherwise[0].number.text
    assert re.search(rf"under the choices smaller_part {re.escape(other)} ✗ refuted", plain(evidence))


def test_the_figure_has_a_row_for_each_choice(shown: Shown) -> None:
    judged = shown.hypotheses[0].judged
    drawn = ElementTree.fromstring(str(dict(shown.figures())["hypothesis-large"].picture))
    (row,) = drawn.findall(".//g[@class='under']")
    baseline, found = (drawn.find(f".//g[@class='{kind}']/*[@data-tip]") for kind in ("beside", "found"))
    square = row.find("rect")
    assert square is not None and baseline is not None and found is not None
    assert float(square.attrib["x"]) < float(found.attrib["cx"])  # 0.2 lies left of 1
    assert "under smaller_part: refuted" in {each.text for each in drawn.iter("text")}
    assert judged.otherwise[0].number.text in drawn.attrib["aria-label"]


def test_markdown_has_a_row_in_both_tables(shown: Shown) -> None:
    text = markdown(shown).replace("\\", "")
    number = shown.hypotheses[0].judged.otherwise[0].number.text
    assert re.search(r"^\| – under the choices smaller_part \| \| [-\d.]+ \[.*\] \| \| refuted \|$", text, re.MULTILINE)
    assert f"| under the choices smaller_part | {number}: refuted |" in text


def test_latex_has_macros_and_rows(shown: Shown) -> None:
    found = macros(shown)
    assert found["numLargeUnderAVerdict"] == "refuted" and found["numSmallUnderAVerdict"] == "supported"
    assert found["numLargeUnderA"] != found["numLarge"]
    table = verdict_table(shown, prefixes(shown))
    assert r"\quad under \emph{smaller\_part} &  & \numLargeUnderA &" in table
    main = texts(shown, list(shown.figures()))["main.tex"]
    assert r"\numLargeUnderAVerdict{} with \emph{smaller\_part}" in main


def test_a_choice_that_changes_nothing_speaks_for_it_and_one_that_turns_it_against(shown: Shown) -> None:
    large, small = (each.evidence for each in shown.hypotheses)
    assert any("but refuted under the choices smaller_part" in text for text in large.opposing)
    assert not any("smaller_part" in text for text in large.supporting)
    assert any("Under the choices smaller_part it is supported too" in text for text in small.supporting)


def test_without_choices_nothing_is_said_of_them(lab: Lab, tmp_path: Path) -> None:
    run_study(lab.study, tmp_path, sources=lab.sources)
    plain_shown = gathered(read_contents(tmp_path))
    for text in (
        page(plain_shown).partition("<main")[2],
        markdown(plain_shown),
        verdict_table(plain_shown, {"large": "a", "small": "b"}),
    ):
        assert "nder the choices" not in text and 'class="under' not in text and "other choices" not in text
