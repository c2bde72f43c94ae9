"""Text under 6 pt as it ends up on the page, through every matrix that it is drawn with."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.studies.paper.pdf_file import Pdf, line, paragraph

from assay.studies.paper.check import check_paper
from assay.studies.paper.glyphs import Run, drawn, times
from assay.studies.paper.opening import open_pdf
from assay.studies.paper.report import Problem

LABELS = "\n".join(line(f"attention head {i}", x=20, y=20 + 30 * i, size=10) for i in range(5))


def small(tmp_path: Path, made: Pdf) -> list[Problem]:
    path = tmp_path / "a.pdf"
    path.write_bytes(made.bytes())
    return [each for each in check_paper(path).problems if each.kind in ("small text", "coarse picture")]


def with_figure(scale: float, *, matrix: str = "[1 0 0 1 0 0]", content: str = LABELS) -> Pdf:
    made = Pdf()
    figure = made.figure(content, matrix=matrix)
    made.page(paragraph(["Text"]))
    made.page(f"{paragraph(['Text'])}\nq {scale} 0 0 {scale} 72 300 cm /X1 Do Q", objects=f"/X1 {figure} 0 R")
    return made


def test_a_figure_that_is_scaled_down(tmp_path: Path) -> None:
    """10 pt in a figure that is drawn at 45 % are 4.5 pt."""
    (problem,) = small(tmp_path, with_figure(0.45))
    assert problem.page == 2 and "down to 4.5 pt: 'attention head 0" in problem.text and "in a figure" in problem.text


@pytest.mark.parametrize(("scale", "found"), [(0.59, 1), (0.6, 0), (0.61, 0), (1.0, 0)])
def test_the_threshold(tmp_path: Path, scale: float, found: int) -> None:
    assert len(small(tmp_path, with_figure(scale))) == found


def test_the_matrix_of_the_figure_itself_counts(tmp_path: Path) -> None:
    assert len(small(tmp_path, with_figure(1.0, matrix="[0.4 0 0 0.4 0 0]"))) == 1
    assert len(small(tmp_path, with_figure(0.5, matrix="[2 0 0 2 0 0]"))) == 0


def test_figures_in_figures(tmp_path: Path) -> None:
    made = Pdf()
    inner = made.figure(LABELS)
    outer = made.figure("q 0.7 0 0 0.7 0 0 cm /X2 Do Q", inner=f"/X2 {inner} 0 R")
    made.page(f"{paragraph(['Text'])}\nq 0.7 0 0 0.7 72 300 cm /X1 Do Q", objects=f"/X1 {outer} 0 R")
    (problem,) = small(tmp_path, made)
    assert "4.9 pt" in problem.text


def test_the_text_matrix_counts_and_turning_does_not(tmp_path: Path) -> None:
    turned = "BT /F1 10 Tf 0 1 -1 0 50 50 Tm (head number one) Tj ET"
    tiny = "BT /F1 1 Tf 4 0 0 4 50 50 Tm (head number one) Tj ET"
    assert small(tmp_path, with_figure(1.0, content=turned)) == []
    assert "4.0 pt" in small(tmp_path, with_figure(1.0, content=tiny))[0].text


def test_indices_are_small_by_right(tmp_path: Path) -> None:
    made = Pdf()
    made.page(
        "\n".join(
            [
                line("x is the sum of W", y=700),
                line("head,layer", x=160, y=697, size=5),
                line("softmax", x=160, y=704, size=5),
            ]
        )
    )
    assert small(tmp_path, made) == []
    made.page("\n".join([line("Text", y=700), line("a footnote in tiny letters", y=100, size=5)]))
    (problem,) = small(tmp_path, made)
    assert problem.page == 2 and "on the page itself" in problem.text


def test_line_numbers_of_review_styles_are_no_text(tmp_path: Path) -> None:
    numbers = [line(f"{54 + i:03d}", x=20, y=700 - 14 * i, size=5) for i in range(40)]
    ticks = [line(str(10 * i), x=300, y=300 + 14 * i, size=5) for i in range(6)]
    made = Pdf()
    made.page("\n".join([paragraph(["Text"]), *numbers]))
    made.page("\n".join([line("Text", y=760), *ticks]))
    assert [each.page for each in small(tmp_path, made)] == [2]


def test_invisible_text_is_not_small(tmp_path: Path) -> None:
    assert small(tmp_path, with_figure(0.3, content=f"3 Tr\n{LABELS}")) == []


def test_pictures_with_few_pixels(tmp_path: Path) -> None:
    for pixels, found in ((100, 1), (1200, 0)):
        made = Pdf()
        picture = made.stream(
            b"\0" * 10,
            f"/Type /XObject /Subtype /Image /Width {pixels} /Height {pixels} /ColorSpace /DeviceGray /BitsPerComponent 8",
        )
        made.page(f"{paragraph(['Text'])}\nq 288 0 0 288 72 300 cm /X1 Do Q", objects=f"/X1 {picture} 0 R")
        problems = small(tmp_path, made)
        assert len(problems) == found
    assert "25 pixels an inch" in small_text(tmp_path)


def small_text(tmp_path: Path) -> str:
    made = Pdf()
    picture = made.stream(
        b"\0", "/Type /XObject /Subtype /Image /Width 100 /Height 100 /ColorSpace /DeviceGray /BitsPerComponent 8"
    )
    made.page(f"{paragraph(['Text'])}\nq 288 0 0 288 72 300 cm /X1 Do Q", objects=f"/X1 {picture} 0 R")
    return small(tmp_path, made)[0].text


def test_a_figure_that_draws_itself_ends(tmp_path: Path) -> None:
    made = Pdf()
    number = len(made.objects) + 1
    figure = made.figure("q 0.9 0 0 0.9 0 0 cm /X1 Do /X1 Do Q", inner=f"/X1 {number} 0 R")
    made.page(f"{paragraph(['Text'])}\n/X1 Do", objects=f"/X1 {figure} 0 R")
    small(tmp_path, made)


def test_type_3_fonts_bring_their_own_units(tmp_path: Path) -> None:
    """A font whose letters are drawn in a box of 40 units, with a matrix of 0.05: its em is 2."""
    made = Pdf()
    font = made.add(
        "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 40 40] /FontMatrix [0.05 0 0 0.05 0 0] /CharProcs << >> "
        "/Encoding << /Differences [] >> /FirstChar 0 /LastChar 0 /Widths [1] >>"
    )
    made.page(
        "BT /F1 10 Tf 72 700 Td (Text) Tj /F3 4 Tf 0 -300 Td (large letters) Tj /F3 2 Tf 0 -300 Td (small letters) "
        "Tj ET"
    )
    made.objects[made.pages[0] - 1] = made.objects[made.pages[0] - 1].replace(
        b"/F1 3 0 R", f"/F1 3 0 R /F3 {font} 0 R".encode()
    )
    (problem,) = small(tmp_path, made)
    assert "4.0 pt: 'small letters'" in problem.text


def test_places_and_sizes_of_runs() -> None:
    made = Pdf()
    made.page(
        "q 2 0 0 2 10 20 cm BT /F1 5 Tf 12 TL 1 0 0 1 3 4 Tm (one) Tj T* (two) Tj 7 0 Td [(th) -500 (ree)] TJ ET Q"
    )
    reader = open_pdf(made.bytes(), "x")
    runs = [each for each in drawn(reader.pages[0], reader) if isinstance(each, Run)]
    assert [(r.text, r.size, r.x, r.y) for r in runs] == [
        ("one", 10, 16, 28),
        ("two", 10, 16, 4),
        ("th ree", 10, 30, 4),
    ]
    assert times((1, 0, 0, 1, 3, 4), (2, 0, 0, 2, 10, 20)) == (2, 0, 0, 2, 16, 28)
