"""Measured numbers as Markdown, and their place in a page of the documentation."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import quantile_test


def cell(timing: dict[str, float] | None) -> str:
    """`1.04 (1.01-1.10)`: the median ratio, and the range."""
    return "–" if timing is None else f"{timing['ratio']:.2f} ({timing['least']:.2f}-{timing['most']:.2f})"


def table(result: dict[str, Any]) -> str:
    """One table for each prompt shape: rows of work, columns of libraries."""
    lines = [described(result), ""]
    for title, rows in result["shapes"].items():
        rivals = list(dict.fromkeys(r for row in rows.values() for r in row["timings"] if r != "baseline"))
        plain = min(row["timings"]["baseline"]["seconds"] for row in rows.values())
        lines += [f"**{title}** (a plain forward pass: {1000 * plain:.0f} ms)", ""]
        lines += ["| | rounds | " + " | ".join(["plain again", *rivals]) + " |", "|---" * (len(rivals) + 3) + "|"]
        for name, row in rows.items():
            cells = [cell(row["timings"].get(rival)) for rival in ["baseline", *rivals]]
            lines.append("| " + " | ".join([name, str(row["rounds"]), *cells]) + " |")
        lines += ["", *against(rows, rivals), ""]
    return "\n".join(lines)


def against(rows: Mapping[str, Any], rivals: Sequence[str], ours: str = "assay") -> list[str]:
    """assay's time as a multiple of each other's in the same round: the median, with an interval that holds it in 95 of 100."""
    others = [rival for rival in rivals if rival != ours]
    lines = [f"{ours}'s time over that of", "", "| | " + " | ".join(others) + " |", "|---" * (len(others) + 1) + "|"]
    for name, row in rows.items():
        timings, cells = row["timings"], list[str]()
        for other in others:
            theirs = timings.get(other, {}).get("rounds")
            pairs = zip(timings[ours].get("rounds", ()), theirs or (), strict=False)
            quotients = [mine / other_s for mine, other_s in pairs]
            cells.append(median(quotients) if quotients else "–")
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return lines


def median(values: Sequence[float]) -> str:
    """`0.97 (0.96-0.99)`: from the order of the values alone, whatever they are drawn from."""
    low, high = quantile_test(values, q=1.0, p=0.5).confidence_interval(0.95)
    return f"{statistics.median(values):.3f} ({low:.3f}-{high:.3f})"


def described(result: dict[str, Any]) -> str:
    """What was measured on what, in two sentences."""
    machine, clock = result["machine"], result["clock"]
    libraries = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    seconds = result["load_seconds"]["second"]
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['threads']} threads, no accelerator; load average "
        f"{machine['load_1_min']} before and {machine['load_1_min_after']} after; "
        f"{'wall-clock time' if clock == 'wall' else 'processor time of the process'}. {libraries}. "
        f"`assay.load()` of the embedded model, second time: {seconds:.1f} s."
    )


def corpus_table(result: dict[str, Any]) -> str:
    """The capture of a corpus: a row for each piece of work, a column for each library; tokens a second beside it."""
    machine, rows = result["machine"], result["rows"]
    libraries = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        f"{machine['cores']} cores ({machine['processor']}), {machine['threads']} threads, no accelerator; load average "
        f"{machine['load_1_min']} before and {machine['load_1_min_after']} after; documents of {result['context']} tokens, "
        f"{result['batch']} in a pass; "
        f"{'wall-clock time' if result['clock'] == 'wall' else 'processor time of the process'}. {libraries}.",
        "",
    ]
    names = list(dict.fromkeys(name for row in rows.values() for name in row["timings"]))
    lines += ["| | " + " | ".join("plain again" if n == "baseline" else n for n in names) + " |"]
    lines += ["|---" * (len(names) + 1) + "|"]
    for title, row in rows.items():
        titled = f"{title} ({row['rounds'] * row['tokens']:,} tokens)"
        lines.append("| " + " | ".join([titled, *(cell(row["timings"].get(n)) for n in names)]) + " |")
        speeds = [f"{row['tokens'] / row['timings'][n]['seconds']:,.0f}" if n in row["timings"] else "–" for n in names]
        lines.append("| most tokens a second | " + " | ".join(speeds) + " |")
    return "\n".join(lines) + "\n"


def write_into(page: Path, text: str, name: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- end of name -->`."""
    whole = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if not pattern.search(whole):
        raise SystemExit(f"{page} has no <!-- {name} --> … <!-- end of {name} -->")
    page.write_text(pattern.sub(lambda m: m[1] + text.rstrip() + "\n" + m[2], whole), encoding="utf-8")
