"""Pages of main text, limitations, references: each on papers of which the answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.studies.paper.pdf_file import Pdf, line, paragraph, simple

from assay.core.errors import InputError
from assay.studies.paper.check import check_paper
from assay.studies.paper.report import PaperReport

BODY = [f"Line {i} of the text says something about heads." for i in range(30)]
LIMITS = ["6 Limitations", "One model only."]
CITED = ["References", "[1] K. Wang. Interpretability in the wild. 2022."]


def checked(
    tmp_path: Path, *pages: Sequence[str], allowed: int | None = None, camera_ready: bool = False
) -> PaperReport:
    path = tmp_path / "paper.pdf"
    path.write_bytes(simple(*pages))
    return check_paper(path, pages=allowed, camera_ready=camera_ready)


def kinds(report: PaperReport) -> list[tuple[str, int | None]]:
    return [(each.kind, each.page) for each in report.problems]


def test_text_above_the_references_counts_as_a_page(tmp_path: Path) -> None:
    report = checked(tmp_path, BODY, BODY, [*LIMITS, *CITED], ["A Appendix", *BODY], allowed=3)
    assert (report.main_pages, report.pages, report.references, report.appendix) == (3, 4, 3, 4)
    assert kinds(report) == []


def test_references_at_the_top_of_a_page_leave_it_out(tmp_path: Path) -> None:
    assert checked(tmp_path, BODY, [*BODY, *LIMITS], CITED, BODY).main_pages == 2


def test_too_long_and_camera_ready(tmp_path: Path) -> None:
    pages = [BODY, BODY, BODY, [*BODY, *LIMITS], CITED]
    assert kinds(checked(tmp_path, *pages, allowed=3)) == [("too long", 4)]
    assert kinds(checked(tmp_path, *pages, allowed=3, camera_ready=True)) == []
    assert checked(tmp_path, *pages, allowed=3, camera_ready=True).allowed == 4


def test_an_appendix_before_the_references_ends_the_main_text(tmp_path: Path) -> None:
    report = checked(tmp_path, BODY, [*BODY, *LIMITS], ["Appendix", *BODY], BODY, CITED)
    assert report.main_pages == 2 and report.references == 5


@pytest.mark.parametrize(("above", "main"), [([], 2), (["What is said here ends the text."], 3)])
def test_a_lettered_appendix_is_known_where_latex_has_marked_it(tmp_path: Path, above: list[str], main: int) -> None:
    """ "A Proofs" could be a sentence; hyperref's mark says that it begins the appendix, and without it nothing is guessed."""
    for marked in (True, False):
        paper = Pdf()
        pages = [paper.page(paragraph(lines)) for lines in (BODY, [*BODY, *LIMITS], [*above, "A Proofs", *BODY], CITED)]
        if marked:
            paper.catalogue = f"/Dests << /appendix.A [{pages[2]} 0 R /Fit] >>"
        (tmp_path / "paper.pdf").write_bytes(paper.bytes())
        report = check_paper(tmp_path / "paper.pdf")
        assert (report.main_pages, report.appendix) == ((main, 3) if marked else (3, None))


@pytest.mark.parametrize(
    "heading", ["References", "REFERENCES", "R EFERENCES", "7 References", "Bibliography", "7. REFERENCES"]
)
def test_forms_of_the_heading(tmp_path: Path, heading: str) -> None:
    assert checked(tmp_path, BODY, [*LIMITS, "x", heading, "[1] A."], ["[2] B."]).references == 2


def test_the_word_in_a_sentence_is_no_heading(tmp_path: Path) -> None:
    report = checked(tmp_path, ["See the references", "References to heads are many", *BODY], [*LIMITS, *CITED])
    assert report.references == 2


def test_running_heads_page_and_line_numbers_are_no_text(tmp_path: Path) -> None:
    """A page that has only these above the references is none of main text."""
    pages = [["Under review as a conference paper", *BODY, str(n)] for n in (1, 2, 3)]
    pages[2] = ["Under review as a conference paper", *LIMITS, *BODY, "3"]
    last = ["Under review as a conference paper", *CITED, "4"]
    assert checked(tmp_path, *pages, last).main_pages == 3
    numbered = [[f"{54 * p + i:03d} {text}" for i, text in enumerate(BODY)] for p in range(3)]
    assert (
        checked(tmp_path, *numbered, [f"162 {CITED[0]}", *(f"{163 + i} [{i}] A title" for i in range(25))]).main_pages
        == 3
    )


def test_no_references_means_that_all_pages_count(tmp_path: Path) -> None:
    report = checked(tmp_path, BODY, [*BODY, *LIMITS])
    assert report.main_pages == 2 and kinds(report) == [("no references", None)]


@pytest.mark.parametrize(
    "text",
    [
        "6 Limitations",
        "LIMITATIONS",
        "Limitations and future work",
        "5.2 Discussion and Limitations",
        "Limitations. We study one model.",
        "L IMITATIONS",
    ],
)
def test_limitations_are_seen(tmp_path: Path, text: str) -> None:
    assert "no limitations" not in [kind for kind, _ in kinds(checked(tmp_path, [*BODY, text, "We"], CITED))]


@pytest.mark.parametrize(
    "text",
    [
        "this has limitations of its own, as we say",
        "without limitations.",
        "We know the limitations of this and go on here.",
    ],
)
def test_the_mere_word_is_not_enough(tmp_path: Path, text: str) -> None:
    assert ("no limitations", None) in kinds(checked(tmp_path, [*BODY, text], CITED))


def test_limitations_behind_the_main_text_are_noted(tmp_path: Path) -> None:
    report = checked(tmp_path, BODY, CITED, ["A Limitations", "One model."])
    assert kinds(report) == [] and report.notes == ("'Limitations' stands only behind the main text, on page 3.",)


def test_sections_that_some_venues_do_not_count_are_noted(tmp_path: Path) -> None:
    report = checked(tmp_path, [*BODY, *LIMITS], ["Ethics Statement", "None.", *CITED])
    assert report.main_pages == 2 and "'Ethics Statement' on page 2 is counted as main text" in report.notes[0]


def test_broken_references(tmp_path: Path) -> None:
    text = [
        "See Section ?? and Figure ??.",
        "As [?] and [3, ?] and (?) show.",
        "Really?? Yes (sic?). What [is] it?",
        *LIMITS,
    ]
    found = kinds(checked(tmp_path, BODY, text, CITED))
    assert found == [("broken reference", 2)] * 2 + [("undefined citation", 2)] * 3


def test_the_log_beside_the_paper(tmp_path: Path) -> None:
    log = (
        "x\nLaTeX Warning: Citation `wang2022' on page 3 undefined on input line 7.\n\nLaTeX Warning: Reference "
        "`fig:a-very-long-label-that-is-broken-by-latex-at-79-\nletters' on page 4 undefined on input line 9.\n"
    )
    (tmp_path / "paper.log").write_text(log)
    assert kinds(checked(tmp_path, [*BODY, *LIMITS], CITED)) == [("undefined citation", 3), ("broken reference", 4)]


def test_links_to_nowhere(tmp_path: Path) -> None:
    made = Pdf()
    link = "<< /Type /Annot /Subtype /Link /Rect [0 0 9 9] /A << /S /GoTo /D ({}) >> >>"
    made.page(paragraph([*BODY, *LIMITS]), annotations=[link.format("section.1"), link.format("section.9")])
    made.page(paragraph(CITED))
    made.catalogue = f"/Names << /Dests << /Names [(section.1) [{made.pages[0]} 0 R /Fit]] >> >>"
    (tmp_path / "a.pdf").write_bytes(made.bytes())
    (problem,) = check_paper(tmp_path / "a.pdf").problems
    assert problem.kind == "broken reference" and "section.9" in problem.text and problem.page == 1


def test_what_is_no_paper(tmp_path: Path) -> None:
    scan = Pdf()
    scan.page("0 0 10 10 re f")
    for name, data, message in (
        ("a.txt", b"hello", "a.txt is no PDF"),
        ("b.pdf", b"%PDF-1.4 junk", "b.pdf is a broken PDF"),
        ("c.pdf", scan.bytes(), "has no text that can be read"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=message):
            check_paper(tmp_path / name)
    with pytest.raises(InputError, match="is a folder"):
        check_paper(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        check_paper(tmp_path / "none.pdf")


def test_a_broken_page_is_a_problem_with_its_page(tmp_path: Path) -> None:
    made = Pdf()
    made.page(paragraph([*BODY, *LIMITS]))
    made.page(line("x"))
    made.page(paragraph(CITED))
    data = made.bytes()
    at = data.find(b"/FlateDecode", data.find(b"/FlateDecode") + 20)
    (tmp_path / "a.pdf").write_bytes(data[:at] + b"/NoSuchCodec" + data[at + 12 :])
    found = kinds(check_paper(tmp_path / "a.pdf"))
    assert found == [("broken page", 2)]
