"""Linear probes: which layers' vectors tell labels apart, and along which direction.

Trained on all pairs that are given; what stands beside each direction is measured by fitting it again without each wording
and judging it on that wording. A probe that reads a property says that it is there to be read along a line, not that the model
uses it: add or take out the direction to ask that.

Cost: one forward pass of both prompts of each pair; for each site, a fit for each fold, two more, n³ for n prompts.
Sources: Alain and Bengio 2016, arXiv:1610.01644; Belinkov 2022, arXiv:2102.12452; difference of means: Marks and Tegmark 2023,
arXiv:2310.06824; control tasks: Hewitt and Liang 2019, arXiv:1909.03368.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from assay.core.caveats import caveat
from assay.core.claims import Claim
from assay.core.direction import Directions, Position
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.data.relabel import What, kind_of
from assay.directions.activations import activations, sites_of
from assay.directions.control_task import ControlTask, control_task
from assay.directions.fitting import Fit, Kind, fit
from assay.directions.folds import folds
from assay.directions.labels import Prompts, labelled_prompts
from assay.directions.measuring import by_wording, right
from assay.engine.model import Model
from assay.models.structure import Site

SELECTIVE = 0.1
"""A probe whose accuracy on random labels comes this near to that on true ones is said to."""


@method(
    gives=Directions,
    cites=("arXiv:1610.01644", "arXiv:1909.03368", "arXiv:2310.06824"),
    cost="one forward pass of both prompts of each pair; a fit for each site and each wording",
    assumes="that the property lies along a line at one named token, and that labels are not given away by other things",
    fails_when="words or wordings carry the label (see bag_of_words), or the property is read but not used by the model",
    claim=Claim(
        "representation",
        pairs=True,
        without={"random_direction": "a probe is found, not handed over: the step that reads it has one"},
    ),
)
def probe(
    model: Model,
    pairs: Pairs,
    *,
    site: Annotated[str, "where: a site, or a site's name for every layer that has it"] = "resid_post",
    pos: Annotated[Position, "which token is read: an index, end, or a named position"] = "end",
    kind: Annotated[Kind, "logistic, mean_difference or lda"] = "logistic",
    label: Annotated[What, "what is told apart: label, answer, side, or auto"] = "auto",
    strength: Annotated[float, Field(gt=0), "ridge penalty of logistic"] = 1.0,
    seed: Annotated[int, "of the control task, and of folds where there is one wording"] = 0,
) -> Directions:
    """Train a linear probe at each layer: the direction along which a label can be read.

    Measured of each direction: the share of prompts that get their label while their wording is held out of training.
    """
    prompts = labelled_prompts(pairs, label=label, pos=pos)
    sites = sites_of(model, site)
    values = activations(model, prompts, [str(each) for each in sites])
    fold, how = folds(prompts, seed=seed)
    fitted = partial(fit, kind, labels=len(prompts.labels), strength=strength)
    held = np.stack([right(_held_out(fitted, each, prompts.y, fold=fold), prompts) for each in values])
    best = int(held.mean(axis=1).argmax())
    control = control_task(prompts, fold, lambda y: _held_out(fitted, values[best], y, fold=fold), seed=seed)
    return _directions(
        sites,
        [fitted(each, prompts.y) for each in values],
        pos=pos,
        labels=prompts.labels,
        quantity=f"share of prompts given their label, {how}",
        per_example=held,
        facts=(
            f"{kind} probes of {kind_of(pairs, label)} ({', '.join(prompts.labels)}) at {pos}, {how}",
            *pairs.facts,
            _selectivity(str(sites[best]), float(held[best].mean()), control),
            *_weak_points(prompts, held[best], kind_of(pairs, label)),
        ),
    )


def _held_out(
    fitted: Callable[..., Fit],
    values: Float[np.ndarray, "prompt d"],
    y: Int[np.ndarray, " prompt"],
    *,
    fold: Int[np.ndarray, " prompt"],
) -> Int[np.ndarray, " prompt"]:
    """What each prompt is taken for by a probe that was trained without its fold."""
    guessed = np.zeros(len(y), dtype=int)
    for each in np.unique(fold):
        learned = fold != each
        if len(np.unique(y[learned])) < len(np.unique(y)):  # a label is in this fold only: it can't have been learned
            guessed[~learned] = np.bincount(y[learned]).argmax()
            continue
        guessed[~learned] = fitted(values[learned], y[learned]).guess(values[~learned])
    return guessed


def _directions(sites: Sequence[Site], fits: Sequence[Fit], *, labels: tuple[str, ...], **more: Any) -> Directions:
    """A direction for each site; with more than two labels, one for each label at each site."""
    several = len(labels) > 2
    names = [
        f"{site}={label}" if several else str(site) for site in sites for label in (labels if several else labels[:1])
    ]
    of = [str(site) for site, found in zip(sites, fits, strict=True) for _ in found.vectors]
    if several:
        more["per_example"] = np.repeat(more["per_example"], len(labels), axis=0)
    return Directions(
        tuple(names),
        tuple(of),
        np.concatenate([each.vectors for each in fits]),
        origins=np.concatenate([each.origins for each in fits]),
        scales=np.concatenate([each.scales for each in fits]),
        thresholds=np.zeros(len(names)),
        labels=labels,
        **more,
    )


def _selectivity(site: str, accuracy: float, control: ControlTask) -> str:
    """What the control task says, and whether it says that the probe memorises."""
    text = (
        f"{site}: {accuracy:.2f} on true labels, {control.accuracy:.2f} on a random label for each content "
        f"(selectivity {accuracy - control.accuracy:.2f}; {control.seen:.0%} of held-out contents were seen in training)"
    )
    return caveat(f"the probe memorises: {text}") if accuracy - control.accuracy < SELECTIVE else text


def _weak_points(prompts: Prompts, held: Float[np.ndarray, " pair"], kind: What) -> list[str]:
    found = by_wording(held, prompts)
    chance = np.bincount(prompts.y).max() / len(prompts.y)
    told = [f"{name}: {share:.2f}" for name, share in found.items() if share <= chance]
    facts = [caveat(f"no better than chance on held-out wordings {', '.join(told)}")] if told else []
    if kind == "side":
        facts.append(caveat("labels are clean and counterfactual: whatever differs between them is read"))
    if 0 in prompts.at:
        facts.append(caveat("the first token is read: in many models an attention sink, the same in every prompt"))
    return facts
