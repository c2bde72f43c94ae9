"""Generation sweeps: strengths × layers × prompts of an edit, generated as rows of batches with a key/value cache.

Every row gets the tokens that `model.generate` gives its prompt alone under its variant's edits and with its seed; in
floating point another batch size rounds otherwise, so two tokens whose scores are within rounding may change places.
Prompts of different length are separate groups: nothing is padded. What variants have in common of the pass over a prompt
is computed once.

Cost: at most one pass over the prompts' tokens and one token for each row and step, as in one-by-one generation, but in
(rows / batch) times the number of passes of one row; of the prompts' passes what `prompts` shares is saved.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from assay.core.errors import SettingsError, nearest
from assay.core.progress import report
from assay.core.provenance import Cost, Provenance
from assay.core.result import Result
from assay.engine.generate import Sampling
from assay.engine.generation.alone import alone
from assay.engine.generation.batches import Batches
from assay.engine.generation.decode import Row, Written
from assay.engine.generation.passes import UnsuitedError, Work
from assay.engine.generation.row_edits import placed
from assay.engine.generation.trial import ALL, ROWS, Layout, layout_of
from assay.engine.generation.variants import Variants
from assay.engine.naive import provenance
from assay.experiments.edits import Edit
from assay.models.network import Network


class SweepSettings(TypedDict, total=False):
    """Settings of a generation sweep that have a default."""

    sources: Mapping[str, Any]
    """Further inputs that edits take values from, by name."""
    top_k: int | None
    top_p: float | None
    use_cache: bool
    """False runs the whole text at every step, one row at a time."""
    batch: int
    """The most rows in one pass; 64 if not given."""
    without: Collection[str]
    """Parts of batched generation to switch off: "rows" (all of it), "prompt", "position", "depth"."""


def generate_sweep(
    network: Network,
    inputs: Any,
    edits: Edit | Sequence[Edit],
    *,
    over: Any = None,
    seed: int | Sequence[int] = 0,
    sources: Mapping[str, Any] | None = None,
    batch: int = 64,
    without: Collection[str] = (),
    **sampling: Any,
) -> Result:
    """Generate under every variant. `batch` is the most rows at a time; `without` names parts to switch off.

    Raises:
        ExperimentError: edits that leave an axis of `over` no place, or that a cache would make meaningless.
        SettingsError: a setting that is not known, or that makes no sense.
    """
    started = time.perf_counter()
    seeds = (seed,) if isinstance(seed, int) else tuple(seed)
    _check_settings(seeds, batch, without)
    chosen = Sampling.of(**sampling)
    variants = Variants.of(network, inputs, edits, over, sources, steps=chosen.max_new_tokens)
    variants.refuse(chosen)
    layout = layout_of(network) if chosen.use_cache else Layout(refused={ROWS: "the cache is switched off"})
    layout = replace(layout, parts=layout.parts - set(without))
    making = _Making(variants, layout, chosen, seeds, batch, Work())
    written: dict[Row, Written] = {}
    groups = variants.groups(batch)
    for number, rows in enumerate(groups):
        written |= {(v, rows[e], seed): w for (v, e, seed), w in making.group(rows).items()}
        report(number + 1, len(groups))
    cost = Cost(**vars(making.work), seconds=time.perf_counter() - started)
    return Result(variants.table(written, seeds), making.provenance(set(without)), cost)


def _check_settings(seeds: Sequence[int], batch: int, without: Collection[str]) -> None:
    if not seeds or len(set(seeds)) < len(seeds):
        raise SettingsError(f"seeds {list(seeds)} make no sense: expected at least one, each once.")
    if batch < 1:
        raise SettingsError(f"batch={batch} makes no sense: expected at least 1, the most rows in one pass.")
    for name in without:
        if name not in ALL:
            raise SettingsError(
                f"{name!r} is no part of batched generation: expected {', '.join(sorted(ALL))}.{nearest(name, ALL)}"
            )


@dataclass
class _Making:
    """Generates group after group, and notes how."""

    variants: Variants
    layout: Layout
    sampling: Sampling
    seeds: tuple[int, ...]
    batch: int
    work: Work
    left_out: dict[str, str] = field(default_factory=dict)
    """Parts that turned out not to hold, and why."""

    def group(self, rows: list[int]) -> Mapping[Row, Written]:
        """All rows of a group of examples of equal length."""
        network, runs = self.variants.network, self.variants.runs
        if ROWS in self.layout.parts:
            edits = [placed(network, run.edits) for run in runs]
            runner, layout = self.variants.runner(rows), self.layout
            given = (self.seeds, self.batch, layout.parts, layout.axes, self.work, self.left_out)
            batches = Batches(runner, runs[0], edits, *given)
            try:
                return batches.generate(self.sampling)
            except UnsuitedError as error:
                self.left_out[ROWS] = str(error)
        return alone(
            self.variants.runner, runs, rows, seeds=self.seeds, sampling=self.sampling, work=self.work
        )  # fmt: skip

    def provenance(self, without: set[str]) -> Provenance:
        """Where the result comes from: the settings, and which parts of batched generation were used."""
        network, experiment = self.variants.network, self.variants.experiment
        refused = {name: why for name, why in {**self.layout.refused, **self.left_out}.items() if name not in without}
        batched = ROWS in self.layout.parts and ROWS not in refused
        engine = f"generation in batches of at most {self.batch} rows" if batched else "generation of one row at a time"
        made = provenance(network, experiment, self.variants.prompts, engine)
        settings = (
            f"sampling: {', '.join(f'{name}={value}' for name, value in vars(self.sampling).items() if name != 'seed')}"
        )
        facts = [settings, *(f"without {name}: {why}" for name, why in refused.items())]
        facts += [f"without {name}: switched off" for name in sorted(without)]
        return made.model_copy(update={"seed": self.seeds[0]}).with_facts(*facts)
