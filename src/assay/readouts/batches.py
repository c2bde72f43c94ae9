"""Running clean prompts in batches and keeping a few sites, so that memory does not grow with the number of prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.core.progress import report
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.engine.run_result import RunResult
from assay.experiments import metric
from assay.experiments.captures import Capture

BATCH = 16


def batches(model: Model, pairs: Pairs, *, capture: Sequence[Capture]) -> Iterator[tuple[Pairs, RunResult]]:
    """The clean prompts a few at a time, each batch with what was captured of it and its logit differences."""
    for start in range(0, len(pairs), BATCH):
        part = pairs[start : start + BATCH]
        difference = metric.logit_diff(part.answer_ids.tolist(), part.wrong_ids.tolist(), name="logit_diff")
        prompts = [list(each.clean) for each in part.aligned_tokens()]
        yield part, model.run(prompts, capture=capture, metrics=[difference])
        report(min(start + BATCH, len(pairs)), len(pairs))
