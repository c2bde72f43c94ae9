"""The process of one tool: `python -m side_by_side.worker NAME`, asked by `benchmarks/sweeps.py` (see `talk.py`).

It loads the model, runs one plain pass so that all weights are in memory, and then does what it is asked: numbers for the
check, the time of a row with the memory that it took, the latency of one edit beside plain passes, a point of growth.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from side_by_side import attribution, machine, one_edit, steering, works
from side_by_side.contestants import quiet
from side_by_side.growth import AXES, Models
from side_by_side.memory import grown, resident
from side_by_side.rounds import Clock
from side_by_side.steering import Steering
from side_by_side.sweep_rows import Part, Row, rows
from side_by_side.talk import Answer, own_output, serve
from side_by_side.tools import ASSAY, NAIVE, PACKAGES, TOOLS
from side_by_side.works import Work

import assay


class Bench:
    """One tool, ready to work. Rows other than patches are e (attribution), g (steering) and h (one edit)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tool = TOOLS.get(name)

    def start(self, options: dict[str, Any]) -> Answer:
        """Load everything; or say that the library is not here."""
        self.options = argparse.Namespace(**options)
        torch.set_num_threads(self.options.threads)
        quiet()
        if self.tool:
            try:
                importlib.import_module(self.tool.module)
            except ImportError as error:
                return {"absent": str(error)}
        self.clock = Clock(self.options.clock)
        self.model = assay.load(self.options.model)
        native, tokenizer = self.model.native, self.model.tokenizer
        self.patches: dict[str, Row] = {row.name: row for row in rows(self.model, self.options)}
        self.pair: Part = self.patches["a"].parts[0]
        self.steering = Steering.of(self.model, self.options.variants, self.options.tokens)
        self.built = self.tool.build(native, tokenizer) if self.tool else None
        self.models = Models(self.model)
        self.plain()
        self.works: dict[str, Work] = {}
        self.loaded = resident()
        return {"rows": self.rows(), "loaded_bytes": self.loaded}

    def plain(self) -> torch.Tensor:
        """A plain native pass."""
        logits: torch.Tensor = self.model.native(input_ids=self.pair.clean, use_cache=False).logits
        return logits

    def rows(self) -> list[str]:
        """What it takes part in."""
        if not self.tool:
            return [*self.patches, "e", "g", "h"]
        found = [name for name, row in self.patches.items() if self.tool.can(self.built, row)]
        more = {"e": self.tool.attribution, "g": self.tool.steering, "h": self.tool.edit}
        return found + [name for name, part in more.items() if part]

    def about(self) -> Answer:
        """What the rows are, and what they run on."""
        told = {
            name: {"title": row.title, "cells": sum(len(part.cells) for part in row.parts),
                   "examples": len(row.parts[0].clean)}
            for name, row in self.patches.items()
        }  # fmt: skip
        made = self.steering
        told["e"] = {"title": "attribution patching, all heads and MLPs × positions"}
        told["g"] = {
            "title": f"steering, {len(made.scales)} strengths × {len(made.ids)} prompts, {made.tokens} tokens each",
            "cells": len(made.variants),
        }
        return {
            "rows": told, "tokens": self.pair.clean.shape[1], "machine": machine.machine(),
            "versions": machine.versions(*PACKAGES),
        }  # fmt: skip

    def numbers(self, row: str) -> Answer:
        """What the check compares."""
        if self.name != NAIVE:
            return {"numbers": self.work(row).numbers()}
        if row in self.patches:
            return {"numbers": works.naive_patches(self.model, self.patches[row], self.options.cells)}
        if row == "e":
            found = attribution.by_assay(self.model, self.pair, engine="naive")
            return {"numbers": {site: works.flat(scores) for site, scores in found.items()}}
        if row == "g":
            few = works.some_variants(self.steering, self.options.cells)
            return {"numbers": {"tokens": steering.naive(self.model, self.steering, few)}}
        return {"numbers": {"logits": works.flat(one_edit.naive(self.model.native, self.pair.clean)[:, -1])}}

    def time(self, row: str) -> Answer:
        """Seconds for the row, and the memory that it took beyond what was there after loading.

        For assay, whose operations are counted, the speed of the machine's matrix products just before and just after,
        too: it is not the same at every moment.
        """
        work, took = self.work(row), []
        before = 0.0 if self.tool else machine.peak()
        gc.collect()
        growth_bytes = grown(lambda: took.append(work.seconds()), self.loaded)
        beside = {"gemm_peak": (before + machine.peak()) / 2} if before else {}
        return {"seconds": took[0], "grown_bytes": growth_bytes, "ran": work.ran, **beside, **work.facts}

    def work(self, row: str) -> Work:
        """What a row takes is built when it is first asked for; what another row took is let go."""
        if row not in self.works:
            self.works.clear()
            gc.collect()
            self.works[row] = self.made(row)
        return self.works[row]

    def made(self, row: str) -> Work:
        cells, tool, native = self.options.cells, self.tool, self.model.native
        if row in self.patches:
            given = (self.patches[row], cells, self.clock)
            return works.patches(tool, self.built, *given) if tool else works.assay_patches(self.model, *given)
        if row == "e":
            if not tool:
                return works.gradients(
                    partial(attribution.by_assay, self.model, self.pair, engine="scheduled"), self.clock
                )
            return works.gradients(tool.attribution(native, self.pair), self.clock)
        if row == "g":
            if not tool:
                return works.assay_generation(self.model, self.steering, cells, self.clock)
            generate = tool.steering(native, self.steering)
            return works.generation(generate, self.steering, cells, self.clock, batches=tool.batches)
        run = self.edit()
        return Work(lambda: {"logits": works.flat(run()[:, -1])}, lambda: self.clock.time(run))

    def edit(self) -> Callable[[], torch.Tensor]:
        """One edit on one prompt."""
        found: Callable[[], torch.Tensor] = (
            self.tool.edit(self.built, self.pair.clean) if self.tool else one_edit.by_assay(self.model, self.pair.clean)
        )
        return found

    def latency(self, count: int) -> Answer:
        """One edit so many times, each between two plain passes: its time over the mean of theirs. Plain passes too."""
        edit, ratios, again = self.edit(), [], []
        time = self.clock.time
        before = time(self.plain)
        for _ in range(count):
            took, between, plain, after = time(edit), time(self.plain), time(self.plain), time(self.plain)
            ratios.append(2 * took / (before + between))
            again.append(2 * plain / (between + after))
            before = after
        return {"ratios": ratios, "plain": again}

    def axes(self) -> Answer:
        """What growth is measured over."""
        return {"axes": {axis: {"title": title, "values": list(values)} for axis, (title, values) in AXES.items()}}

    def grow(self, axis: str, value: int) -> Answer:
        """One point of the growth of assay's cost."""
        return self.models.point(axis, value, self.clock)


def main() -> None:
    answers = own_output()
    warnings.simplefilter("ignore")
    bench = Bench(sys.argv[1])
    assert bench.tool or bench.name in (ASSAY, NAIVE), f"no tool {bench.name!r}"
    asked = ("start", "about", "numbers", "time", "latency", "axes", "grow")
    commands = {name: getattr(bench, name) for name in asked}
    serve(commands, sys.stdin, answers)


if __name__ == "__main__":
    main()
