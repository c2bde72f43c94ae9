"""What `assay dictionary` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from assay.core.result import Result


def show_trained(made: Any, folder: Path, *, as_json: bool) -> None:
    """A dictionary that was trained."""
    numbers = {name: float(value) for name, value in made.to_dataset().data_vars.items() if not value.dims}
    last = float(made.measured["unexplained"][-1])
    if as_json:
        told = {
            "dictionary": str(folder),
            "features": len(made),
            "unexplained": last,
            **numbers,
            "facts": list(made.facts),
        }
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{folder}: {len(made)} features of {made.site}, {numbers['active']:.1f} on a token")
    typer.echo(f"  variance unexplained on the last training tokens  {last:.3f}")
    for fact in made.facts:
        typer.echo(f"  {fact}")


def show_quality(result: Result, saved: str | None, *, as_json: bool) -> None:
    """What a dictionary reconstructs, beside its baselines."""
    loss, error = (result[name].mean("example") for name in ("loss", "error"))
    names = [str(each) for each in result.data["replaced_by"].values]
    zero, intact = (float(loss.sel(replaced_by=name)) for name in ("zero", "nothing"))
    spread = float(error.sel(replaced_by="mean")) if "mean" in names else None
    rows = {}
    for name in names:
        here, missed = float(loss.sel(replaced_by=name)), float(error.sel(replaced_by=name))
        recovered = (zero - here) / (zero - intact) if zero != intact else None
        rows[name] = {"loss": here, "loss_recovered": recovered, "unexplained": missed / spread if spread else None}
    active, dead = float(result["active"].mean()), float(result["dead_share"])
    facts = list(result.provenance.facts)
    if as_json:
        told = {"replaced_by": rows, "active": active, "dead_share": dead, "saved": saved, "facts": facts}
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{'replaced by':12} {'loss':>7} {'loss recovered':>15} {'variance unexplained':>21}")
    for name, row in rows.items():
        shown = ["–" if row[key] is None else f"{row[key]:.3f}" for key in ("loss_recovered", "unexplained")]
        typer.echo(f"{name:12} {row['loss']:7.3f} {shown[0]:>15} {shown[1]:>21}")
    typer.echo(f"{active:.1f} features on a token; {dead:.1%} fire on none of these tokens")
    for fact in [*facts, *([f"saved in {saved}"] if saved else [])]:
        typer.echo(f"  {fact}")


def show_explanation(told: Any) -> None:
    """One feature."""
    typer.echo(
        f"{told.feature}: fires on {told.frequency:.2%} of {told.tokens:,} tokens, {told.mean_active:.3g} on average"
    )
    typer.echo("strongest examples")
    for each in told.examples:
        text = f"{each.before}⟦{each.token}⟧{each.after}".replace("\n", "⏎")
        typer.echo(f"  {each.activation:8.3g}  {text}")
    typer.echo("fires on  " + ", ".join(f"{token!r} {count}" for token, count in told.fires_on))
    for name, rows in (("promotes", told.promotes), ("suppresses", told.suppresses)):
        typer.echo(f"{name}  " + ", ".join(f"{token!r} {value:+.2f}" for token, value in rows))
