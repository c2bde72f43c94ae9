"""All figures of a run in one page that can be zoomed, hovered and filtered: plotly, whose script is in the file itself.

Figures that have no numbers of their own to draw again (a circuit, an attention pattern) are shown as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from assay.studies.report.drawn import Drawn, Numbers, Track
from assay.studies.report.palette import SIGNED_SCALE, TRACKS

PLAIN = {"template": "plotly_white", "colorway": TRACKS, "margin": {"t": 40}, "height": 460}
_MODES = {"lines": "lines+markers", "points": "markers", "scatter": "markers"}
_SYMBOLS = ("circle", "square", "triangle-up", "diamond")


def interactive(figures: Sequence[tuple[str, Drawn]]) -> str:
    """One HTML page that makes no requests.

    Cost: plotly's script is about 5 MB, once.
    """
    from plotly.offline import get_plotlyjs  # half a second to import

    parts = []
    for name, drawn in figures:
        body = _plotly(drawn, name) or Markup("<div class=still>{}</div>").format(drawn.picture)
        parts.append(
            Markup("<section id='{}'><h2>{}</h2>{}<p>{}</p></section>").format(
                name, drawn.title or name, body, drawn.caption
            )
        )
    script = Markup("<script>{}</script>").format(Markup(get_plotlyjs()))
    return str(Markup(_PAGE).format(script=script, style=_style(), parts=Markup("\n").join(parts)))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:;
 script-src 'unsafe-inline'">
<title>Figures</title><style>{style}</style>{script}</head><body><main>
{parts}
</main></body></html>
"""


def _style() -> Markup:
    from assay.studies.report.export.looks import css

    page = "body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:64rem;padding:1rem;background:#fff;color:#1a1d21}"
    return Markup(page + "svg{max-width:100%;height:auto}" + css())


def _plotly(drawn: Drawn, name: str) -> Markup | None:
    import plotly.graph_objects as go

    if drawn.kind == "grid" and drawn.data is not None:
        figure = go.Figure(_heat(drawn.data))
        down, across, _ = drawn.data["names"]
        axes = {
            "xaxis": {"title": across, "type": "category"},
            "yaxis": {"title": down, "type": "category", "autorange": "reversed"},
        }
    elif drawn.numbers is not None:
        numbers = drawn.numbers
        figure = go.Figure([_trace(numbers, track, i) for i, track in enumerate(numbers.tracks)])
        axes = _axes(numbers)
    else:
        return None
    figure.update_layout(**PLAIN, **axes, showlegend=drawn.numbers is not None and len(drawn.numbers.tracks) > 1)
    return Markup(
        figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"plot-{name}", config={"displaylogo": False})
    )


def _axes(numbers: Numbers) -> dict[str, Any]:
    if numbers.kind == "points":
        return {"xaxis": {"title": numbers.x_title}, "yaxis": {"type": "category", "autorange": "reversed"}}
    x: dict[str, Any] = {"title": numbers.x_title}
    x |= {"type": "log"} if numbers.log else {"type": "category"} if numbers.kind == "bars" else {}
    return {"xaxis": x, "yaxis": {"title": numbers.y_title}}


def _heat(data: dict[str, Any]) -> Any:
    import plotly.graph_objects as go

    cells = [value for row in data["values"] for value in row if value is not None]
    most = max(map(abs, cells), default=1.0) or 1.0
    signed = min(cells, default=0.0) < -0.02 * most
    hover = f"{data['names'][0]} %{{y}}<br>{data['names'][1]} %{{x}}<br>%{{z:.4g}}"
    return go.Heatmap(
        z=data["values"], x=data["columns"], y=data["rows"], customdata=data["half"],
        hovertemplate=hover + (" ± %{customdata:.2g}" if data["half"] else "") + "<extra></extra>",
        colorscale=SIGNED_SCALE if signed else "Blues", zmin=-most if signed else None, zmax=most,
    )  # fmt: skip


def _trace(numbers: Numbers, track: Track, i: int) -> Any:
    import plotly.graph_objects as go

    error = None
    if track.low is not None and track.high is not None:
        error = {
            "type": "data", "symmetric": False,
            "array": [high - value for high, value in zip(track.high, track.y, strict=True)],
            "arrayminus": [value - low for low, value in zip(track.low, track.y, strict=True)],
        }  # fmt: skip
    text = None if track.labels is None else [str(escape(each)) for each in track.labels]
    names = [str(escape(each)) if isinstance(each, str) else each for each in track.x]
    if numbers.kind == "bars":
        return go.Bar(x=names, y=track.y, error_y=error, name=str(escape(track.name)))
    across = numbers.kind == "points"
    x, y = (track.y, names) if across else (names, track.y)
    ends = {"error_x": error} if across else {"error_y": error}
    marker = {"symbol": _SYMBOLS[i % 4]}
    return go.Scatter(
        x=x, y=y, mode=_MODES[numbers.kind], name=str(escape(track.name)), text=text, marker=marker, **ends
    )
