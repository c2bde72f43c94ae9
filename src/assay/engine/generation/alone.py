"""One row at a time, by the native `generate` itself: the reference for batches, and what they fall back on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from assay.engine.generate import Sampling, native_output, until_end
from assay.engine.generation.decode import Row, Written
from assay.engine.generation.passes import Work
from assay.engine.runner import Runner
from assay.experiments.runs import Run
from assay.experiments.sourced_edits import Resample


def alone(
    runner: Callable[[Sequence[int]], Runner],
    runs: Sequence[Run],
    rows: Sequence[int],
    *,
    seeds: Sequence[int],
    sampling: Sampling,
    work: Work,
) -> Mapping[Row, Written]:
    """Every variant (a run each), example and seed by itself. `runner` gives examples with their sources made.

    Edits that draw other examples see the whole group, whose rows then also share one stream of draws.
    """
    written: dict[Row, Written] = {}
    for variant, run in enumerate(runs):
        together = any(isinstance(edit, Resample) for edit in run.edits)
        for members in [list(rows)] if together else [[row] for row in rows]:
            made = runner(members)
            for seed in seeds:
                found = _written(made, run, members, replace(sampling, seed=seed), work)
                places = [list(rows).index(row) for row in members]
                written |= {(variant, e, seed): each for e, each in zip(places, found, strict=True)}
    return written


def _written(runner: Runner, run: Run, rows: Sequence[int], sampling: Sampling, work: Work) -> list[Written]:
    out, start = native_output(runner, run, rows, sampling, output_logits=True, return_dict_in_generate=True)
    tokens = [until_end(row, runner.network) for row in out.sequences[:, start:].tolist()]
    logprobs = [torch.log_softmax(step.float(), -1) for step in out.logits]
    depth = max(runner.network.structure.depth.values(), default=0)
    for step in range(len(out.logits)):
        new = 1 if step and sampling.use_cache else start + step
        work.add(len(rows), len(rows) * new * depth)
    return [
        Written(list(row), [float(logprobs[k][b, token]) for k, token in enumerate(row)])
        for b, row in enumerate(tokens)
    ]
