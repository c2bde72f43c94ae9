"""The layer and the strength to steer at, chosen on validation prompts by effect at a limited cost.

    chosen = argmax over directions × strengths of mean effect, where the mean KL on unrelated text is at most `most_kl`

The given direction comes back as long as the chosen strength, so that a strength of 1 (`unit: vector`) is the chosen one. What
is judged must be measured on other prompts: here the best of many is taken, and is a little too good.

Cost: directions × strengths passes of the prompts and of as many pieces of text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np

from assay.core.caveats import caveat
from assay.core.claims import Unclaimed
from assay.core.direction import Directions
from assay.core.errors import SettingsError
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.directions.steering.arms import STRENGTHS, UNIT, Unit, adding, check_strengths, named, scaled
from assay.directions.steering.measuring import measured
from assay.directions.steering.places import AT, as_positions
from assay.directions.steering.sides import towards_of, turned
from assay.directions.steering.unrelated import ON_TEXT, UNRELATED, UnrelatedText, pieces
from assay.engine.model import Model
from assay.experiments.positions import Pos


@method(
    intervenes=True,
    gives=Directions,
    cites="arXiv:2312.06681",
    cost="directions × strengths passes of the prompts and of as many pieces of text",
    assumes="prompts that nothing is judged on",
    fails_when="the best place on a few prompts is not the best on others: see how flat the grid is in the facts",
    claim=Unclaimed("a layer and a strength were chosen on these prompts; steer judges them on others"),
)
def choose_strength(
    model: Model,
    pairs: Pairs,
    *,
    direction: Directions,
    strengths: Annotated[tuple[float, ...], STRENGTHS],
    at: Annotated[Pos, AT],
    most_kl: Annotated[
        float, "nats a token that the model may change on unrelated text, or at the prompt without text"
    ],
    unit: Annotated[Unit, UNIT] = "residual",
    text: Annotated[UnrelatedText | None, ON_TEXT] = UNRELATED,
) -> Directions:
    """The direction with the largest effect at a limited cost, as long as its chosen strength.

    `measured` (example) is its effect on these prompts; the facts hold the whole grid, strength by strength.
    """
    check_strengths(strengths)
    if min(strengths) <= 0:
        raise SettingsError(f"strengths {list(strengths)}: expected all above 0, as the direction says which way.")
    pairs, at = turned(pairs, towards_of(direction)), as_positions(at)
    unit_long = scaled(model, pairs, direction, unit=unit, at=at)
    found_text, about = (None, ()) if text is None else pieces(text, model, len(pairs))
    found = measured(model, pairs, adding({"own": unit_long}), at=at, strengths=strengths, text=found_text)
    names = [named("own", each) for each in direction.names]
    effect = found("diff", *names) - found.unedited("corrupt")
    cost = found("kl" if text is None else "text_kl", *names).mean(axis=-1)
    means = effect.mean(axis=-1)
    allowed = np.where(cost <= most_kl, means, -np.inf)
    facts = [*about, *_grid(unit_long, strengths, means, cost)]
    if np.isinf(allowed).all():
        facts.append(caveat(f"no strength costs at most {most_kl:g} nats: the cheapest is taken"))
        allowed = -cost
    best, strength = np.unravel_index(int(allowed.argmax()), allowed.shape)
    if means[best, strength] <= 0:
        facts.append(
            caveat(f"the chosen strength does not steer these prompts: mean effect {means[best, strength]:.2f}")
        )
    chosen = unit_long.take([direction.names[best]])
    facts.append(
        f"chosen: {chosen.names[0]} at strength {strengths[strength]:g}, effect {means[best, strength]:.2f} at "
        f"{cost[best, strength]:.3f} nats, on {len(pairs)} prompts"
    )
    return replace(
        chosen,
        vectors=chosen.vectors * strengths[strength],
        per_example=effect[best, strength][None],
        quantity="change of the logit difference on the prompts it was chosen on",
        facts=(*direction.facts, *facts),
    )


def _grid(direction: Directions, strengths: tuple[float, ...], effect: np.ndarray, cost: np.ndarray) -> list[str]:
    rows = []
    for name, effects, costs in zip(direction.names, effect, cost, strict=True):
        cells = [f"{s:g}: {e:.2f} at {c:.3f}" for s, e, c in zip(strengths, effects, costs, strict=True)]
        rows.append(f"{name}, strength: effect at nats: {'; '.join(cells)}")
    return rows
