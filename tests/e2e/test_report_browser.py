"""The report in a real browser (extra `e2e` and an installed Chromium): two widths, dark, print, keyboard, no requests."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_and_nothing_is_fetched(opened: Any, width: int, scheme: str) -> None:
    page = opened(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
    assert page.trouble == []


def test_the_keyboard_reaches_everything_in_reading_order(opened: Any) -> None:
    page = opened(viewport={"width": 1280, "height": 900})
    seen, tops = [], []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.tagName.toLowerCase()"))
        if not page.evaluate(
            "!!document.activeElement.closest('body > header') || document.activeElement.matches('.skip')"
        ):
            tops.append(page.evaluate("document.activeElement.getBoundingClientRect().top + scrollY"))
    assert {"a", "button", "summary"} <= set(seen)
    assert "body" not in seen[:-1]
    # side by side columns may step back up by less than a card
    assert all(after > before - 500 for before, after in itertools.pairwise(tops))


def test_a_heatmap_is_read_cell_by_cell_with_the_arrow_keys(opened: Any) -> None:
    page = opened(viewport={"width": 1280, "height": 900})
    grid = page.locator("figure[data-kind=grid] svg.grid").first
    grid.focus()
    assert grid.get_attribute("role") == "application"
    first = page.locator("#tip").text_content()
    page.keyboard.press("ArrowDown")
    second = page.locator("#tip").text_content()
    assert first != second and "layer 1" in second
    page.keyboard.press("Escape")
    assert page.evaluate("document.getElementById('tip').getBoundingClientRect().right") < 0


def test_prompts_are_found_and_tables_sorted(opened: Any) -> None:
    page = opened(viewport={"width": 1280, "height": 900})
    rows = page.locator("#prompts details[open] tbody tr:visible")
    before = rows.count()
    page.locator("#prompts details[open] input").fill("no such words")
    assert before > 0 and rows.count() == 0
    page.locator("#prompts details[open] input").fill("")
    heading = page.locator("#prompts details[open] th").first
    heading.locator("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    numbers = [int(text) for text in page.locator("#prompts details[open] tbody tr td:first-child").all_text_contents()]
    assert numbers == sorted(numbers, reverse=True)


def test_it_prints_light_and_without_what_only_a_screen_needs(opened: Any, tmp_path: Path) -> None:
    page = opened(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator("#theme").is_hidden() and page.locator("nav").is_hidden()
    assert len(page.pdf(path=str(tmp_path / "report.pdf"), format="A4")) > 20_000
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
