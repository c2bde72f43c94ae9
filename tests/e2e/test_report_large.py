"""The report in a browser where there is much to show: it stays small enough to open at once, and every text can be read.

Sweeps of 32,000 places and 5,120 heads made 1.4 MB before tables were cut shorter.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

pytestmark = pytest.mark.slow
LAYERS, PLACES, HEADS, EXAMPLES = 80, 400, 64, 16
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def large(report: Path) -> Path:
    """The same run, but two of its steps swept a large model."""
    from assay.studies.report import gathered, page, read_contents

    contents, rng = read_contents(report.parent), np.random.default_rng(0)
    sweep = xr.Dataset(
        {"share": (("layer", "pos", "example"), rng.standard_normal((LAYERS, PLACES, EXAMPLES)))},
        coords={"layer": range(LAYERS), "pos": [f"p{i}" for i in range(PLACES)]},
    )
    heads = [f"L{layer}.H{head}" for layer in range(LAYERS) for head in range(HEADS)]
    scores = xr.Dataset(
        {"score": (("component", "example"), rng.standard_normal((len(heads), EXAMPLES)))}, coords={"component": heads}
    )
    results = dict(contents.results)
    for step, data in (("residual", sweep), ("enough", scores)):
        results[step] = replace(results[step], data=data)
    path = report.parent / "large.html"
    path.write_text(page(gathered(replace(contents, results=results))), encoding="utf-8")
    return path


def test_a_large_result_opens_fast(opened: Any, large: Path) -> None:
    """Size and elements, which do not hang on how busy the machine is, and a time that only a page gone wrong takes."""
    assert large.stat().st_size < 2_000_000
    page = opened(viewport={"width": 1280, "height": 900})
    page.goto(large.as_uri(), timeout=120_000)
    assert page.evaluate("document.querySelectorAll('*').length") < 30_000
    assert page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") < 60_000
    assert page.trouble == []


@pytest.mark.parametrize("keys", [["End"], ["ArrowDown"] * 3])
def test_cells_of_a_large_grid_are_reached(opened: Any, large: Path, keys: list[str]) -> None:
    page = opened(viewport={"width": 1280, "height": 900})
    page.goto(large.as_uri(), timeout=120_000)
    grid = page.locator("#s-residual svg.grid").first
    grid.focus()
    for key in keys:
        page.keyboard.press(key)
    said = page.locator("#tip").text_content()
    assert ("position p396" in said) if keys == ["End"] else "layer 6" in said or "layer 3" in said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_text_has_contrast(opened: Any, width: int, scheme: str) -> None:
    """WCAG AA, 4.5, of what is really shown: backgrounds and opacities of everything around a text are taken together."""
    page = opened(viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert page.evaluate(CONTRAST) == {}


def test_what_has_the_focus_is_seen(opened: Any) -> None:
    page = opened(viewport={"width": 1280, "height": 900})
    for _ in range(25):
        page.keyboard.press("Tab")
        outline = page.evaluate(
            "(() => { const look = getComputedStyle(document.activeElement);"
            " return [look.outlineStyle, look.outlineWidth]; })()"
        )
        assert outline[0] != "none" and float(outline[1].removesuffix("px")) >= 1
