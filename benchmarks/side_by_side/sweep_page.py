"""The measured sweeps as Markdown."""

from __future__ import annotations

from typing import Any


def sweep_table(result: dict[str, Any]) -> str:
    """Seconds and ratios; then what assay computed; then one edit on one prompt."""
    lines = [described(result), "", *seconds(result)]
    if any("flops" in row for row in result["rows"].values()):
        lines += ["", *work(result)]
    if result["one_edit"]:
        lines += ["", *latency(result["one_edit"])]
    return "\n".join(lines) + "\n"


def described(result: dict[str, Any]) -> str:
    machine = result["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['threads']} threads, no accelerator; load average "
        f"{machine['load_1_min']} before and {machine['load_1_min_after']} after; prompts of {result['tokens']} tokens; "
        f"medians of {result['rounds']} interleaved rounds, "
        f"{'wall-clock time' if result['clock'] == 'wall' else 'processor time of the process'}. {libraries}. Fastest "
        f"matrix product: {result['gemm_peak'] / 1e9:.0f} GFLOP/s. In brackets the multiple of assay's time. An asterisk: only "
        "some of the cells were run, and their time scaled to all."
    )


def seconds(result: dict[str, Any]) -> list[str]:
    tools = list(dict.fromkeys(tool for row in result["rows"].values() for tool in row["seconds"]))
    lines = ["| | cells | " + " | ".join(tools) + " |", "|---" * (len(tools) + 2) + "|"]
    for name, row in result["rows"].items():
        cells = row.get("cells")
        cells_shown = "–" if cells is None else f"{cells:,}"
        shown = [_seconds(row, tool) for tool in tools]
        lines.append(f"| {name}: {row['title']} | {cells_shown} | " + " | ".join(shown) + " |")
    return lines


def _seconds(row: dict[str, Any], tool: str) -> str:
    if tool not in row["seconds"]:
        return "–"
    took, base = row["seconds"][tool]["median"], row["seconds"]["assay"]["median"]
    shown = f"{took:.2f} s" if took < 100 else f"{took:.0f} s"
    ran = row.get("ran", {}).get(tool)
    star = "\\*" if ran is not None and ran < row["cells"] else ""
    return f"{shown}{star}" if tool == "assay" else f"{shown}{star} ({took / base:.1f})"


def work(result: dict[str, Any]) -> list[str]:
    """What assay's schedule computed, beside the least there is."""
    lines = [
        "| assay | token-layers | GFLOP | the least | of it | of the matrix peak | peak memory | cells the others ran | "
        "largest error |",
        "|---" * 9 + "|",
    ]
    for name, row in result["rows"].items():
        worst = max(row["errors"].values())
        if "flops" not in row:
            continue
        fastest = row["seconds"]["assay"]["median"]
        least = row["least_flops"]
        share = row["flops"] / fastest / result["gemm_peak"]
        ran = ", ".join(f"{count:,}" for count in dict.fromkeys(row["ran"].values()))
        lines.append(
            f"| {name} | {row['token_layers']:,} | {row['flops'] / 1e9:,.1f} | "
            + ("–" if least is None else f"{least / 1e9:,.1f}")
            + " | "
            + ("–" if least is None else f"{row['flops'] / least:.2f}×")
            + f" | {100 * share:.0f} % | {row['peak_bytes'] / 2**20:,.0f} MiB | {ran} | {worst:.0e} |"
        )
    return lines


def latency(timed: dict[str, Any]) -> list[str]:
    """One edit on one prompt, as a multiple of a plain pass."""
    names = list(timed)
    shown = [f"{timed[n]['ratio']:.2f} ({timed[n]['least']:.2f}-{timed[n]['most']:.2f})" for n in names]
    return [
        "| h: one edit on one prompt | " + " | ".join("plain again" if n == "baseline" else n for n in names) + " |",
        "|---" * (len(names) + 1) + "|",
        "| multiple of a plain pass | " + " | ".join(shown) + " |",
    ]
