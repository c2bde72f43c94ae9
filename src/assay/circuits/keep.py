"""Keeping only the heads that were found: is the behaviour still there when all others are ablated?

Heads are ranked by scores that were made on other prompts; the best k keep their own values, and every other head's z
is replaced, at all positions, by the ablation that the caller names. MLPs and embeddings are left as they are. The same
is done for a rival ranking and for random sets of the same sizes. 1 means the whole model's logit difference, 0 what is
left when no head keeps its own values:

    kept(k) = (m(top k kept) − m(none kept)) / (m(all kept) − m(none kept))

Cost: (2 + number of random sets) × sizes forward passes of all examples, and those of the two reference runs. Source:
the faithfulness of Wang et al. 2022, arXiv:2211.00593, at the level of heads.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import xarray as xr

from assay.circuits.contrast import Contrast
from assay.core.progress import listening, report
from assay.core.protocols import Scores, parse_head
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import edit, metric
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run

Ablation = Literal["counterfactual", "resample", "mean", "zero"]
FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@method(
    gives=Result,
    cites="arXiv:2211.00593",
    cost="(2 + random sets) × sizes forward passes of all examples",
    assumes="scores from other prompts than these",
    fails_when="the ablated heads also hold what every text needs: then even a true circuit loses the behaviour",
)
def keep_heads(
    model: Model,
    pairs: Pairs,
    *,
    scores: Scores,
    rival: Scores,
    ablation: Annotated[
        Ablation, "what every other head's z is replaced by; values come from the counterfactual prompts"
    ],
    fractions: Annotated[tuple[float, ...], "how many of all heads are kept, as fractions"] = FRACTIONS,
    random_sets: Annotated[int, "how many random sets of each size"] = 3,
) -> Result:
    """How few heads keep the behaviour, against a rival ranking and random sets of the same size.

    `kept` (ranking, fraction, example) is the logit difference with the best heads of `scores` (ranking `found`) or of
    `rival`; `kept_random` (set, fraction, example) with random sets; `kept_correct` whether the answer is still right;
    `all` and `none` (example) are the two references.
    """
    heads = scores.only(r"L\d+\.H\d+")
    sizes = [max(1, round(fraction * len(heads))) for fraction in fractions]
    rankings = {"found": heads.ranked(), "rival": rival.only(r"L\d+\.H\d+").ranked()}
    rankings |= {f"random {seed}": _shuffled(heads.components, seed) for seed in range(random_sets)}
    measured = []
    for done, order in enumerate(rankings.values()):
        with listening(None):
            measured.append(_measure(model, pairs, order, sizes, ablation))
        report(done + 1, len(rankings))
    data = _joined(measured, list(rankings), fractions, sizes)
    return Result(data, measured[0].provenance, measured[0].cost)


def _measure(model: Model, pairs: Pairs, order: tuple[str, ...], sizes: list[int], ablation: Ablation) -> Result:
    """All sizes of one ranking, beside the whole model and the model without any head."""
    runs = {f"top {size}": Run(input="clean", edits=ablated(order[size:], ablation)) for size in dict.fromkeys(sizes)}
    runs["none"] = Run(input="clean", edits=ablated(order, ablation))
    metrics: list[Metric] = [metric.logit_diff(name=name, run=name) for name in (*runs, "clean")]
    metrics += [metric.accuracy(name=f"{name} correct", run=name) for name in runs]
    experiment = Experiment(inputs=Contrast(pairs).inputs, runs=runs, metrics=metrics, main="none")
    return model.measure(experiment, batch=16)


def ablated(heads: tuple[str, ...], ablation: Ablation) -> tuple[Edit, ...]:
    """Edits that replace these heads' z, one for each layer."""
    by_layer: dict[int, list[int]] = {}
    for layer, head in sorted(map(parse_head, heads)):
        by_layer.setdefault(layer, []).append(head)
    return tuple(_replaced(f"L{layer}.z", chosen, ablation) for layer, chosen in by_layer.items())


def _replaced(site: str, heads: list[int], ablation: Ablation) -> Edit:
    match ablation:
        case "counterfactual":
            return edit.patch(site, source="corrupt", head=heads)
        case "resample":
            return edit.resample(site, source="corrupt", head=heads)
        case "mean":
            return edit.mean(site, over="corrupt", head=heads)
        case "zero":
            return edit.zero(site, head=heads)


def _shuffled(components: tuple[str, ...], seed: int) -> tuple[str, ...]:
    order = np.random.default_rng(seed).permutation(len(components))
    return tuple(components[i] for i in order)


def _joined(measured: list[Result], names: list[str], fractions: tuple[float, ...], sizes: list[int]) -> xr.Dataset:
    def table(suffix: str) -> np.ndarray:
        return np.stack([[each.data[f"top {size}{suffix}"].values for size in sizes] for each in measured])

    difference, correct = table(""), table(" correct") > 0.5
    dims = ("ranking", "fraction", "example")
    variables = {
        "kept": (dims, difference[:2]),
        "kept_correct": (dims, correct[:2]),
        "kept_random": (("set", *dims[1:]), difference[2:]),
        "kept_random_correct": (("set", *dims[1:]), correct[2:]),
        "all": (("example",), measured[0].data["clean"].values),
        "none": (("example",), measured[0].data["none"].values),
    }
    coords = {"ranking": names[:2], "fraction": list(fractions), "set": names[2:], "heads": ("fraction", sizes)}
    return xr.Dataset(variables, coords=coords)
