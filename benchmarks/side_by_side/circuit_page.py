"""The circuit methods' table as Markdown."""

from __future__ import annotations

from typing import Any

TARGET = 180
CLOCKS = {"wall": "wall-clock time", "cpu": "processor time of the process"}


def circuits_table(result: dict[str, Any]) -> str:
    """A row for each method: what was run, how long it took, how many plain passes that is, and how near exact it is."""
    machine, rows = result["machine"], result["rows"]
    libraries = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        f"{machine['cores']} cores ({machine['processor']}), {machine['threads']} threads, no accelerator; load average "
        f"{machine['load_1_min']} before and {machine['load_1_min_after']} after; prompts of {result['lengths'][0]} to "
        f"{result['lengths'][-1]} tokens; {CLOCKS[result['clock']]}. {libraries}. {result['edges']:,} edges.",
        "",
        "| | pairs | time | forward passes | for all of it | R² | Spearman | of the top 10 |",
        "|---|--:|--:|--:|--:|---|---|---|",
    ]
    for name, row in rows.items():
        near = result["agreement"].get(name, {})
        cells = [near.get(key, "–") for key in ("r2", "spearman", "recall")]
        lines.append(
            f"| {row['title']}{_of(row)} | {row['pairs']} | {_time(row['seconds'])} | {row['seconds'] / row['plain']:,.0f} | "
            f"{_whole(name, row, result['edges'])} | {' | '.join(cells)} |"
        )
    if "eap_ig" in rows:
        row = rows["eap_ig"]
        lines += [
            "",
            f"EAP-IG over {row['pairs']} pairs took {_time(row['seconds'])}; the target is under {TARGET // 60} minutes for "
            "64 pairs on two cores that do nothing else.",
        ]
    return "\n".join(lines) + "\n"


def _of(row: dict[str, Any]) -> str:
    """How many edges it was."""
    left = f", {row['left']:,} stay" if "left" in row else ""
    return f" ({row['of']:,} edges{left})" if "of" in row else ""


def _whole(name: str, row: dict[str, Any], edges: int) -> str:
    """The time that all of it would take, where only part was run."""
    if "whole" in row:
        return f"{_time(row['seconds'] * row['whole'])} (estimated)"
    if name == "middle":
        return f"{_time(row['seconds'] / row['of'] * edges)} (estimated)"
    return "–"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
