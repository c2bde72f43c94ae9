"""The measured sweeps as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from side_by_side.laws import Law, law
from side_by_side.targets import share_of_peak, verdicts

MEBI = 2**20


def sweep_table(result: Mapping[str, Any]) -> str:
    """Seconds and ratios; what was aimed at; what assay computed; memory; one edit on one prompt."""
    lines = [described(result), "", *seconds(result), *left_out(result)]
    lines += ["", "![Time of each tool, as a multiple of assay's](images/sweep-ratios.svg)"]
    lines += ["", *aims(result)]
    if any("flops" in row for row in result["rows"].values()):
        lines += ["", *work(result)]
    lines += ["", *memory(result)]
    if result["one_edit"]:
        lines += ["", *latency(result["one_edit"])]
    return "\n".join(lines) + "\n"


def described(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    after = f" and {machine['load_1_min_after']} after" if "load_1_min_after" in machine else ""
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['threads']} threads, no accelerator; load average "
        f"{machine['load_1_min']} before{after}; prompts of {result['tokens']} tokens; medians of {result['rounds']} "
        f"interleaved rounds, {'wall-clock time' if result['clock'] == 'wall' else 'processor time of the process'}. "
        f"{libraries}. {_products(result)}In brackets the multiple of assay's "
        "time. An asterisk: only some of the cells were run, and their time scaled to all."
    )


def _products(result: Mapping[str, Any]) -> str:
    peaks = [peak / 1e9 for row in result["rows"].values() for peak in row.get("gemm_peaks", ())]
    return f"Fastest matrix products beside each run: {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s. " if peaks else ""


def seconds(result: Mapping[str, Any]) -> list[str]:
    tools = tools_of(result)
    lines = ["| | cells | " + " | ".join(tools) + " |", "|---" * (len(tools) + 2) + "|"]
    for name, row in result["rows"].items():
        cells = row.get("cells")
        cells_shown = "–" if cells is None else f"{cells:,}"
        shown = [_seconds(row, tool) for tool in tools]
        lines.append(f"| {name}: {row['title']} | {cells_shown} | " + " | ".join(shown) + " |")
    return lines


def tools_of(result: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(tool for row in result["rows"].values() for tool in row["seconds"]))


def _seconds(row: Mapping[str, Any], tool: str) -> str:
    if tool not in row["seconds"]:
        return "–"
    took, base = row["seconds"][tool]["median"], row["seconds"]["assay"]["median"]
    shown = f"{took:.2f} s" if took < 100 else f"{took:.0f} s"
    ran = row["ran"].get(tool)
    star = "\\*" if ran is not None and ran < row["cells"] else ""
    return f"{shown}{star}" if tool == "assay" else f"{shown}{star} ({took / base:.1f})"


def left_out(result: Mapping[str, Any]) -> list[str]:
    """Tools that failed or found something else, and why."""
    found = [
        f"{tool} in row {name} ({why})" for name, row in result["rows"].items() for tool, why in row["out"].items()
    ]
    return ["", f"Left out: {'; '.join(found)}."] if found else []


def aims(result: Mapping[str, Any]) -> list[str]:
    """What was aimed at, and whether it was reached."""
    lines = [
        "The targets, against the better of TransformerLens and nnsight with a pass for each cell, as their users run them and "
        "as they ran when the targets were set; nnsight's batched invokes beside them, without a target. In brackets the "
        "least and the most of one round:",
        "",
        "| | target | measured | |",
        "|---|---|---|---|",
    ]
    return lines + [f"| {v.what} | {v.target} | {v.found} | {v.word} |" for v in verdicts(result)]


def work(result: Mapping[str, Any]) -> list[str]:
    """What assay's schedule computed, beside the least there is."""
    lines = [
        "| assay | token-layers | GFLOP | the least | of it | of the matrix peak | cells the others ran | largest error |",
        "|---" * 8 + "|",
    ]
    for name, row in result["rows"].items():
        if "flops" not in row:
            continue
        least = row["least_flops"]
        ran = ", ".join(f"{count:,}" for count in dict.fromkeys(row["ran"].values())) or "–"
        lines.append(
            f"| {name} | {row['token_layers']:,} | {row['flops'] / 1e9:,.1f} | "
            + ("– | –" if least is None else f"{least / 1e9:,.1f} | {row['flops'] / least:.2f}×")
            + f" | {100 * share_of_peak(row):.0f} % | {ran} | {max(row['errors'].values()):.0e} |"
        )
    return lines


def memory(result: Mapping[str, Any]) -> list[str]:
    """The most memory that each process took while it was timed, beyond what it held after loading."""
    tools = tools_of(result)
    lines = [
        "| peak memory beyond the loaded model, MiB | " + " | ".join(tools) + " |",
        "|---" * (len(tools) + 1) + "|",
    ]
    for name, row in result["rows"].items():
        grown = row["grown_bytes"]
        shown = [f"{grown[tool] / MEBI:,.0f}" if tool in grown else "–" for tool in tools]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return lines


def latency(timed: Mapping[str, Any]) -> list[str]:
    """One edit on one prompt, as a multiple of a plain pass: the median, and where the middle half lies."""
    return [
        "| h: one edit on one prompt | " + " | ".join(timed) + " |",
        "|---" * (len(timed) + 1) + "|",
        "| multiple of a plain pass | " + " | ".join(middle_half(each["ratios"]) for each in timed.values()) + " |",
    ]


def middle_half(ratios: list[float]) -> str:
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else [ratios[0]] * 3
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def growth_text(axes: Mapping[str, Any]) -> str:
    """A table of what power the cost follows, the picture, and what it says in words."""
    lines = [
        "![Seconds and token-layers as each thing grows](images/sweep-growth.svg)",
        "",
        "| varied | from | to | seconds | ∝ seconds | ∝ token-layers | ∝ operations | constant | quadratic |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    laws = {name: {key: law(axis["values"], axis[key]) for key in ("seconds", "token_layers", "flops")}
            for name, axis in axes.items()}  # fmt: skip
    for name, axis in axes.items():
        first, last = axis["values"][0], axis["values"][-1]
        slopes = " | ".join(f"x^{laws[name][key].slope:.2f}" for key in ("seconds", "token_layers", "flops"))
        exact = laws[name]["flops"]
        lines.append(
            f"| {axis['title']} | {first} | {last} | {axis['seconds'][0]:.2f} to {axis['seconds'][-1]:.2f} | {slopes} | "
            f"{100 * exact.constant:z.0f} % | {100 * exact.quadratic:z.0f} % |"
        )
    return "\n".join([*lines, "", in_words(axes, {name: each["flops"] for name, each in laws.items()}, laws)]) + "\n"


def in_words(axes: Mapping[str, Any], exact: Mapping[str, Law], laws: Mapping[str, Mapping[str, Law]]) -> str:
    """Which terms are linear: by operations, which are counted and carry no noise; and how far seconds follow them."""
    kinds = {
        kind: [axes[n]["title"] for n, each in exact.items() if each.kind == kind] for kind in ("linear", "quadratic")
    }
    said = []
    if kinds["linear"]:
        said.append(f"Operations grow linearly with {_listed(kinds['linear'])}")
    if kinds["quadratic"]:
        shares = [f"{100 * each.quadratic:z.0f} %" for each in exact.values() if each.kind == "quadratic"]
        said.append(
            f"{'with' if said else 'With'} {_listed(kinds['quadratic'])} they have a quadratic part ({_listed(shares)} of them)"
        )
    gaps = {name: each["seconds"].slope - each["flops"].slope for name, each in laws.items()}
    widest = max(gaps, key=lambda name: abs(gaps[name]))
    how = "more" if gaps[widest] > 0 else "less"
    return (
        f"{'; '.join(said)}. In seconds the power differs most with {axes[widest]['title']}: it is {abs(gaps[widest]):.2f} "
        f"{how} than that of operations"
        + (" (small sweeps wait for each pass's fixed cost)" if how == "less" else "")
        + ". The last two columns are shares of the operations at the largest number, by a fit of a constant, a linear and a "
        "quadratic term; a quadratic part under a tenth counts as linear."
    )


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
