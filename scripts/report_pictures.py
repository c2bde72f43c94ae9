"""Pictures of a finished run's report in a browser: of docs/studies/report.md (two widths, dark, paper), of README.md.

python scripts/report_pictures.py runs/demo       (`make demo` makes that run)

Needs the extra `e2e` and an installed Chromium. Writes docs/images/report.png and report-*.png.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from assay.studies.report import write_report

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SHOWN = ("#s-heads_enough", "#s-heads_needed")
"""The results of the demonstration that README.md shows, under the verdicts."""

COLOURS = 256
"""Enough for flat pages and figures; the files are a third of their size."""


def main() -> None:
    """Write the report again, open it, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--no-sandbox", action="store_true", help="for containers, where Chromium's own can't start")
    given = parser.parse_args()
    chromium = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    address = write_report(given.run).resolve().as_uri()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if given.no_sandbox else []
        )
        _shot(browser, address, "report-wide", {"width": 1200, "height": 900})
        _shot(browser, address, "report-dark", {"width": 1200, "height": 900}, at="#s-residual", color_scheme="dark")
        _shot(browser, address, "report-narrow", {"width": 390, "height": 844})
        _printed(browser, address)
        _short(browser, address)
        browser.close()


def _shot(
    browser: Any, address: str, name: str, size: dict[str, int], *, at: str | None = None, **options: Any
) -> None:
    page = browser.new_context(viewport=size, **options).new_page()
    page.goto(address)
    if at is not None and page.locator(at).count():
        page.locator(at).scroll_into_view_if_needed()
        page.evaluate(f"scrollTo(0, document.querySelector({at!r}).getBoundingClientRect().top + scrollY - 70)")
        page.wait_for_timeout(200)
        page.evaluate(f"document.querySelector({at + ' svg.grid'!r}).focus({{preventScroll: true}})")
        for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
            page.keyboard.press(key)
    page.wait_for_timeout(200)
    page.screenshot(path=IMAGES / f"{name}.png")
    page.context.close()
    _small(IMAGES / f"{name}.png")


def _short(browser: Any, address: str) -> None:
    """The verdicts and two results, without what is between and after them."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(address)
    page.evaluate(
        """shown => {
            const kept = [document.querySelector("#verdicts"), ...shown.map(name => document.querySelector(name))];
            for (const part of document.querySelectorAll("section, #results > *, article, footer"))
                if (!kept.some(other => part.contains(other) || other.contains(part))) part.style.display = "none";
            document.querySelector("#verdicts").style.marginBottom = "24px";
        }""",
        list(SHOWN),
    )
    page.wait_for_timeout(200)
    page.screenshot(path=IMAGES / "report.png", full_page=True)
    page.close()
    _small(IMAGES / "report.png")


def _printed(browser: Any, address: str) -> None:
    """The first page on paper."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(address)
    with tempfile.TemporaryDirectory() as folder:
        paper = Path(folder) / "report.pdf"
        page.pdf(path=paper, format="A4")
        command = [
            "pdftoppm",
            "-png",
            "-r",
            "80",
            "-f",
            "2",
            "-l",
            "2",
            "-singlefile",
            str(paper),
            str(IMAGES / "report-print"),
        ]
        subprocess.run(command, check=True)
    _small(IMAGES / "report-print.png")


def _small(path: Path) -> None:
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(COLOURS)
    few.save(path, optimize=True)
    print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
