"""All variants of a group of prompts of equal length, in batches, inside one call of the native `generate`.

The native function prepares inputs, cache, processors and conditions for stopping, and hands its loop to `Batches`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from assay.engine.generate import Sampling, native_arguments
from assay.engine.generation.decode import Choice, Row, Written, decode
from assay.engine.generation.departure import Departure, departure, main_chain
from assay.engine.generation.joining import RowAxes
from assay.engine.generation.passes import UnsuitedError, Work
from assay.engine.generation.prompts import PromptPasses
from assay.engine.generation.row_edits import Placed, RowEdits
from assay.engine.hooks import Tapping
from assay.engine.runner import Runner
from assay.experiments.runs import Run


@dataclass
class Batches:
    """The variants of a group, given to the native `generate` as its decoding loop. Rows are in `written` afterwards."""

    runner: Runner
    run: Run
    variants: Sequence[Sequence[Placed]]
    seeds: Sequence[int]
    batch: int
    parts: frozenset[str]
    axes: RowAxes
    work: Work
    left_out: dict[str, str]
    """Parts that turned out not to hold, and why: filled in."""
    written: dict[Row, Written] = field(default_factory=dict)

    def generate(self, sampling: Sampling) -> Mapping[Row, Written]:
        """Generate every row. Raises UnsuitedError where this model or its settings can't be batched."""
        sites = {site for edits in self.variants for _, _, site in edits}
        native: Any = self.runner.network.native
        inputs, settings = native_arguments(self.runner, self.run, self.runner.rows, sampling, sites)
        if set(inputs) - {"input_ids", "attention_mask", "logits_to_keep"} or not bool(inputs["attention_mask"].all()):
            raise UnsuitedError("its inputs are more than prompts without padding")
        with torch.no_grad():
            native.generate(**inputs, **settings, custom_generate=self)
        return self.written

    def __call__(
        self,
        model: Any,
        input_ids: Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        **arguments: Any,
    ) -> Tensor:
        """The decoding loop; gives the prompts back, as what was written is not one tensor."""
        if (generation_config.num_beams or 1) > 1 or (generation_config.guidance_scale or 1) != 1:
            raise UnsuitedError("its generation settings ask for beams or guidance")
        chain = main_chain(self.runner.network)
        depth = max(self.runner.network.structure.depth.values(), default=0)
        choice = Choice(logits_processor, stopping_criteria, bool(generation_config.do_sample))
        given = (self.axes, self.parts, self.work, depth, self.left_out)
        prompts = PromptPasses(self.runner.network, model, input_ids, arguments, chain, *given)
        departures = self._departures(chain)
        for members in self._chunks(departures):
            edits = RowEdits(self.runner, self.variants, self.runner.scope(self.run))
            state = prompts.edited(edits, {v: departures[v] for v in members})
            rows = [(v, e) for v in members for e in range(prompts.examples)]
            parts = list(self._parts(rows))
            for part in parts:
                own = state.select([rows.index(row[:2]) for row in part], copy=len(parts) > 1)
                edits.rows = [row[:2] for row in part]
                with Tapping(self.runner.network, edits.actions()):
                    made = decode(model, own, part, edits=edits, choice=choice, work=self.work, depth=depth)
                self.written |= dict(zip(part, made, strict=True))
        return input_ids

    def _departures(self, chain: Any) -> dict[int, Departure]:
        scope = self.runner.scope(self.run)
        found = {v: departure(edits, chain, scope) for v, edits in enumerate(self.variants)}
        if "prompt" in self.parts:
            return found
        return {v: replace(d, position=d.position or 0) for v, d in found.items()}

    def _chunks(self, departures: Mapping[int, Departure]) -> Iterator[list[int]]:
        """Variants that go through the prompts together: alike in where they depart, and in what kernel they need."""

        def inside(variant: int) -> bool:
            return any(site.tap.port.in_attention for _, _, site in self.variants[variant])

        size = max(1, self.batch // len(self.runner.rows))
        for kind in (False, True):
            alike = [(d.position or 0, d.block, v) for v, d in departures.items() if inside(v) is kind]
            ordered = [v for _, _, v in sorted(alike)]
            for start in range(0, len(ordered), size):
                yield ordered[start : start + size]

    def _parts(self, rows: Sequence[tuple[int, int]]) -> Iterator[list[Row]]:
        """Rows with their seeds, at most so many at a time."""
        every = [(v, e, seed) for v, e in rows for seed in self.seeds]
        for start in range(0, len(every), self.batch):
            yield every[start : start + self.batch]
