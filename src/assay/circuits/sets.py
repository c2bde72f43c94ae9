"""Sets of heads that are kept while every other head is ablated.

A kept head computes from what reaches it; every other head's z is replaced, at all positions, by the ablation that the
caller names. MLPs, norms and embeddings are left as they are. 1 means the whole model's logit difference, 0 what is
left when no head is kept:

    share(S) = (m(S kept) − m(none kept)) / (m(all kept) − m(none kept))

Cost: one forward pass of all examples for each set, and three for references and source. Source: the faithfulness of
Wang et al. 2022, arXiv:2211.00593, at the level of heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.evaluation.areas import has_gap
from assay.circuits.replacement import Replacement, replacement
from assay.core.errors import DataError
from assay.core.progress import listening, report
from assay.core.protocols import parse_head
from assay.core.provenance import Cost, Provenance
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import metric
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run

ABLATION = "what every other head's z is replaced by"
AT_ONCE = 8
"""Sets in one experiment: logits of each are in memory together."""
ROWS = 16
"""Examples in one forward pass."""


@dataclass(frozen=True)
class KeptSets:
    """Logit differences, and whether the answer is right, with each set kept; and the two references."""

    difference: Float[np.ndarray, "set example"]
    correct: Bool[np.ndarray, "set example"]
    whole: Float[np.ndarray, " example"]
    none: Float[np.ndarray, " example"]
    provenance: Provenance
    cost: Cost

    @property
    def shares(self) -> Float[np.ndarray, " set"]:
        """What each set keeps of the behaviour: ratios of means over examples."""
        none = self.none.mean()
        kept: Float[np.ndarray, " set"] = (self.difference.mean(axis=1) - none) / (self.whole.mean() - none)
        return kept


def keep_each(
    model: Model, pairs: Pairs, sets: Sequence[Sequence[str]], *, heads: Sequence[str], ablation: Ablation
) -> KeptSets:
    """Keep each of the sets in turn, and no head at all; `heads` are all that are ablated otherwise.

    Raises:
        DataError: without any head the logit difference is the whole model's.
    """
    every: list[Sequence[str]] = [(), *sets]
    parts = []
    for start in range(0, len(every), AT_ONCE):
        some = every[start : start + AT_ONCE]
        with listening(None):
            parts.append(_measure(model, pairs, {f"set {i}": kept for i, kept in enumerate(some)}, heads, ablation))
        report(start + len(some), len(every))
    difference = np.concatenate([part[0] for part in parts])
    correct = np.concatenate([part[1] for part in parts])
    whole, made = parts[0][2], parts[0][3]
    if not has_gap(whole.mean(), difference[0].mean()):
        raise DataError(
            f"the mean logit difference is {whole.mean():.4g} with all heads and with none: there is no gap to keep a share "
            "of. Take prompts, or an ablation, with which they differ."
        )
    cost = sum((part[4] for part in parts), start=Cost())
    return KeptSets(difference[1:], correct[1:], whole, difference[0], made, cost)


def _measure(
    model: Model, pairs: Pairs, sets: Mapping[str, Sequence[str]], heads: Sequence[str], ablation: Ablation
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Provenance, Cost]:
    replaced = replacement(pairs, as_ablation(ablation), ["z"])
    runs = {
        name: Run(input="clean", edits=ablated([head for head in heads if head not in set(kept)], replaced))
        for name, kept in sets.items()
    }
    metrics: list[Metric] = [metric.logit_diff(name=name, run=name) for name in (*runs, "clean")]
    metrics += [metric.accuracy(name=f"{name} correct", run=name) for name in runs]
    every = {**replaced.runs, **runs}
    experiment = Experiment(inputs=dict(replaced.inputs), runs=every, metrics=metrics, main=next(iter(runs)))
    found = model.measure(experiment, batch=ROWS)
    difference = np.stack([found.data[name].values for name in runs])
    correct = np.stack([found.data[f"{name} correct"].values for name in runs]) > 0.5
    return difference, correct, found.data["clean"].values, found.provenance, found.cost


def ablated(heads: Sequence[str], replaced: Replacement) -> tuple[Edit, ...]:
    """Edits that replace these heads' z, one for each layer."""
    by_layer: dict[int, list[int]] = {}
    for layer, head in sorted(map(parse_head, heads)):
        by_layer.setdefault(layer, []).append(head)
    return tuple(replaced.edit(f"L{layer}.z", head=chosen) for layer, chosen in by_layer.items())


def shuffled(components: Sequence[str], seed: int) -> tuple[str, ...]:
    """The components in a random order."""
    order = np.random.default_rng(seed).permutation(len(components))
    return tuple(components[i] for i in order)
