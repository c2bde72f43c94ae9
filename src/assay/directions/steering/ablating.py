"""What taking a direction out does on held-out prompts: is it needed, not only enough.

    lost(p) = m(p) − m(p with the span of the site's directions projected out)          m: right answer minus the other

on the prompts that have what the direction points to; on the other sides, which should give the other answer, what is lost is
the rise of the same difference. The control takes out as many random directions: their length plays no part, and of d
dimensions one is little. Directions of one site are taken out together, those of different sites each alone.

Cost: (1 + random directions) × sites passes of both sides of the pairs and of as many pieces of text. Source: the ablation of
Arditi et al. 2024, arXiv:2406.11717.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import numpy as np
import xarray as xr

from assay.core.caveats import caveat
from assay.core.claims import Beside, Claim
from assay.core.direction import Directions
from assay.core.provenance import Cost
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.directions.edits import project_out
from assay.directions.steering.arms import at_random
from assay.directions.steering.measuring import Measured, measured
from assay.directions.steering.places import AT, as_positions
from assay.directions.steering.sides import towards_of, turned
from assay.directions.steering.unrelated import ON_TEXT, UNRELATED, UnrelatedText, pieces
from assay.engine.model import Model
from assay.experiments.edits import Edit
from assay.experiments.positions import Pos

SAME = "what is taken out is the span, whatever the vector's sign and length"


@method(
    intervenes=True,
    gives=Result,
    cites="arXiv:2406.11717",
    cost="(1 + random directions) × sites passes of both prompts of each pair and of as many pieces of text",
    assumes="that what the model does with the direction is linear at that site",
    fails_when=(
        "later layers write it again, or it is also held elsewhere: then little is lost though it is used; the mean of the "
        "site is taken out with it where it has a part along the direction"
    ),
    claim=Claim(
        "steering",
        variable="lost",
        beside={"random_direction": Beside("lost_random", "draw")},
        without={
            "matched_norm": SAME,
            "wrong_sign": SAME,
            "prompt_only": "nothing is added that words could stand for",
        },
    ),
)
def ablate_direction(
    model: Model,
    pairs: Pairs,
    *,
    direction: Directions,
    at: Annotated[Pos, AT],
    random_directions: Annotated[int, "how many random directions are taken out instead"] = 4,
    text: Annotated[UnrelatedText | None, ON_TEXT] = UNRELATED,
) -> Result:
    """What is lost of the right answer when a direction is projected out, beside random directions and the cost.

    `lost` (site, example) is the fall of the logit difference on the sides that the direction points to, `lost_other` on the
    other sides, its rise there; with `_random` (draw, site, example) for random directions; `kl`, and on text
    `text_kl` and `text_loss` (site, example); `unedited` and `unedited_other` (example).
    """
    pairs, at = turned(pairs, towards_of(direction)), as_positions(at)
    sites = tuple(dict.fromkeys(direction.sites))
    draws = [f"random {draw}" for draw in range(random_directions)]
    arms = {"own": direction} | {arm: _apart(direction, draw) for draw, arm in enumerate(draws)}
    edits = {f"{arm} {site}": partial(_without, found.at(site)) for arm, found in arms.items() for site in sites}
    found_text, facts = (None, ()) if text is None else pieces(text, model, len(pairs))
    both = {
        "": measured(model, pairs, edits, at=at, text=found_text, side="clean"),
        "_other": measured(model, pairs, edits, at=at, side="corrupt"),
    }
    data = xr.Dataset(coords={"site": list(sites), **({"draw": draws} if draws else {})})
    for ending, found in both.items():
        data = data.assign(_losses(found, sites, draws, ending))
    data = data.assign(_costs(both[""], sites, draws))
    cost = sum((each.result.cost for each in both.values()), start=Cost())
    return Result(data, both[""].result.provenance.with_facts(*facts, *_said(data)), cost)


def _without(directions: Directions, pos: Pos) -> Edit:
    return project_out(directions, pos=pos)


def _apart(direction: Directions, draw: int) -> Directions:
    """Random directions in place of all, different ones where a site has several."""
    several = [at_random(direction, draw * len(direction) + i).vectors[i] for i in range(len(direction))]
    return direction.with_vector(np.stack(several))


def _losses(found: Measured, sites: tuple[str, ...], draws: list[str], ending: str) -> dict[str, Any]:
    before = found.unedited("corrupt" if ending else "clean")
    way = -1.0 if ending else 1.0

    def lost(arm: str) -> np.ndarray:
        return np.asarray(way * (before - found("diff", *(f"{arm} {site}" for site in sites))[:, 0]))

    variables: dict[str, Any] = {f"lost{ending}": (("site", "example"), lost("own"))}
    if draws:
        drawn = np.stack([lost(arm) for arm in draws])
        variables[f"lost{ending}_random"] = (("draw", "site", "example"), drawn)
    return variables | {f"unedited{ending}": (("example",), before)}


def _costs(found: Measured, sites: tuple[str, ...], draws: list[str]) -> dict[str, Any]:
    variables: dict[str, Any] = {}
    for quantity in [each for each in found.quantities if each not in ("diff", "prob")]:
        zero = found.unedited("text_loss") if quantity == "text_loss" else 0.0
        names = {arm: [f"{arm} {site}" for site in sites] for arm in ("own", *draws)}
        variables[quantity] = (("site", "example"), found(quantity, *names["own"])[:, 0] - zero)
        if draws:
            drawn = np.stack([found(quantity, *names[arm])[:, 0] - zero for arm in draws])
            variables[f"{quantity}_random"] = (("draw", "site", "example"), drawn)
    return variables


def _said(data: xr.Dataset) -> list[str]:
    means = data.mean("example")
    lost, whole = means["lost"], float(means["unedited"])
    facts = [
        f"logit difference {whole:.2f} before; lost at each site: {', '.join(f'{each:.2f}' for each in lost.values)}"
    ]
    if "lost_random" in data and (near := int((means["lost_random"].max("draw") >= lost).sum())):
        facts.append(caveat(f"at {near} of {lost.size} sites a random direction loses as much"))
    return facts
