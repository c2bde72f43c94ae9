"""Sweeps of patches side by side: assay's schedule, loops and batches of hooks by hand, and the other libraries.

    .venv-peers/bin/python benchmarks/sweeps.py [--rounds 3] [--cells 16] [--pairs 32] [--threads 2] [--full]
        [--json results.json] [--page docs/benchmarks.md]

The rows: patches of the residual stream, of heads, of MLP and attention outputs, path patching, attribution patching,
steered generation, and one edit on one prompt. assay runs all cells. The others run one pass for each cell, whatever the
cell, so they run `--cells` of them, spread over the grid, and their time is scaled to the whole; where this was done the
table says so. Before anything is timed, every tool's numbers at those cells are compared with those of assay's naive
engine. In every round each tool runs once, in a new order; shown are medians. The model is the embedded one in float32.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from side_by_side import attribution, contestants, steering
from side_by_side.by_hooks import HookBatches, HookLoop
from side_by_side.by_nnsight import NNsightLoop
from side_by_side.by_transformer_lens import TransformerLens
from side_by_side.least import least
from side_by_side.machine import machine, peak, versions
from side_by_side.page import write_into
from side_by_side.rounds import Clock, measure
from side_by_side.sweep_page import sweep_table
from side_by_side.sweep_rows import Part, Row, rows, spread

import assay

TOLERANCE = 2e-4  # of the largest number: some rivals use another attention kernel
BUILDERS = {
    "loop by hand": ("torch", HookLoop),
    "batches by hand": ("torch", HookBatches),
    "TransformerLens": ("transformer_lens", TransformerLens),
    "nnsight": ("nnsight", NNsightLoop),
}


def close(tool: str, found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference, of the largest number; stop if it is too large."""
    difference = float((found.reshape(wanted.shape) - wanted).abs().max() / wanted.abs().max())
    assert difference <= TOLERANCE, f"{tool}: {difference:.1e} from assay's naive engine"
    return difference


def values(result: assay.Result, part: Part) -> torch.Tensor:
    """The metric of an experiment [cells, examples], at the cells of `part`."""
    names = {"site": part.sites, "layer": part.layers, "pos": part.positions, "head": part.heads}
    chosen = {n: list(v) for n, v in names.items() if v is not None and n in result["diff"].dims}
    return torch.tensor(result["diff"].sel(chosen).values).reshape(-1, len(part.clean))


def grids(row: Row, tool: str, cells: int) -> list[Part]:
    """What a tool runs: some cells of each part, or whole layers for one that batches over everything else."""
    if tool == "batches by hand":
        count = max(1, cells // 8)
        return [replace(part, layers=spread(part.layers, min(count, len(part.layers)))) for part in row.parts]
    return [part.sample(max(1, round(cells * row.share / len(row.parts)))) for part in row.parts]


def scaled(tool: Any, row: Row, parts: list[Part], clock: Clock) -> float:
    """Seconds for all cells of a row, from the time for some of them; what is done once is not scaled."""
    total = 0.0
    for whole, part in zip(row.parts, parts, strict=True):
        given: list[Any] = []
        total += clock.time(lambda part=part, given=given: given.append(tool.prepare(part)))
        took = clock.time(lambda part=part, given=given: tool.cells(part, given[0]))
        total += took * len(whole.cells) / len(part.cells)
    return total


def patching(model: Any, tools: dict[str, Any], row: Row, options: argparse.Namespace) -> dict[str, Any]:
    """One row of patches: checked, then timed."""
    depth, clock = model.n_layers, Clock(options.clock)
    experiments = [part.experiment(depth) for part in row.parts]
    checked = grids(row, "", options.cells)
    wanted = [values(model.measure(part.experiment(depth), engine="naive"), part) for part in checked]
    results = [model.measure(experiment) for experiment in experiments]
    errors = {"assay": max(close("assay", values(r, p), w) for r, p, w in zip(results, checked, wanted, strict=True))}
    for name, tool in tools.items():
        found = [tool.cells(part, tool.prepare(part)) for part in checked]
        errors[name] = max(close(f"{name}, row {row.name}", f, w) for f, w in zip(found, wanted, strict=True))
    works: dict[str, Callable[[], float]] = {
        "assay": lambda: clock.time(lambda: [model.measure(e) for e in experiments])
    }
    works |= {n: lambda n=n, t=t: scaled(t, row, grids(row, n, options.cells), clock) for n, t in tools.items()}
    ran = {n: sum(len(part.cells) for part in grids(row, n, options.cells)) for n in tools}
    minimum = [least(model.native, part) for part in row.parts]
    costs = [result.cost for result in results]
    return {
        "title": row.title, "cells": sum(len(part.cells) for part in row.parts),
        "examples": len(row.parts[0].clean), "ran": ran,
        "errors": errors, "seconds": interleaved(works, options.rounds),
        "token_layers": sum(c.token_layers for c in costs), "flops": sum(c.flops or 0.0 for c in costs),
        "least_flops": None if None in minimum else sum(m or 0.0 for m in minimum),
        "peak_bytes": max((c.peak_bytes or 0) for c in costs),
        "facts": sorted({fact for r in results for fact in r.provenance.facts}),
    }  # fmt: skip


def interleaved(works: dict[str, Callable[[], float]], rounds: int) -> dict[str, dict[str, float]]:
    """Each tool once in every round, in a new order; median, least and most seconds."""
    order, took = random.Random(0), {name: [] for name in works}
    for _ in range(rounds):
        names = list(works)
        order.shuffle(names)
        for name in names:
            took[name].append(works[name]())
    return {n: {"median": statistics.median(t), "least": min(t), "most": max(t)} for n, t in took.items()}


def whole(title: str, works: dict[str, Any], check: Callable[[str, Any, Any], float], options: Any) -> dict[str, Any]:
    """A row in which every tool does all of the work; the first of them is what the others are compared with."""
    clock = Clock(options.clock)
    reference = works.pop("naive")()
    errors = {name: check(name, work(), reference) for name, work in works.items()}
    timed = {name: lambda work=work: clock.time(work) for name, work in works.items()}
    return {"title": title, "errors": errors, "seconds": interleaved(timed, options.rounds)}


def one_edit(model: Any, ids: torch.Tensor, options: argparse.Namespace) -> dict[str, Any]:
    """One edit on one prompt, as a multiple of a plain forward pass."""
    only = ("assay", "hooks by hand", "TransformerLens", "nnsight")
    works = {name: work["one edit"] for name, work in contestants.contestants(model.native, ids, only=only).items()}
    wanted = works["assay"]()["logits"]
    for name, work in works.items():
        close(name, work()["logits"], wanted)
    timed = measure(
        lambda: model.native(input_ids=ids, use_cache=False),
        works,
        rounds=options.latency_rounds,
        clock=Clock(options.clock),
    )
    return {name: asdict(timing) for name, timing in timed.items()}


def options_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-rounds", type=int, default=15, help="rounds of the row that times one edit")
    parser.add_argument("--cells", type=int, default=16, help="cells of a row that a tool with one pass a cell runs")
    parser.add_argument("--pairs", type=int, default=1, help="32 adds a row with so many prompt pairs")
    parser.add_argument("--layers", type=int, help="only sweep the first so many layers")
    parser.add_argument("--senders", nargs="*", default=["8.4", "20.0"], help="heads for path patching, LAYER.HEAD")
    parser.add_argument("--rows", nargs="*", help="only these, by letter: a b c d e g h")
    parser.add_argument("--full", action="store_true", help="steering: 64 variants × 40 tokens, not 8 × 10")
    parser.add_argument("--threads", type=int, default=min(2, torch.get_num_threads()))
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="put the table into this page")
    options = parser.parse_args()
    options.senders = [tuple(int(n) for n in name.split(".")) for name in options.senders]
    return options


def main() -> None:
    options = options_of()
    torch.set_num_threads(options.threads)
    contestants.quiet()
    model = assay.load()
    before, peaks = machine(), [peak()]
    asked = lambda name: not options.rows or name in options.rows  # noqa: E731
    found: dict[str, Any] = {}
    patches = [row for row in rows(model, options) if asked(row.name[0])]
    tools = contestants.built(BUILDERS, model.native) if patches else {}
    for row in patches:
        found[row.name] = patching(model, tools, row, options)
        peaks.append(peak())
        show(row.name, found[row.name])
    pair = next(row.parts[0] for row in rows(model, options) if row.name == "a")
    tools.clear()
    gc.collect()
    if asked("e"):
        title = "attribution patching, all heads and MLPs × positions"
        found["e"] = whole(title, attribution.works(model, pair), attribution.check(close), options)
        show("e", found["e"])
    gc.collect()
    if asked("g"):
        variants, tokens = (64, 40) if options.full else (8, 10)
        title = f"steering, {variants} variants (strengths × prompts) × {tokens} tokens"
        found["g"] = whole(title, steering.works(model, variants, tokens), steering.check, options)
        show("g", found["g"])
    gc.collect()
    latency = one_edit(model, pair.clean, options) if asked("h") else {}
    result = {
        "machine": {**before, "load_1_min_after": machine()["load_1_min"]}, "clock": options.clock, "rounds": options.rounds,
        "tokens": pair.clean.shape[1], "gemm_peak": max(peaks), "gemm_peaks": peaks,
        "versions": versions("torch", "transformers", "transformer-lens", "nnsight"), "rows": found, "one_edit": latency,
    }  # fmt: skip
    print(sweep_table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.page:
        write_into(options.page, sweep_table(result), "sweeps")


def show(name: str, row: dict[str, Any]) -> None:
    print(f"{name:<3}" + "  ".join(f"{tool} {s['median']:.2f} s" for tool, s in row["seconds"].items()), flush=True)


if __name__ == "__main__":
    main()
