"""What a person sees of a store: a line for each entry, and one entry whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.app.amounts import shown
from assay.app.result_display import show as show_result
from assay.app.result_display import summary
from assay.core.result import Result
from assay.engine.store.cleaning import bytes_of, last_used
from assay.engine.store.entry import About, Entry
from assay.engine.store.notices import DamagedError, reason

LONG = 600
"""Letters of an experiment's JSON that are shown to people."""


def row(entry: Entry) -> dict[str, Any]:
    """An entry in short; nothing but its description is read."""
    about, problem = _about(entry)
    return {
        "key": entry.key,
        "state": "finished" if entry.results else "unfinished",
        "model": about and about.model,
        "engine": about and about.facts.get("engine"),
        "experiment": about and _experiment(about),
        "variants": about and about.variants,
        "examples": about and about.examples,
        "created": about and about.created,
        "used": datetime.fromtimestamp(last_used(entry.folder), UTC).isoformat(timespec="seconds"),
        "parts": len(entry.parts),
        "set_aside": len(entry.aside),
        "bytes": bytes_of(entry.folder),
        "problem": problem,
    }


def contents(entry: Entry) -> dict[str, Any]:
    """All that an entry has, as plain data."""
    about, _ = _about(entry)
    result, problems = _result(entry)
    done, trouble = (0, []) if result is not None else _pieces(entry)
    return {
        **row(entry),
        "about": None if about is None else about.model_dump(mode="json"),
        "pieces": {"finished": done, "of": 0 if about is None else about.variants * about.groups},
        "damaged": [*problems, *trouble],
        "result": None if result is None else summary(result),
    }


def show_rows(rows: list[dict[str, Any]], root: Path) -> None:
    """Print a table of entries."""
    if not rows:
        typer.echo(f"nothing is kept in {root}")
        return
    table = Table(
        "key", "state", "model", "experiment", "variants", "size", "last used", box=None, padding=(0, 2, 0, 0)
    )
    for each in rows:
        state = each["state"] if each["state"] == "finished" else f"{each['parts']} parts"
        table.add_row(
            each["key"][:12],
            state,
            Text(each["model"] or each["problem"] or "not described"),
            Text(each["experiment"] or ""),
            "" if each["variants"] is None else f"{each['variants']:,}",
            shown(each["bytes"]),
            each["used"][:16].replace("T", " "),
        )
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=120)).print(table)
    typer.echo(f"{len(rows)} in {root}, {shown(sum(each['bytes'] for each in rows))}")


def show_entry(entry: Entry) -> None:
    """Print one entry."""
    found, about = contents(entry), _about(entry)[0]
    typer.echo(f"{entry.key}, {found['state']}, {shown(found['bytes'])}")
    for line in [found["problem"] or "not described"] if about is None else _lines(about):
        typer.echo(f"  {line}")
    for problem in found["damaged"]:
        typer.echo(f"  damaged: {problem}")
    result, _ = _result(entry)
    if result is None:
        pieces = found["pieces"]
        typer.echo(f"  {pieces['finished']:,} of {pieces['of']:,} pieces are finished: run it again to go on")
    else:
        typer.echo("")
        show_result(result, entry.results[0])


def _lines(about: About) -> list[str]:
    facts = {name: value for name, value in about.facts.items() if name not in ("engine", "format") and value}
    return [
        f"{about.model}, engine {about.facts.get('engine')}, begun {about.created}",
        f"{_experiment(about)}: {about.variants:,} variants, {about.examples:,} examples",
        _short(json.dumps(about.experiment, ensure_ascii=False)),
        *(f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in facts.items()),
    ]


def _short(text: str) -> str:
    return text if len(text) <= LONG else f"{text[:LONG]} … (--json shows it whole)"


def _experiment(about: About) -> str:
    """What is swept, and what is measured."""
    axes = [axis["name"] for axis in (about.experiment.get("sweep") or {}).get("axes", [])]
    metrics = [metric.get("name") or metric.get("kind") for metric in about.experiment.get("metrics", [])]
    captures = [
        c.get("name") or c.get("site") for run in about.experiment.get("runs", {}).values() for c in run["captures"]
    ]
    return f"{', '.join([*metrics, *captures])}{' over ' + ' × '.join(axes) if axes else ''}"


def _about(entry: Entry) -> tuple[About | None, str | None]:
    try:
        return entry.about(), None
    except DamagedError as error:
        return None, str(error)
    except OSError as error:
        return None, f"cannot be read: {reason(error)}"


def _result(entry: Entry) -> tuple[Result | None, list[str]]:
    problems: list[str] = []
    for path in entry.results:
        try:
            return entry.read_result(path), problems
        except (DamagedError, OSError) as error:
            problems.append(str(error))
    return None, problems


def _pieces(entry: Entry) -> tuple[int, list[str]]:
    """How many variants for a group of examples are finished, each counted once."""
    done: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    problems = []
    for path in entry.parts:
        try:
            done |= {(piece.rows, variant) for piece in entry.read_part(path).pieces for variant in piece.variants}
        except FileNotFoundError:
            continue
        except (DamagedError, OSError) as error:
            problems.append(str(error))
    return len(done), problems
