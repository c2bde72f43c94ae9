"""The picture of docs/dictionaries.md: a dictionary beside what it must beat, in the embedded model and before its training.

python scripts/dictionary_picture.py        writes docs/images/dictionary-quality.svg; under a minute on one core
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np

import assay
from assay.core.result import Result
from assay.dictionaries import Recipe, Texts, dictionary_quality, train_dictionary
from assay.stats.bootstrap import Units, bootstrap_statistic
from assay.stats.estimate import Estimate

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "images" / "dictionary-quality.svg"
SITE, TOKENS, PIECES, LENGTH = "L1.resid_post", 6_000, 12, 32
NAMES = ("dictionary", "pca", "random", "mean")
COLOURS = {"trained": "#31549e", "untrained": "#b8651b"}
WIDTH, ROW, LEFT, GAP, TOP = 300, 44, 92, 60, 62


def main() -> None:
    """Train, measure, draw."""
    model = assay.load()
    told = {}
    for weights in ("trained", "untrained"):
        texts, recipe = Texts(corpus="topics", tokens=TOKENS), Recipe(features=512, k=16, epochs=6, batch=256)
        made = train_dictionary(model, None, site=SITE, texts=texts, recipe=recipe, weights=weights)  # type: ignore[arg-type]
        told[weights] = dictionary_quality(model, None, dictionary=made, corpus="topics", pieces=PIECES, length=LENGTH)
        print(weights, *made.facts, sep="\n  ", flush=True)
        for name in NAMES:
            print(
                f"  {name:12} loss recovered {recovered(told[weights], name)}  unexplained {unexplained(told[weights], name)}"
            )
    PICTURE.write_text(_drawn(told), encoding="utf-8")


def recovered(result: Result, name: str) -> Estimate:
    """The share of the loss between zero ablation and the model as it is."""
    loss = result["loss"].transpose("replaced_by", "example")
    zero, here, intact = (loss.sel(replaced_by=each).values for each in ("zero", name, "nothing"))
    return _over_pieces(lambda i: (zero[i].mean() - here[i].mean()) / (zero[i].mean() - intact[i].mean()), len(zero))


def unexplained(result: Result, name: str) -> Estimate:
    """The share of the variance that is left."""
    error = result["error"].transpose("replaced_by", "example")
    here, whole = (error.sel(replaced_by=each).values for each in (name, "mean"))
    return _over_pieces(lambda i: here[i].mean() / whole[i].mean(), len(here))


def _over_pieces(statistic: Any, n: int) -> Estimate:
    return bootstrap_statistic(statistic, [Units(n)], kind="percentile", resamples=1000)


def _drawn(told: dict[str, Result]) -> str:
    panels = (("loss recovered", recovered, (-0.5, 1.0)), ("variance unexplained", unexplained, (0.0, 1.0)))
    parts = []
    for column, (title, measure, ends) in enumerate(panels):
        x0 = LEFT + column * (WIDTH + GAP)
        parts.append(_text(x0, 22, title, size=14, weight="600"))
        for tick in np.linspace(*ends, 4 if column == 0 else 5):
            x = _place(x0, float(tick), ends)
            bottom = TOP + ROW * len(NAMES)
            parts.append(f'<line x1="{x:.1f}" y1="{TOP - 12}" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>')
            parts.append(_text(x, bottom + 16, f"{tick:g}", anchor="middle"))
        for row, name in enumerate(NAMES):
            if column == 0:
                parts.append(_text(LEFT - 10, TOP + ROW * (row + 0.5), name, anchor="end"))
            for offset, (weights, result) in zip((0.28, 0.62), told.items(), strict=True):
                parts.append(
                    _dot(x0, TOP + ROW * (row + offset), measure(result, name), ends=ends, colour=COLOURS[weights])
                )
    for place, (weights, colour) in enumerate(COLOURS.items()):
        parts.append(f'<circle cx="{LEFT + 6 + 170 * place}" cy="38" r="5" fill="{colour}"/>')
        parts.append(_text(LEFT + 18 + 170 * place, 42, f"{weights} model"))
    size = LEFT + 2 * WIDTH + GAP + 30, TOP + ROW * len(NAMES) + 30
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" role="img" '
        'aria-label="Loss recovered and variance unexplained of a dictionary beside its baselines" '
        'font-family="system-ui, sans-serif">\n<rect width="100%" height="100%" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _dot(x0: float, y: float, found: Estimate, *, ends: tuple[float, float], colour: str) -> str:
    """A number with its interval; an arrow head at the frame where it lies beyond."""
    x, low, high = (_place(x0, each, ends) for each in (found.value, found.low, found.high))
    line = f'<line x1="{low:.1f}" y1="{y:.1f}" x2="{high:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-width="2"/>'
    if not ends[0] <= found.value <= ends[1]:
        return line + _text(x, y + 4, f"{found.value:.1f}", anchor="start" if found.value < ends[0] else "end")
    return f'{line}<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'


def _place(x0: float, value: float, ends: tuple[float, float]) -> float:
    return x0 + WIDTH * (min(max(value, ends[0]), ends[1]) - ends[0]) / (ends[1] - ends[0])


def _text(x: float, y: float, text: str, *, anchor: str = "start", **style: Any) -> str:
    size, weight = style.get("size", 12), style.get("weight", "400")
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {where} fill="#222222" font-size="{size}" font-weight="{weight}">{escape(text)}</text>'


if __name__ == "__main__":
    main()
