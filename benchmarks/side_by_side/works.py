"""What one tool does in each row: numbers at some cells, for the check, and the time of the row.

A tool that runs one pass for each cell is given some cells, spread over the grid, and its time is scaled to all; a tool that
makes rows of a batch of them is given whole layers. What is done once, as the run of the other prompt, is not scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from side_by_side import attribution, steering
from side_by_side.by_hooks import ROWS_AT_ONCE
from side_by_side.least import least
from side_by_side.rounds import Clock
from side_by_side.steering import Steering
from side_by_side.sweep_rows import Part, Row, spread
from side_by_side.tools import Tool
from torch import Tensor

Numbers = dict[str, list[Any]]
"""Lists of numbers, or of tokens, by a name: what all tools must agree on."""

CELLS_OF_A_LAYER = 8
"""A tool with batches runs one layer for so many cells of the others."""


@dataclass(frozen=True)
class Work:
    """One tool's part in a row."""

    numbers: Callable[[], Numbers]
    seconds: Callable[[], float]
    ran: int | None = None
    """Of the cells, or of the variants; None is all of them."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What assay's results say of their cost, there once `numbers` was called."""


def flat(values: Tensor) -> list[float]:
    found: list[float] = values.detach().flatten().tolist()
    return found


def sampled(row: Row, cells: int) -> list[Part]:
    """A few cells of each part, spread over its grid."""
    return [part.sample(max(1, round(cells * row.share / len(row.parts)))) for part in row.parts]


def layered(row: Row, cells: int) -> list[Part]:
    """A few layers of each part; of these, where a cell is many prompts, as many positions as make two batches."""
    found = []
    for part in row.parts:
        few = replace(part, layers=spread(part.layers, min(max(1, cells // CELLS_OF_A_LAYER), len(part.layers))))
        if row.share < 1 and part.positions:
            count = max(1, 2 * ROWS_AT_ONCE // len(part.clean))
            few = replace(few, positions=spread(part.positions, min(count, len(part.positions))))
        found.append(few)
    return found


def patches(tool: Tool, built: Any, row: Row, cells: int, clock: Clock) -> Work:
    """A row of patches by a library."""
    parts = layered(row, cells) if tool.batches else sampled(row, cells)

    def numbers() -> Numbers:
        checked = sampled(row, cells)
        return {f"part {i}": flat(built.cells(part, built.prepare(part))) for i, part in enumerate(checked)}

    def seconds() -> float:
        total = 0.0
        for whole, part in zip(row.parts, parts, strict=True):
            given: list[Any] = []
            total += clock.time(lambda part=part, given=given: given.append(built.prepare(part)))
            took = clock.time(lambda part=part, given=given: built.cells(part, given[0]))
            total += took * len(whole.cells) / len(part.cells)
        return total

    return Work(numbers, seconds, sum(len(part.cells) for part in parts))


def assay_patches(model: Any, row: Row, cells: int, clock: Clock) -> Work:
    """A row of patches by assay: all cells."""
    experiments = [part.experiment(model.n_layers) for part in row.parts]
    facts: dict[str, Any] = {}

    def numbers() -> Numbers:
        results = [model.measure(experiment) for experiment in experiments]
        costs, minimum = [result.cost for result in results], [least(model.native, part) for part in row.parts]
        facts.update(
            token_layers=sum(c.token_layers for c in costs), flops=sum(c.flops or 0.0 for c in costs),
            least_flops=None if None in minimum else sum(m or 0.0 for m in minimum),
            peak_bytes=max((c.peak_bytes or 0) for c in costs),
            facts=sorted({fact for result in results for fact in result.provenance.facts}),
        )  # fmt: skip
        checked = zip(results, sampled(row, cells), strict=True)
        return {f"part {i}": flat(at_cells(result, part)) for i, (result, part) in enumerate(checked)}

    seconds = lambda: clock.time(lambda: [model.measure(experiment) for experiment in experiments])  # noqa: E731
    return Work(numbers, seconds, None, facts)


def naive_patches(model: Any, row: Row, cells: int) -> Numbers:
    """The same cells by assay's naive engine."""
    found = {}
    for i, part in enumerate(sampled(row, cells)):
        found[f"part {i}"] = flat(at_cells(model.measure(part.experiment(model.n_layers), engine="naive"), part))
    return found


def at_cells(result: Any, part: Part) -> Tensor:
    """The metric of an experiment [cells, examples], at the cells of `part`."""
    names = {"site": part.sites, "layer": part.layers, "pos": part.positions, "head": part.heads}
    chosen = {n: list(v) for n, v in names.items() if v is not None and n in result["diff"].dims}
    return torch.tensor(result["diff"].sel(chosen).values).reshape(-1, len(part.clean))


def gradients(run: Callable[[], attribution.Scores], clock: Clock) -> Work:
    """Attribution patching, all of it."""
    return Work(lambda: {site: flat(scores) for site, scores in run().items()}, lambda: clock.time(run))


def generation(generate: steering.Generate, made: Steering, cells: int, clock: Clock, *, batches: bool) -> Work:
    """Steered generation by a library: a few variants, or all strengths of one prompt."""
    few = some_variants(made, cells)
    ran = made.some_prompts(max(1, cells // (2 * CELLS_OF_A_LAYER))) if batches else few
    scale = len(made.variants) / len(ran)
    return Work(lambda: {"tokens": generate(few)}, lambda: scale * clock.time(lambda: generate(ran)), len(ran))


def assay_generation(model: Any, made: Steering, cells: int, clock: Clock) -> Work:
    """Steered generation by assay: all variants."""

    def numbers() -> Numbers:
        found = steering.swept(model, made)
        return {"tokens": [found[variant] for variant in some_variants(made, cells)]}

    return Work(numbers, lambda: clock.time(lambda: steering.swept(model, made)))


def some_variants(made: Steering, cells: int) -> list[steering.Variant]:
    return made.some(max(1, cells // 4))
