"""The report's other forms and its figures as files: the same content, nothing hostile, nothing too large."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from markupsafe import Markup

from assay.core.errors import StudyError
from assay.stats.controls import Comparison, Row
from assay.stats.estimate import Estimate
from assay.studies.folder import RunFolder
from assay.studies.read import parse_study
from assay.studies.report import gathered, page, read_contents, write_report
from assay.studies.report.export import checked_forms, write_figures
from assay.studies.report.export.shapes import shapes_of
from assay.studies.report.markdown import escape
from assay.studies.run import Run, run_study

from .conftest import TEXT, Lab
from .test_report import HOSTILE, Page


@pytest.fixture
def run(lab: Lab, tmp_path: Path) -> Run:
    return run_study(lab.study, tmp_path, sources=lab.sources)


def plain(markdown: str) -> str:
    return re.sub(r"\\([\\`*_\[\]<>|~$#!])", r"\1", markdown)


def test_markdown_says_what_the_page_says(run: Run, tmp_path: Path) -> None:
    text = plain(write_report(tmp_path, form="md").read_text())
    for each in run.conclusion.judgements:
        assert each.statement in text and each.number.text in text and each.outcome in text
        assert all(beside.number.text in text for beside in each.baselines)
    assert all(each.text in text for each in run.conclusion.limitations)
    assert "| second | double (doi:1) |" in text
    for name in re.findall(r"\]\((figures/[^)]*)\)", text):
        ElementTree.fromstring((tmp_path / name).read_text())


def test_markdown_can_not_be_broken_out_of(lab: Lab, tmp_path: Path) -> None:
    quoted = json.dumps(HOSTILE + " | [x](http://evil.example) ![y](z) `c`\n# head")
    text = TEXT.replace("Do the steps work?", quoted).replace("The first part is large.", quoted)
    run_study(parse_study(text), tmp_path, sources=lab.sources)
    (tmp_path / "prompts" / "test.jsonl").write_text(json.dumps({"clean": HOSTILE + "\n| a |", "template": "t"}) + "\n")
    found = write_report(tmp_path, form="md").read_text()
    assert not re.search(r"(?<!\\)<(?!/?details)", found)
    assert "](http" not in found.replace(r"\](http", "")
    assert len(re.findall(r"^# ", found, re.MULTILINE)) == 1
    assert escape("a\nb|c") == r"a b\|c"


def test_figures_are_written_in_every_form(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    paths = write_figures(tmp_path, forms=["svg", "pdf", "png", "html"])
    begins = {".svg": b"<svg", ".pdf": b"%PDF", ".png": b"\x89PNG", ".html": b"<!doctype html>"}
    assert {path.suffix for path in paths} == set(begins)
    assert all(path.read_bytes().startswith(begins[path.suffix]) for path in paths)
    again = write_figures(tmp_path, forms=["pdf"])
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths if path.suffix == ".pdf"]


def test_figures_that_stand_alone_fetch_nothing(run: Run, tmp_path: Path) -> None:
    (page_file,) = write_figures(tmp_path, forms=["html"])
    parsed = Page(page_file.read_text())
    assert not [attrs for _, attrs in parsed.elements if {"src", "srcset", "action"} & set(attrs)]
    policy = next(attrs["content"] for _, attrs in parsed.elements if attrs.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none'")
    for svg in write_figures(tmp_path, forms=["svg"]):
        text = svg.read_text()
        assert "var(" not in text and "url(" not in text
        assert set(re.findall(r"https?://\S+?(?=\")", text)) == {"http://www.w3.org/2000/svg"}


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(StudyError, match="there are svg, pdf, png, html"):
        checked_forms(["gif"])


def test_shapes_have_the_pages_colours_and_places(run: Run, tmp_path: Path) -> None:
    shown = gathered(read_contents(tmp_path))
    drawn = dict(shown.figures())["hypothesis-large"]
    shapes = shapes_of(drawn.picture)
    (found,) = [shape for shape in shapes.shapes if shape.kind == "circle"]
    assert found.look["fill"] == "#0072b2"  # the style sheet's --k0
    place = ElementTree.fromstring(str(drawn.picture)).find(".//circle")
    assert place is not None and found.at == (float(place.attrib["cx"]), float(place.attrib["cy"]))
    assert [shape.text for shape in shapes.shapes if shape.kind == "text"][:2] == ["large", "the other part"]


def test_shapes_follow_their_groups() -> None:
    moved = '<svg viewBox="0 0 9 9"><g transform="translate(3 -2)"><circle cx="1" cy="5" r="2"></circle></g></svg>'
    (found,) = shapes_of(Markup(moved)).shapes
    assert (found.at, found.radius) == ((4.0, 3.0), 2.0)


def compared(standing: float) -> Comparison:
    result, other = Estimate(2.0, 1.8, 2.2, 20, "b"), Estimate(0.1, 0.0, 0.2, 20, "b")
    row = Row(
        "random_component",
        "components drawn at random",
        other,
        Estimate(standing, standing - 0.1, standing + 0.1, 20, "b"),
        20,
    )
    return Comparison("size", result, (row,), (("untrained", "about 9 s more than the controls' time of 4 s"),))


@pytest.mark.parametrize(("standing", "side"), [(1.9, "supporting"), (0.0, "opposing"), (-1.0, "opposing")])
def test_controls_stand_beside_the_hypothesis(run: Run, tmp_path: Path, standing: float, side: str) -> None:
    folder = RunFolder(tmp_path)
    folder.save(type(run.results["first"])(**{**vars(run.results["first"]), "controls": compared(standing).to_json()}))
    shown = gathered(read_contents(tmp_path))
    assert any("Control random component" in text for text in getattr(shown.hypotheses[0].evidence, side))
    text = Page(page(shown)).text
    assert "0.10 [0.00, 0.20]" in text and "untrained was not made: about 9 s" in text
    assert any(figure.title == "Beside its controls" for figure in shown.steps[0].figures)
    assert [each.step for each in shown.hypotheses[1].controls] == ["second"]  # its own, not the first's


def test_estimates_stand_beside_costs(run: Run, tmp_path: Path) -> None:
    line = {"event": "estimate", "step": "first", "seconds": 12.0, "token_layers": 3456}
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n{cut sho")
    cost = gathered(read_contents(tmp_path)).steps[0].cost
    assert (cost.estimated_seconds, cost.estimate) == (12.0, "≥ 12 s, 3,456 token-layers")
    assert "≥ 12 s, 3,456 token-layers" in Page(write_report(tmp_path).read_text()).text


def test_two_steps_that_differ_in_a_declared_choice_are_compared(lab: Lab, tmp_path: Path) -> None:
    run = run_study(lab.study, tmp_path, sources=lab.sources)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 20))
    folder = RunFolder(tmp_path)
    for name, data, value in (("first", rows, "zero"), ("second", rows[::-1], "mean")):
        scores = xr.Dataset(
            {"score": (("component", "example"), data)}, coords={"component": [f"L{i}.mlp" for i in range(6)]}
        )
        changed = {"data": scores, "settings": {"ablation": {"kind": value}}, "method": "measure"}
        folder.save(type(run.results[name])(**{**vars(run.results[name]), **changed}))
    text = (tmp_path / "study.yaml").read_text()
    assert "double" in text
    contents = read_contents(tmp_path)
    steps = dict.fromkeys(("first", "second"), contents.study.steps["first"])
    study = contents.study.model_copy(update={"steps": steps})
    shown = gathered(type(contents)(**{**vars(contents), "study": study}))
    said = [text for group in shown.limits if group.title == "Choices that were declared" for _, text in group.items]
    assert len(said) == 1
    assert "first (zero) and second (mean)" in said[0] and "hangs on this choice" in said[0]


def test_a_large_result_makes_no_large_page(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(32 * 512, 3)).reshape(32, 512, 3)
    data = xr.Dataset({"share": (("layer", "pos", "example"), rows)}, coords={"layer": range(32), "pos": range(512)})
    RunFolder(tmp_path).save(type(run.results["first"])(**{**vars(run.results["first"]), "data": data}))
    lines = [json.dumps({"clean": f"prompt {i} " + "word " * 20, "template": "t"}) for i in range(20_000)]
    (tmp_path / "prompts" / "test.jsonl").write_text("\n".join(lines))
    shown = gathered(read_contents(tmp_path))
    text = page(shown)
    assert len(text) < 2_500_000  # a browser opens this in well under a second
    assert "19500 further prompts" in Page(text).text
    figure = next(each for each in shown.steps[0].figures if each.kind == "grid")
    assert "largest in size of" in figure.caption
    assert figure.data is not None
    values = [cell for row in figure.data["values"] for cell in row]
    assert len(values) <= 4000
    ends = [float(rows.mean(-1).min()), float(rows.mean(-1).max())]
    assert [min(values), max(values)] == pytest.approx(ends, rel=1e-3)  # written with 4 digits; neither sign is lost


def test_headings_go_down_one_level_at_a_time_and_controls_have_names(run: Run, tmp_path: Path) -> None:
    parsed = Page(write_report(tmp_path).read_text())
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    order = [attrs["id"] for tag, attrs in parsed.elements if tag == "section"]
    assert order[:2] == ["verdicts", "evidence"]
    assert not [attrs for _, attrs in parsed.elements if str(attrs.get("tabindex", "0")) not in ("0",)]
    for tag, attrs in parsed.elements:
        if tag == "svg" or attrs.get("role") in ("img", "group", "region"):
            assert attrs.get("aria-label"), (tag, attrs)
        if tag == "th":
            assert attrs.get("scope") in ("col", "row")
    focusable = [
        tag for tag, attrs in parsed.elements if tag in ("a", "button", "summary") or attrs.get("tabindex") == "0"
    ]
    assert focusable[0] == "a"
    first = next(attrs for tag, attrs in parsed.elements if tag == "a")
    assert first["class"] == "skip" and first["href"] == "#verdicts"
