"""What assay should reach in each row, and whether it did, against the better of TransformerLens and nnsight."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PEERS = ("TransformerLens", "nnsight")
"""As their users run them, and as they ran when the targets were set: a pass for each cell. The faster one counts."""

BATCHED = "nnsight, invokes"
"""A batch of cells as one trace: shown beside, with no target of its own."""

FASTER: Mapping[str, float] = {"a": 60, "a′": 18, "b": 15, "b′": 15, "c": 15, "d": 20, "e": 2, "g": 4}
LATENCY, OPERATIONS, PEAK = 1.05, 1.10, 0.75
SHARES = ("a", "b", "c")
"""Rows whose share of the matrix peak has a target."""


@dataclass(frozen=True)
class Verdict:
    """One target, what was measured, and whether it was met; None where there is nothing to compare with."""

    what: str
    target: str
    found: str
    met: bool | None

    @property
    def word(self) -> str:
        return "–" if self.met is None else "met" if self.met else "**missed**"


def better(seconds: Mapping[str, Any]) -> str | None:
    """Which of the peers was fastest in a row."""
    present = [name for name in PEERS if name in seconds]
    return min(present, key=lambda name: float(seconds[name]["median"])) if present else None


def ratios(row: Mapping[str, Any], tool: str) -> tuple[float, float, float]:
    """How many times assay's time a tool took: of the medians, and the least and the most of one round."""
    seconds = row["seconds"]
    each = [theirs / ours for theirs, ours in zip(seconds[tool]["all"], seconds["assay"]["all"], strict=True)]
    middle = seconds[tool]["median"] / seconds["assay"]["median"]
    return middle, min(each), max(each)


def verdicts(result: Mapping[str, Any]) -> list[Verdict]:
    """Every target of the rows that were measured."""
    rows = result["rows"]
    found = [each for name, target in FASTER.items() if name in rows for each in _faster(name, rows[name], target)]
    if "assay" in result["one_edit"]:
        middle = statistics.median(result["one_edit"]["assay"]["ratios"])
        found.append(
            Verdict("h: one edit, of a plain pass", f"≤ {LATENCY:.2f}×", f"{middle:.2f}×", round(middle, 2) <= LATENCY)
        )
    counted = {name: row["flops"] / row["least_flops"] for name, row in rows.items() if row.get("least_flops")}
    if counted:
        shown = ", ".join(f"{name} {value:.2f}" for name, value in counted.items())
        met = round(max(counted.values()), 2) <= OPERATIONS  # as it is shown
        found.append(Verdict("operations, of the least", f"≤ {OPERATIONS:.2f}×", shown, met))
    shares = {name: share_of_peak(rows[name]) for name in SHARES if name in rows}
    if shares:
        shown = ", ".join(f"{name} {100 * value:.0f} %" for name, value in shares.items())
        found.append(Verdict("share of the matrix peak", f"≥ {100 * PEAK:.0f} %", shown, min(shares.values()) >= PEAK))
    return found


def share_of_peak(row: Mapping[str, Any]) -> float:
    """Operations a second in a row, of those of the fastest matrix product just before and after: median of rounds."""
    rounds = zip(row["seconds"]["assay"]["all"], row["gemm_peaks"], strict=True)
    return float(statistics.median(row["flops"] / seconds / peak for seconds, peak in rounds))


def _faster(name: str, row: Mapping[str, Any], target: float) -> list[Verdict]:
    peer = better(row["seconds"])
    if peer is None:
        return [Verdict(f"{name}: faster", f"≥ {target:g}×", "no peer ran it", None)]
    middle, shown = _shown(row, peer)
    found = [Verdict(f"{name}: faster than {peer}", f"≥ {target:g}×", shown, middle >= target)]
    if BATCHED in row["seconds"]:
        found.append(Verdict(f"{name}: beside {BATCHED}", "–", _shown(row, BATCHED)[1], None))
    return found


def _shown(row: Mapping[str, Any], tool: str) -> tuple[float, str]:
    middle, least, most = ratios(row, tool)
    return middle, f"{middle:.1f}× ({least:.1f}-{most:.1f})"
