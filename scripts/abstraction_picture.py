"""The picture of docs/circuits/abstraction.md: IIA by layer and position, in the small model of that page.

python scripts/abstraction_picture.py        writes docs/images/abstraction-iia.svg; about two minutes
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

import xarray as xr

from assay.circuits.abstraction import Training, das, interchange

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "circuits" / "abstraction.md"
PICTURE = ROOT / "docs" / "images" / "abstraction-iia.svg"
CELL, TOP, LEFT, GAP = (74, 34), 58, 66, 34


def main() -> None:
    """Train the page's model, measure, draw."""
    model, data = _of_page()
    where: dict[str, Any] = {"sites": ("resid_pre", "L2.resid_post"), "positions": data.positions}
    whole = interchange(model, data, **where)
    found = das(model, data, rank=2, training=Training(epochs=25, batch=32), **where)
    grids = [
        ("everything", whole["iia"]),
        ("DAS, two dimensions", found["iia"]),
        ("DAS, shuffled weights", found["untrained"]),
    ]
    PICTURE.write_text(_drawn(grids, data.positions), encoding="utf-8")
    print(PICTURE.relative_to(ROOT), found["iia"].values.round(2).tolist())


def _of_page() -> tuple[Any, Any]:
    """The model and the data as the page's first blocks make them."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    space: dict[str, Any] = {}
    for block in blocks[:2]:
        exec(compile(block, str(PAGE), "exec"), space)
    return space["model"], space["data"]


def _drawn(grids: list[tuple[str, xr.DataArray]], positions: tuple[str, ...]) -> str:
    """A row of heatmaps for each variable."""
    variables = [str(name) for name in grids[0][1]["variable"].values]
    sites = [str(name) for name in grids[0][1]["site"].values]
    width, height = CELL[0] * len(positions), CELL[1] * len(sites)
    parts = []
    for row, variable in enumerate(variables):
        for column, (title, values) in enumerate(grids):
            x, y = LEFT + column * (width + GAP), TOP + row * (height + 62)
            parts.append(_text(x, y - 24, f"{variable}: {title}", size=13, weight="600"))
            parts += [_text(x + (j + 0.5) * CELL[0], y - 7, name, anchor="middle") for j, name in enumerate(positions)]
            if column == 0:
                parts += [_text(x - 8, y + (i + 0.62) * CELL[1], _layer(s), anchor="end") for i, s in enumerate(sites)]
            for i, site in enumerate(sites):
                for j, name in enumerate(positions):
                    value = float(values.sel(variable=variable, site=site, pos=name))
                    parts.append(_cell(x + j * CELL[0], y + i * CELL[1], value))
    total = LEFT + len(grids) * (width + GAP), TOP + len(variables) * (height + 62)
    said = "Interchange intervention accuracy by layer and position"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total[0]} {total[1] - 44}" role="img" '
        f'aria-label="{said}" font-family="system-ui, sans-serif">\n'
        '<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _layer(site: str) -> str:
    return "end" if site.endswith("post") else f"before {site.partition('.')[0]}"


def _cell(x: float, y: float, value: float) -> str:
    share = max(0.0, min(1.0, (value - 0.3) / 0.7))
    red, green, blue = (round(255 + share * (to - 255)) for to in (49, 84, 158))
    ink = "#ffffff" if share > 0.55 else "#222222"
    box = f'<rect x="{x}" y="{y}" width="{CELL[0] - 2}" height="{CELL[1] - 2}" fill="rgb({red},{green},{blue})"/>'
    return box + _text(x + CELL[0] / 2, y + 22, f"{value:.2f}", anchor="middle", fill=ink, size=13)


def _text(x: float, y: float, text: str, *, anchor: str = "start", fill: str = "#222222", **style: Any) -> str:
    size, weight = style.get("size", 12), style.get("weight", "400")
    where = f'x="{x}" y="{y}" text-anchor="{anchor}"'
    return f'<text {where} fill="{fill}" font-size="{size}" font-weight="{weight}">{escape(text)}</text>'


if __name__ == "__main__":
    main()
