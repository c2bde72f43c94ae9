"""How few heads keep the behaviour: a curve over sizes, the smallest set, and that set on other prompts.

Heads are ranked by scores that were made on other prompts; the best k keep their own values, and every other head is
ablated (`sets`). The smallest set is chosen on one set of prompts and measured on another, beside the best heads of a
rival ranking and random sets of the same size: chosen and measured on the same prompts it would look better than it is.

Cost: a forward pass of all examples for each set of heads. Source: Wang et al. 2022, arXiv:2211.00593.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import xarray as xr

from assay.circuits.ablation import Ablation
from assay.circuits.claims import CHOSEN
from assay.circuits.claims import HEADS as KEPT
from assay.circuits.sets import ABLATION, AT_ONCE, KeptSets, keep_each, shuffled
from assay.core.caveats import caveat
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model

HEADS = r"L\d+\.H\d+"
FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
OVERSHOOT = 1.1
"""A share beyond this is more than noise above the whole model."""
FAILS = "the ablated heads also hold what every text needs: then even a true circuit loses the behaviour"


@method(
    intervenes=True,
    gives=Result,
    cites="arXiv:2211.00593",
    cost="(2 + random sets) × sizes forward passes of all examples",
    assumes="scores from other prompts than these",
    fails_when=FAILS,
    claim=KEPT,
)
def keep_heads(
    model: Model,
    pairs: Pairs,
    *,
    scores: Scores,
    rival: Scores,
    ablation: Annotated[Ablation, ABLATION],
    fractions: Annotated[tuple[float, ...], "how many of all heads are kept, as fractions"] = FRACTIONS,
    random_sets: Annotated[int, "how many random sets of each size"] = 3,
) -> Result:
    """How much of the behaviour ever more heads keep, against a rival ranking and random sets of the same size.

    `kept` (ranking, fraction, example) is the logit difference with the best heads of `scores` (ranking `found`) or of
    `rival`; `kept_random` (set, fraction, example) with random sets; `kept_correct` whether the answer is still right;
    `all` and `none` (example) are the two references.
    """
    heads = scores.only(HEADS)
    sizes = [max(1, round(fraction * len(heads))) for fraction in fractions]
    orders = [heads.ranked(), rival.only(HEADS).ranked()]
    orders += [shuffled(heads.components, seed) for seed in range(random_sets)]
    sets = [order[:size] for order in orders for size in sizes]
    found = keep_each(model, pairs, sets, heads=heads.components, ablation=ablation)
    coords = {"fraction": list(fractions), "heads": ("fraction", sizes)}
    made = _result(found, (len(orders), len(sizes)), ("fraction",), coords)
    facts = (*_ties(heads, sizes), *_ties(rival.only(HEADS), sizes, "the rival's scores"))
    return Result(made.data, made.provenance.with_facts(*facts), made.cost)


@method(
    intervenes=True,
    gives=Scores,
    cites="arXiv:2211.00593",
    cost="about 25 forward passes of all examples: sizes are doubled, then the gap is split into eight until it is closed",
    assumes="that a larger set of the best heads keeps no less",
    fails_when=FAILS,
    claim=CHOSEN,
)
def smallest_heads(
    model: Model,
    pairs: Pairs,
    *,
    scores: Scores,
    ablation: Annotated[Ablation, ABLATION],
    keep: Annotated[float, "the share of the behaviour that must be kept"] = 0.8,
    at_most: Annotated[float, "give up beyond this fraction of all heads"] = 0.5,
) -> Scores:
    """The fewest of the best heads that keep the asked share of the behaviour on these prompts, with their scores."""
    heads = scores.only(HEADS)
    order, limit = heads.ranked(), max(1, round(at_most * len(heads)))
    tried: dict[int, float] = {}
    short, long = 0, limit
    sizes = sorted({limit, *(2**i for i in range(limit.bit_length()))})
    while sizes:
        found = keep_each(model, pairs, [order[:k] for k in sizes], heads=heads.components, ablation=ablation)
        tried |= dict(zip(sizes, map(float, found.shares), strict=True))
        long = min((k for k in sizes if tried[k] >= keep), default=long)
        short = max((k for k in tried if k < long), default=0)
        sizes = _inside(short, long) if tried[long] >= keep else []
    size, facts = long, []
    if tried[size] < keep:
        facts = [caveat(f"no set of up to {limit} heads keeps {keep:.2f} of the behaviour: the {limit} best are given")]
    chosen = order[:size]
    most = max(tried, key=lambda k: tried[k])
    if tried[most] > OVERSHOOT:
        facts.append(
            caveat(
                f"the {most} best heads keep {tried[most]:.2f}, more than the whole model has: heads that work against the "
                "answer are ablated, so a share near 1 need not mean that everything which matters is in the set"
            )
        )
    facts += [f"{size} of {len(heads)} heads keep {tried[size]:.2f} of the behaviour on {len(pairs)} prompts"]
    facts += ["tried: " + ", ".join(f"{k} heads {share:.2f}" for k, share in sorted(tried.items()))]
    facts += _ties(heads, [size])
    return Scores.of({name: heads[name] for name in chosen}, heads.quantity, facts)


def _ties(heads: Scores, sizes: Sequence[int], whose: str = "the scores") -> list[str]:
    """Cuts at which equal scores are parted, so that their order in the list decides."""
    cut = [f"{size} ({len(tied)} alike)" for size in sizes if (tied := heads.tied(size))]
    return [caveat(f"{whose} tie at the cut after {', '.join(cut)} heads: stored order decides")] if cut else []


def _inside(short: int, long: int) -> list[int]:
    """Up to seven sizes between one that is not enough and one that is, evenly spread; none when there are none."""
    step = max(1, -(-(long - short) // AT_ONCE))
    return list(range(short + step, long, step))


@method(
    intervenes=True,
    gives=Result,
    cites="arXiv:2211.00593",
    cost="2 + random sets forward passes of all examples",
    assumes="a set that was chosen on other prompts than these",
    fails_when=FAILS,
    claim=KEPT,
)
def keep_set(
    model: Model,
    pairs: Pairs,
    *,
    chosen: Scores,
    scores: Scores,
    rival: Scores,
    ablation: Annotated[Ablation, ABLATION],
    random_sets: Annotated[int, "how many random sets of the same size"] = 10,
) -> Result:
    """What one chosen set of heads keeps of the behaviour, against a rival's best heads and random sets of its size.

    `kept` (ranking, example) is the logit difference with the chosen set (ranking `found`) or with the rival's best;
    `kept_random` (set, example) with random sets of all heads that have `scores`; `kept_correct` whether the answer is
    still right; `all` and `none` (example) the two references; `size` and `fraction` how many heads are kept.
    """
    everything, size = scores.only(HEADS).components, len(chosen.only(HEADS))
    sets = [chosen.only(HEADS).components, rival.only(HEADS).top(size)]
    sets += [shuffled(everything, seed)[:size] for seed in range(random_sets)]
    found = keep_each(model, pairs, sets, heads=everything, ablation=ablation)
    made = _result(found, (len(sets),), (), {})
    made.data["size"] = ((), size)
    made.data["fraction"] = ((), size / len(everything))
    facts = [
        *_compared(found, len(set(sets[0]) & set(sets[1]))),
        *_ties(rival.only(HEADS), [size], "the rival's scores"),
    ]
    return Result(made.data, made.provenance.with_facts(*facts), made.cost)


def _compared(found: KeptSets, common: int) -> list[str]:
    kept, rival, *random = found.shares
    facts = [f"share of the behaviour kept: chosen set {kept:z.2f}, rival's best heads {rival:z.2f}"]
    if common:
        facts.append(f"{common} of the chosen heads are among the rival's best too")
    if random:
        facts.append(f"random sets keep from {min(random):z.2f} to {max(random):z.2f}")
    wrong = int((~found.correct[0]).sum())
    if wrong:
        facts.append(caveat(f"with the chosen set alone, {wrong} of {found.correct.shape[1]} answers are wrong"))
    if random and max(random) >= kept:
        facts.append(caveat("a random set of the same size keeps as much as the chosen one"))
    return facts


def _result(found: KeptSets, shape: tuple[int, ...], along: Sequence[str], coords: Mapping[str, object]) -> Result:
    """Rows of sets as (ranking or random set, along…, example)."""
    difference = found.difference.reshape(*shape, -1)
    correct = found.correct.reshape(*shape, -1)
    dims = (*along, "example")
    data = xr.Dataset(
        {
            "kept": (("ranking", *dims), difference[:2]),
            "kept_correct": (("ranking", *dims), correct[:2]),
            "kept_random": (("set", *dims), difference[2:]),
            "kept_random_correct": (("set", *dims), correct[2:]),
            "all": (("example",), found.whole),
            "none": (("example",), found.none),
        },
        coords={"ranking": ["found", "rival"], "set": [f"random {i}" for i in range(shape[0] - 2)], **coords},
    )
    return Result(data, found.provenance, found.cost)
