"""Does a feature detect a property? Which feature does so best on some pairs, and how well that one does on others.

`feature_scores` gives every feature's AUROC − ½ on training pairs (negative: the feature is active on texts that lack the
property). `feature_detection` takes the best one to held-out pairs, with the sign that it had, and puts beside it what it
must beat:

    random i        a random direction at the same site, with the better sign of the two on these very pairs
    bag_of_words    a classifier of the texts' words, cross-validated on these very pairs: if the words give the property
                    away, a feature that does no better reads words

Cost: one pass of both prompts of each pair, up to the site. Source: Gurnee et al. 2023, arXiv:2305.01610; Kantamneni et al.
2025, arXiv:2502.16681.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from assay.core.caveats import caveat
from assay.core.claims import Beside, Claim, Unclaimed
from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.core.provenance import Provenance
from assay.core.registry import method
from assay.core.result import INFLUENCES, Result
from assay.core.seeds import generator
from assay.data.pairs import Pairs
from assay.dictionaries.dictionary import Dictionary
from assay.dictionaries.properties import Property, auroc_values, paired_values, property_of
from assay.dictionaries.quality import model_of
from assay.dictionaries.reading import POOL, Pool, Read, read_pairs
from assay.dictionaries.words import word_readings
from assay.engine.model import Model

CITES = ("arXiv:2305.01610", "arXiv:2502.16681")
ASSUMES = "pairs whose two prompts differ in the property"
FAILS = "the property comes with words or lengths that the feature reads instead, or is spread over many features"


@method(
    gives=Scores,
    cites=CITES,
    cost="one forward pass of both prompts of each pair, up to the site",
    assumes=ASSUMES,
    fails_when=FAILS,
    claim=Unclaimed("they serve to choose a feature; `feature_detection` judges it on other pairs"),
)
def feature_scores(
    model: Model, pairs: Pairs, *, dictionary: Dictionary, pool: Annotated[Pool, POOL] = "max"
) -> Scores:
    """Which features tell the two prompts of a pair apart: the AUROC of each, minus ½."""
    used, about = model_of(model, dictionary), property_of(pairs)
    sides = read_pairs(used, pairs, site=dictionary.site, skip=dictionary.about.skip, read=dictionary.encode, pool=pool)
    values = auroc_values(*about.parted(*sides)) - 0.5
    names = [dictionary.name(feature) for feature in range(len(dictionary))]
    return Scores.over_examples(names, values, f"AUROC − ½ of {about.name}", (f"{pool} over tokens", *dictionary.facts))


@method(
    gives=Result,
    cites=CITES,
    cost="one forward pass of both prompts of each pair, up to the site",
    assumes=ASSUMES,
    fails_when=FAILS,
    claim=Claim(
        "feature",
        variable="auroc",
        at={"reader": "feature"},
        beside={
            "random_direction": Beside("auroc", "reader", r"random \d+"),
            "bag_of_words": Beside("auroc", "reader", "bag_of_words"),
        },
        without={"other_layer": "a dictionary is of one site: train one of another layer too"},
    ),
)
def feature_detection(
    model: Model,
    pairs: Pairs,
    *,
    dictionary: Dictionary,
    scores: Scores,
    pool: Annotated[Pool, POOL] = "max",
    random: Annotated[int, "how many random directions stand beside it"] = 10,
    seed: Annotated[int, "of the random directions and of the folds"] = 0,
) -> Result:
    """How well the feature with the best scores detects the property in these pairs, beside words and random directions.

    `auroc` (reader, example): its mean over pairs is the AUROC. `paired`: whether the right one of two prompts is above.
    """
    if len(pairs) < 2:
        raise DataError(f"{len(pairs)} pair tells nothing apart: expected at least 2.")
    used, about = model_of(model, dictionary), property_of(pairs)
    best = scores.top(1, absolute=True)[0]
    number, sign = dictionary.number(best), -1.0 if scores[best] < 0 else 1.0
    drawn = torch.randn(dictionary.basis.decoder.shape[1], random, generator=generator(seed, "random direction"))
    read = _reader(dictionary, number, sign, drawn)
    sides = read_pairs(used, pairs, site=dictionary.site, skip=dictionary.about.skip, read=read, pool=pool)
    having, lacking = about.parted(*sides)
    having, lacking = _better_sign(having, lacking, first=1)
    words = about.parted(*word_readings(pairs, about, seed=seed))
    having, lacking = (np.concatenate([rows, each[None]]) for rows, each in zip((having, lacking), words, strict=True))
    readers = ["feature", *(f"random {i}" for i in range(random)), "bag_of_words"]
    data = xr.Dataset(
        {name: (("reader", "example"), make(having, lacking)) for name, make in _MEASURES.items()},
        coords={"reader": readers},
        attrs={INFLUENCES: ["auroc"]},
    )
    facts = [*_facts(best, sign, about, pool), _fires(best, np.concatenate(sides, axis=1)[0])]
    return Result(data, _made(used, seed, [*facts, *dictionary.facts]))


_MEASURES = {"auroc": auroc_values, "paired": paired_values}


def _reader(dictionary: Dictionary, number: int, sign: float, drawn: Float[Tensor, "d direction"]) -> Read:
    def read(x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch pos reader"]:
        feature = sign * dictionary.encode(x)[..., number : number + 1]
        return torch.cat([feature, x @ drawn.to(x)], dim=-1)

    return read


def _better_sign(
    having: Float[np.ndarray, "reader example"], lacking: Float[np.ndarray, "reader example"], *, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """Readers from `first` on with the sign that does better here: what is compared with is favoured."""
    worse = auroc_values(having, lacking).mean(-1, keepdims=True) < 0.5
    worse[:first] = False
    return np.where(worse, -having, having), np.where(worse, -lacking, lacking)


def _facts(best: str, sign: float, about: Property, pool: Pool) -> list[str]:
    side = "higher" if sign > 0 else "lower"
    return [
        f"{best}, {side} on the texts that have the property: {about.name}; {pool} over tokens",
        "random directions have the better sign of the two on these pairs, words are learned on their other folds",
    ]


def _fires(best: str, values: Float[np.ndarray, " prompt"]) -> str:
    """On how many prompts the feature fires: on none its AUROC is one half, whatever the property."""
    count = int((values != 0).sum())
    told = f"{best} fires on {count} of {len(values)} prompts"
    return (
        told if count else caveat(f"{told}, so it tells none of them apart: it was chosen on other words or templates")
    )


def _made(model: Model, seed: int, facts: list[str]) -> Provenance:
    source = model.network.source.name
    return Provenance.now(model_fingerprint=model.fingerprint, model_source=source, seed=seed, facts=facts)
