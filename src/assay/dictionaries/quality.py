"""How good a dictionary is: what it reconstructs, and what the model loses when it must go on with the reconstruction.

For each held-out piece of text, with the site replaced at all positions but the first `skip`:

    loss[replaced_by]        mean next-token loss in nats at those positions, through the engine
    error[replaced_by]       mean squared distance of the replacement
    active                   features that fire on a token (L0)

A study makes of these: the loss recovered, (loss[zero] − loss[dictionary]) / (loss[zero] − loss[nothing]), as a `share`;
the variance unexplained (FVU), error[dictionary] / error[mean], as a `ratio` of sums over all tokens. `dead_share` is the
share of features that fire on none of the held-out tokens, `frequency` how often each does.

A dictionary that was trained on the untrained model is measured on that model.

Cost: for each piece, one pass up to the site, and one from there on for each replacement.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from assay.core.claims import Unclaimed
from assay.core.errors import DataError
from assay.core.progress import report
from assay.core.provenance import Provenance
from assay.core.registry import method
from assay.core.result import Result
from assay.dictionaries.dictionary import Dictionary
from assay.dictionaries.recipe import CORPUS, Corpus
from assay.dictionaries.replacements import NOTHING, Replacement, replacements
from assay.dictionaries.texts import held_out_pieces
from assay.engine.model import Model
from assay.engine.untrained import untrained
from assay.experiments import edit, metric
from assay.experiments.experiment import Experiment
from assay.experiments.inputs import as_input
from assay.experiments.runs import Run

AT_ONCE = 8
"""Pieces in one pass."""
TEXT = "text"


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:2406.04093", "arXiv:2501.17727"),
    cost="one forward pass of each held-out piece for each replacement",
    assumes="texts like those on which the dictionary is to be used",
    fails_when="good reconstruction is taken for meaning: dictionaries of untrained models reconstruct too",
    claim=Unclaimed("it holds what it is compared with: PCA, a random dictionary, mean and zero"),
)
def dictionary_quality(
    model: Model,
    data: Any,
    *,
    dictionary: Dictionary,
    corpus: Annotated[Corpus, CORPUS] = "data",
    pieces: Annotated[int, "how many pieces of text"] = 48,
    length: Annotated[int, "tokens of a piece"] = 64,
    seed: Annotated[int, "of the random dictionary"] = 0,
) -> Result:
    """What a dictionary reconstructs and what the model loses by it, beside PCA, a random dictionary, mean and zero."""
    used, rows = model_of(model, dictionary), list[list[int]]()
    rows, documents = held_out_pieces(used, data, corpus, pieces=pieces, length=length)
    rows = [row for row in rows if len(row) > dictionary.about.skip + 1]
    if not rows:
        raise DataError(f"No piece has more than {dictionary.about.skip + 1} tokens: expected longer texts.")
    work = _Work(used, dictionary, replacements(dictionary, seed=seed))
    groups: dict[int, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[len(row)].append(number)
    for numbers in groups.values():
        for start in range(0, len(numbers), AT_ONCE):
            work.measure({number: rows[number] for number in numbers[start : start + AT_ONCE]})
            report(len(work.active), len(rows))
    facts = [f"measured on {len(rows)} pieces of {documents} held-out documents of {corpus}", *dictionary.facts]
    if documents < len(rows):
        facts.append(
            "pieces of one document are counted as if they were independent: intervals are a little too narrow"
        )
    return work.result(facts, seed)


def model_of(model: Model, dictionary: Dictionary) -> Model:
    """The model that a dictionary is of: this one, or the same before training."""
    kind, _, seed = dictionary.about.weights.partition(", seed ")
    return untrained(model, seed=int(seed)) if kind == "untrained" else model


@dataclass
class _Work:
    """Numbers of pieces, filled in batch by batch."""

    model: Model
    dictionary: Dictionary
    replaced: dict[str, Replacement]
    loss: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    error: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    active: dict[int, float] = field(default_factory=dict)
    fired: Tensor | None = None
    tokens: int = 0
    made: Provenance = field(default_factory=Provenance)

    def measure(self, pieces: dict[int, list[int]]) -> None:
        """One batch of pieces of the same length."""
        site, skip, ids = self.dictionary.site, self.dictionary.about.skip, list(pieces.values())
        x = self.model.run(ids, capture=site)[site][:, skip:].float()
        runs = {}
        for name, replacement in self.replaced.items():
            new = replacement(x)
            self._note(self.error[name], pieces, (new - x).pow(2).sum(-1).mean(1))
            runs[name] = Run(input=TEXT, edits=(edit.set(site, new, pos=slice(skip, None)),))
        features = self.dictionary.encode(x) > 0
        self._note(self.active, pieces, features.sum(-1).float().mean(1))
        counts = features.flatten(0, 1).sum(0)
        self.fired = counts if self.fired is None else self.fired + counts
        self.tokens += features.shape[0] * features.shape[1]
        metrics = [
            metric.loss(name=name, run=run, pos=slice(skip, None), reduce="mean")
            for name, run in {NOTHING: TEXT, **{each: each for each in runs}}.items()
        ]
        found = self.model.measure(Experiment(inputs={TEXT: as_input(ids)}, runs=runs, metrics=metrics, main=TEXT))
        for name in (NOTHING, *runs):
            self._note(self.loss[name], pieces, torch.as_tensor(found.data[name].values))
        self.made = found.provenance

    @staticmethod
    def _note(where: dict[int, float], pieces: dict[int, list[int]], values: Tensor) -> None:
        where.update(zip(pieces, values.double().tolist(), strict=True))

    def result(self, facts: list[str], seed: int) -> Result:
        """All numbers, pieces in order."""
        assert self.fired is not None  # there is a piece
        names, order = [NOTHING, *self.replaced], sorted(self.active)
        self.error[NOTHING] = dict.fromkeys(order, 0.0)
        frequency = (self.fired.double() / self.tokens).cpu().numpy()
        table = {
            which: np.array([[numbers[name][i] for i in order] for name in names])
            for which, numbers in (("loss", self.loss), ("error", self.error))
        }
        data = xr.Dataset(
            {name: (("replaced_by", "example"), values) for name, values in table.items()},
            coords={"replaced_by": names},
        )
        data["active"] = ("example", np.array([self.active[i] for i in order]))
        data["dead_share"] = float((frequency == 0).mean())
        data["frequency"] = ("feature", frequency)
        return Result(data, self.made.with_facts(*facts).model_copy(update={"seed": seed}))


def summary(result: Result) -> dict[str, float]:
    """The usual numbers of a whole result: loss recovered and variance unexplained for each replacement, L0, dead share."""
    loss, error = (result[name].mean("example") for name in ("loss", "error"))
    found = {"active": float(result["active"].mean()), "dead_share": float(result["dead_share"])}
    gap = float(loss.sel(replaced_by="zero") - loss.sel(replaced_by=NOTHING))
    whole = float(error.sel(replaced_by="mean")) if "mean" in result.data["replaced_by"] else float("nan")
    for name in (str(each) for each in result.data["replaced_by"].values if each not in (NOTHING, "zero")):
        found[f"loss_recovered.{name}"] = float(loss.sel(replaced_by="zero") - loss.sel(replaced_by=name)) / gap
        found[f"unexplained.{name}"] = float(error.sel(replaced_by=name)) / whole
    return found
