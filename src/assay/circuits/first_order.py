"""The first-order pieces of attribution methods: how much each part's value would change, and the metric's gradient there.

    score(part) ≈ −sign · (replaced value − own value) · ∂m/∂value

Both values come from the same runs that exact patching reads, so an estimate differs from the exact effect by the
approximation alone. Prompts are run in chunks of one length; nothing is padded.

Cost: one forward pass of all examples for the base, one for what replaces it (means: one more), and one forward and
backward pass for each kind of gradient. Memory: the values of all parts, twice, and the gradients of one chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.circuits.contrast import Contrast
from assay.circuits.intervention import Intervention
from assay.circuits.measuring import PerExample, check_gap, reading, total_fact
from assay.circuits.places import Part
from assay.core.errors import DataError, ExperimentError, SiteError
from assay.core.provenance import Provenance
from assay.engine.model import Model
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run

ROWS = 16
"""Examples of one length in one backward pass."""


@dataclass(frozen=True)
class Values:
    """Each site's values in the base run and in the run that replaces it, padded with NaN behind shorter prompts."""

    own: Mapping[str, Tensor]
    replaced: Mapping[str, Tensor]
    clean: PerExample
    corrupt: PerExample
    facts: tuple[str, ...]
    provenance: Provenance

    def change(self, site: str, rows: Sequence[int], length: int) -> Float[Tensor, "batch pos ..."]:
        """Replaced minus own value, for examples of one length; attention patterns as [batch, query, head, key]."""
        return self.of("replaced", site, rows, length) - self.of("own", site, rows, length)

    def of(
        self, which: Literal["own", "replaced"], site: str, rows: Sequence[int], length: int
    ) -> Float[Tensor, "batch pos ..."]:
        """Own or replaced values of examples of one length."""
        value = (self.own if which == "own" else self.replaced)[site][list(rows)]
        return positions_first(site, value)[:, :length, ..., : length if is_pattern(site) else None]


def values(model: Model, made: Intervention, sites: Sequence[str], *, other: Run | None = None) -> Values:
    """Own and replaced values at sites, for all examples; `other` is the run with the replaced ones, if not the
    replacement's own.

    Raises:
        DataError: the metric is the same on clean and counterfactual prompts, or not finite.
        SiteError: a site whose positions are not the prompt's tokens.
    """
    if other is None:
        other = made.replaced.runs.get(made.replaced.source) or Run(input=made.replaced.source)
    kept = Run(input=made.base, captures=tuple(sites))
    runs = {**made.replaced.runs, "own": kept, "other": other.model_copy(update={"captures": kept.captures})}
    metrics = reading(made.metric, clean="clean", corrupt="corrupt")
    experiment = Experiment(inputs=dict(made.replaced.inputs), runs=runs, metrics=metrics, main="own")
    measured = model.measure(experiment)
    found = measured.data
    clean, corrupt = found["clean"].values, found["corrupt"].values
    if made.replaced.source in ("clean", "corrupt"):
        check_gap(made.metric, clean, corrupt)
    own = {site: torch.as_tensor(found[site].values) for site in sites}
    longest = max(made.pairs.lengths)
    for site, value in own.items():
        if (count := positions_first(site, value).shape[1]) != longest:
            raise SiteError(
                f"{site} has {count} positions for prompts of {longest} tokens: its entries belong to no token."
            )
    there = {site: torch.as_tensor(found[f"other.{site}"].values) for site in sites}
    facts = (made.fact, total_fact(made.metric, {"clean": clean, "counterfactual": corrupt}))
    return Values(own, there, clean, corrupt, facts, measured.provenance)


@dataclass(frozen=True)
class Chunk:
    """Some examples of one length."""

    rows: tuple[int, ...]
    length: int


def chunks(made: Intervention) -> Iterator[Chunk]:
    """All examples, in chunks of one length."""
    by_length: dict[int, list[int]] = {}
    for row, length in enumerate(made.pairs.lengths):
        by_length.setdefault(length, []).append(row)
    for length, rows in by_length.items():
        for start in range(0, len(rows), ROWS):
            yield Chunk(tuple(rows[start : start + ROWS]), length)


def gradients(
    model: Model,
    made: Intervention,
    chunk: Chunk,
    *,
    sites: Sequence[str],
    frozen: Sequence[str] = (),
    edits: Sequence[Edit] = (),
) -> dict[str, Float[Tensor, "batch pos ..."]]:
    """∂m/∂site in the base run, for each site, patterns as [batch, query, head, key]; `edits` may take values from the
    inputs `clean` and `corrupt`.

    Raises:
        ExperimentError: KL to the base run, whose gradient is zero there.
    """
    if getattr(made.metric, "to", None) == made.base:
        raise ExperimentError(
            f"the gradient of {made.metric.kind} to the {made.base} run is zero in that run: choose another metric, or "
            "integrated gradients, which leave that point."
        )
    inputs = Contrast(made.pairs.take(chunk.rows)).inputs
    metric = made.metric.model_copy(update={"name": "measured", "run": None})
    found = model.gradients(inputs[made.base], of=metric, sites=sites, edits=edits, sources=inputs, frozen=frozen)
    return {site: positions_first(site, gradient) for site, gradient in found.items()}


def per_part(
    parts: Sequence[Part], products: Mapping[str, Float[Tensor, "batch pos ..."]]
) -> Iterator[tuple[Part, Float[np.ndarray, "batch pos"]]]:
    """What each part has of products at its sites, summed over the entries that are its own."""
    summed = {site: _summed(site, product) for site, product in products.items()}
    for part in parts:
        cells = [summed[site] if part.index is None else summed[site][:, :, part.index] for site in part.sites]
        yield part, sum(cells[1:], cells[0])


def _summed(site: str, product: Float[Tensor, "batch pos ..."]) -> np.ndarray:
    """Summed over a vector's entries; neurons are entries themselves."""
    whole: np.ndarray = product.detach().double().cpu().numpy()
    return whole if site.endswith(".mlp_post") else whole.sum(-1)


def positions_first(site: str, tensor: Tensor) -> Tensor:
    """[batch, query, head, key] for attention patterns and scores; all others begin with [batch, pos] as they are."""
    return tensor.transpose(1, 2) if is_pattern(site) else tensor


def is_pattern(site: str) -> bool:
    """Whether a site is [head, query, key]."""
    return site.endswith((".pattern", ".scores"))


def collected(parts: Sequence[Part], made: Intervention) -> dict[str, Float[np.ndarray, "pos example"]]:
    """An array of zeros for each part, to be filled in chunk by chunk."""
    shape = (max(made.pairs.lengths), len(made.pairs))
    return {part.name: np.zeros(shape) for part in parts}


def checked(rows: Mapping[str, np.ndarray]) -> None:
    """Refuse estimates that are no numbers.

    Raises:
        DataError: the first of them is named.
    """
    for name, row in rows.items():
        if not np.isfinite(row).all():
            raise DataError(
                f"the score of {name} is not finite: a value or gradient of the model is NaN or infinite there."
            )
