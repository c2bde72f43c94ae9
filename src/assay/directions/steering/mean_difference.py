"""The difference of means: what one side of contrast pairs has, at a site, that the other has not.

    v_L = mean_i (a_L(clean_i) − a_L(counterfactual_i))        a_L: the activation at the stated positions, their mean

One pair is activation addition; many are contrastive activation addition. Which positions are averaged must be said: at the
first token of many models the residual stream is a hundred times longer than elsewhere (an attention sink), and a mean that
holds it is that token's; if it is among them, the result says so and how long it is.

Cost: one forward pass of both prompts of each pair, up to the last site; memory of the captured positions of 32 pairs.
Sources: Rimsky et al. 2023, arXiv:2312.06681; Turner et al. 2023, arXiv:2308.10248.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from jaxtyping import Float

from assay.core.caveats import caveat
from assay.core.claims import Unclaimed
from assay.core.direction import Directions
from assay.core.errors import DataError, SettingsError
from assay.core.progress import report
from assay.core.registry import method
from assay.data.example import Side
from assay.data.pairs import Pairs
from assay.directions.activations import sites_of
from assay.directions.steering.places import as_positions
from assay.directions.steering.sides import TOWARDS, poles, turned
from assay.engine.model import Model
from assay.experiments import capture
from assay.experiments.positions import Pos, resolve

BATCH = 32
LONG = 3.0
"""A first token that many times longer than the others is said to be a sink."""


@method(
    gives=Directions,
    cites=("arXiv:2312.06681", "arXiv:2308.10248"),
    cost="one forward pass of both prompts of each pair",
    assumes="pairs that differ in what is meant and in nothing else that the positions hold",
    fails_when="the two sides also differ in words, length or topic: the difference of means holds these as well",
    claim=Unclaimed("a vector claims nothing yet: what adding it does is measured by steer, beside its controls"),
)
def mean_difference(
    model: Model,
    pairs: Pairs,
    *,
    at: Annotated[Pos, "positions that are averaged: an index, a name such as end, a list, or {start: 1}"],
    towards: Annotated[str | None, TOWARDS] = None,
    site: Annotated[str, "which site; without a layer, every layer's"] = "resid_post",
    layers: Annotated[tuple[int, ...] | None, "which layers; nothing means all that have the site"] = None,
    depths: Annotated[tuple[float, ...] | None, "or the layers at these depths: 0 is the first, 1 the last"] = None,
) -> Directions:
    """A direction per layer: the mean activation of one side of the pairs minus that of the other.

    `measured` is the cosine of each pair's own difference with the mean: near 0 where pairs do not agree. Readings are −1 and
    1 at the means of the two sides.
    """
    pairs, at = turned(pairs, towards), as_positions(at)
    sites = _sites(model, site, layers if depths is None else _at_depths(model, depths, layers))
    sides = {side: _means(model, pairs, sites, side=side, at=at) for side in ("clean", "corrupt")}
    differences = sides["clean"] - sides["corrupt"]
    vectors = differences.mean(axis=1)
    for name, vector in zip(sites, vectors, strict=True):
        if not np.linalg.norm(vector):
            raise DataError(
                f"Both sides of the pairs are the same at {name}, positions {_shown(at)}: no direction there. "
                "Choose positions that can tell them apart, or leave the layer out."
            )
    middle = (sides["clean"] + sides["corrupt"]).mean(axis=1) / 2
    return Directions.of(
        dict(zip(sites, vectors, strict=True)),
        quantity="cosine of each pair's difference with the mean difference",
        origins=dict(zip(sites, middle, strict=True)),
        scales=(vectors**2).sum(axis=1) / 2,
        pos=at if isinstance(at, int | str) else None,
        labels=poles(pairs, towards),
        per_example=_cosines(differences, vectors),
        facts=(
            f"mean of {len(pairs)} pairs, positions {_shown(at)}",
            *_first_token(model, pairs, sites, at),
        ),
    )


def _sites(model: Model, name: str, layers: Sequence[int] | None) -> list[str]:
    found = [each for each in sites_of(model, name) if layers is None or each.layer in layers]
    if not found:
        raise SettingsError(f"no layer of {list(layers or ())} has {name}: this model has {model.n_layers} layers.")
    return [str(each) for each in found]


def _at_depths(model: Model, depths: Sequence[float], layers: Sequence[int] | None) -> list[int]:
    if layers is not None or not all(0 <= depth <= 1 for depth in depths):
        raise SettingsError(f"depths {list(depths)}: expected fractions from 0 to 1, and no layers beside them.")
    return [round(depth * (model.n_layers - 1)) for depth in depths]


def _means(
    model: Model, pairs: Pairs, sites: Sequence[str], *, side: Side, at: Pos
) -> Float[np.ndarray, "site example d"]:
    """The mean over positions of each prompt of one side, in double precision."""
    parts = []
    for start in range(0, len(pairs), BATCH):
        part = pairs[start : start + BATCH]
        run = model.run(part.as_inputs()[side], capture=[capture.site(site, pos=at) for site in sites])
        values = [run[site].double().cpu().numpy() for site in sites]  # prompts with fewer positions end in NaN
        parts.append(np.stack([np.nanmean(each, axis=1) for each in values]))
        report(start + len(part), len(pairs))
    return np.concatenate(parts, axis=1)


def _cosines(
    differences: Float[np.ndarray, "site example d"], vectors: Float[np.ndarray, "site d"]
) -> Float[np.ndarray, "site example"]:
    along = np.einsum("sed,sd->se", differences, vectors)
    sizes = np.linalg.norm(differences, axis=-1) * np.linalg.norm(vectors, axis=-1)[:, None]
    return np.asarray(np.divide(along, sizes, out=np.zeros_like(along), where=sizes > 0))


def _first_token(model: Model, pairs: Pairs, sites: Sequence[str], at: Pos) -> list[str]:
    """Whether the first token is averaged with others, and how long it is beside them, at the last site."""
    first = pairs[0]
    length = pairs.lengths[0]
    named = {name: [pairs[:1].position(name)[0]] for name in pairs[:1].position_names()}
    if 0 not in resolve(at, length=length, named=named) or length < 2:
        return []
    run = model.run([list(pairs.aligned_tokens()[0].clean)], capture=sites[-1])
    norms = run[sites[-1]][0].double().norm(dim=-1).cpu().numpy()
    times = float(norms[0] / np.median(norms[1:]))
    told = (
        f"the first token is among the averaged positions; at {sites[-1]} it is {times:.1f} times as long as the others"
    )
    return [caveat(f"{told} (an attention sink)") if times > LONG else f"{told} (template {first.template})"]


def _shown(at: Pos) -> str:
    return "all" if at is None else str(at)
