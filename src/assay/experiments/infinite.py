"""Infinities in what edits and metrics bring: refused, but for −inf before a softmax, where it rules something out."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from assay.core.attachments import Attachment
from assay.core.errors import AssayError, ExperimentError
from assay.core.sites import SiteName
from assay.experiments.edits import Edit
from assay.experiments.given_edits import Add, ProjectOut, Set
from assay.experiments.metrics import Metric
from assay.experiments.sourced_edits import Swap

BEFORE_SOFTMAX = frozenset({"scores", "cross_scores", "router", "logits"})
"""Sites where −inf means: not this key, expert or token."""


def infinite_problems(edit: Edit) -> Iterator[AssayError]:
    """A value, vector, set of directions or basis with an infinity that makes NaN of what is computed from it."""
    found = brought(edit)
    if found is None or not bool(found[1].isinf().any()):
        return
    what, values = found
    masks = isinstance(edit, Set | Add) and SiteName.parse(edit.site).name in BEFORE_SOFTMAX
    if masks and not bool((values == torch.inf).any()):
        return
    yield ExperimentError(
        f"{edit}: the {what} {_counted(values)}, of which everything after it would become NaN. Give finite numbers; −inf "
        f"alone is taken at {', '.join(sorted(BEFORE_SOFTMAX))}, where it rules out a key, an expert or a token."
    )


def brought(edit: Edit) -> tuple[str, Tensor] | None:
    """What an edit brings as a tensor, and what it is called."""
    if isinstance(edit, Set):
        return ("value", edit.value.tensor) if isinstance(edit.value, Attachment) else None
    if isinstance(edit, Add):
        return "vector", edit.scale * edit.vector.tensor if edit.scale else edit.vector.tensor
    if isinstance(edit, ProjectOut):
        return "set of directions", edit.directions.tensor
    return ("basis", edit.basis.tensor) if isinstance(edit, Swap) else None


def infinite_direction(what: str, metric: Metric) -> Iterator[AssayError]:
    """A direction with an infinity, along which every number is infinite or NaN."""
    direction = getattr(metric, "direction", None)
    if isinstance(direction, Attachment) and bool(direction.tensor.isinf().any()):
        yield ExperimentError(f"{what}: the direction {_counted(direction.tensor)}. Give finite numbers.")


def _counted(values: Tensor) -> str:
    count, total = int(values.isinf().sum()), values.numel()
    return "is infinite" if total == 1 else f"has {count} infinite {'entry' if count == 1 else 'entries'} of {total}"
