"""Parts that stand in for one another, or that need one another: what single ablations can't show.

v(S) is what the metric loses when all parts of S are ablated together.

    interaction(a, b) = v({a, b}) − v({a}) − v({b})
    shapley(a) = Σ_S |S|! (n − |S| − 1)! / n! · (v(S ∪ {a}) − v(S))         over the sets S without a

An interaction above 0 is overdetermination: either part is enough, so ablating one loses little (two copies of one path
have v = 0, 0 and 1: interaction 1). Below 0 each part needs the other, and what one ablation shows is counted twice. Shapley
values share the joint loss out: they add up to it exactly, equal parts get equal shares (of the two copies, a half each),
and a part that never changes anything gets none. They are the same whether parts are ablated from the whole model or
restored to the ablated one.

Cost: pairs take n (n + 1) / 2 sets, Shapley values 2ⁿ − 1, each a forward pass of all examples: 55 and 1,023 for ten parts.
Sources: Shapley 1953; Mueller 2024, arXiv:2407.04690 (overdetermination); Grabisch & Roubens 1999, doi:10.1007/s001820050125.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb
from typing import Annotated

import numpy as np
import xarray as xr
from jaxtyping import Float

from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.effects.parts import ABLATION, Part, ablated, measured, parts, replaced
from assay.circuits.measuring import METRIC, AMetric, as_metric
from assay.circuits.replacement import Replacement
from assay.core.caveats import caveat
from assay.core.claims import Claim
from assay.core.errors import DataError
from assay.core.progress import listening, report
from assay.core.protocols import Scores
from assay.core.provenance import Cost, Provenance
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run
from assay.stats.bootstrap import bootstrap

AT_ONCE = 16
"""Sets in one experiment."""
MOST = 12
"""Players for exact Shapley values: 4,095 sets."""
NODES = "the parts: heads, attention layers, MLPs, embed"


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:2407.04690", "doi:10.1007/s001820050125"),
    cost="n (n + 1) / 2 forward passes of all examples for n parts",
    assumes="that what matters about a pair shows when just the two are ablated",
    fails_when="three or more parts stand in for one another: every pair then looks harmless; see shapley_values",
    claim=Claim("localisation", variable="interaction", absolute=True),
)
def pairwise_interactions(
    model: Model,
    pairs: Pairs,
    *,
    nodes: Annotated[tuple[str, ...], NODES],
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
) -> Result:
    """What ablating two parts together loses beyond what each loses alone.

    `loss` (node, example) alone, `interaction` (node, other, example), NaN on its diagonal: above 0 the two stand in for one
    another, below 0 they need one another.
    """
    chosen = parts(nodes, least=2)
    alone = [(i,) for i in range(len(chosen))]
    couples = list(combinations(range(len(chosen)), 2))
    by, sets = (
        replaced(pairs, as_ablation(ablation), chosen),
        [[chosen[i] for i in each] for each in (*alone, *couples)],
    )
    losses, made, cost = set_losses(model, by, sets, metric=as_metric(metric))
    single = losses[: len(alone)]
    table = np.full((len(chosen), len(chosen), losses.shape[1]), np.nan)
    for (i, j), both in zip(couples, losses[len(alone) :], strict=True):
        table[i, j] = table[j, i] = both - single[i] - single[j]
    data = xr.Dataset(
        {"loss": (("node", "example"), single), "interaction": (("node", "other", "example"), table)},
        coords={"node": list(nodes), "other": list(nodes)},
    )
    strongest = max(couples, key=lambda couple: abs(float(table[couple].mean())))
    i, j = strongest
    word = "stand in for" if table[i, j].mean() > 0 else "need"
    facts = [
        f"ablation: {as_ablation(ablation)}, at all positions",
        f"the strongest of {len(couples)} pairs: {nodes[i]} and {nodes[j]} {word} one another, {bootstrap(table[i, j])}",
    ]
    return Result(data, made.with_facts(*facts), cost)


@method(
    intervenes=True,
    gives=Scores,
    cites=("doi:10.1515/9781400881970-018", "arXiv:2407.04690"),
    cost="2ⁿ − 1 forward passes of all examples for n parts: 31 for 5, 1,023 for 10",
    assumes="that the parts named are all that can stand in for one another",
    fails_when="a part outside the set takes over: it then gets no share, and those inside too little",
)
def shapley_values(
    model: Model,
    pairs: Pairs,
    *,
    nodes: Annotated[tuple[str, ...], NODES + "; at most 12"],
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
) -> Scores:
    """The joint loss of a small set of parts, shared out among them fairly: exact, from every subset."""
    chosen = parts(nodes)
    if len(chosen) > MOST:
        raise DataError(
            f"Exact Shapley values of {len(chosen)} parts need 2^{len(chosen)} = {2 ** len(chosen):,} sets: name at most "
            f"{MOST}, the best of a cheaper score say."
        )
    sets = [[each for i, each in enumerate(chosen) if code >> i & 1] for code in range(1, 2 ** len(chosen))]
    by, measure = replaced(pairs, as_ablation(ablation), chosen), as_metric(metric)
    losses, made, _ = set_losses(model, by, sets, metric=measure)
    values = shapley(np.concatenate([np.zeros_like(losses[:1]), losses]))
    joint, alone = float(losses[-1].mean()), float(sum(losses[2**i - 1].mean() for i in range(len(chosen))))
    facts = [
        f"ablation: {as_ablation(ablation)}, at all positions; all {2 ** len(chosen)} subsets of {len(chosen)} parts",
        f"together they lose {joint:z.2f} of the metric ({measure.kind}), one by one {alone:z.2f}",
        *made.facts,
    ]
    hidden = [
        name
        for i, name in enumerate(nodes)
        if abs(losses[2**i - 1].mean()) < 0.1 * abs(values[i].mean()) and abs(values[i].mean()) > 0.05 * abs(joint)
    ]
    if hidden:
        facts.append(caveat(f"single ablation hardly shows {', '.join(hidden)}: others stand in"))
    return Scores.over_examples(list(nodes), values, f"Shapley value of the loss of {measure.kind}", facts)


def shapley(losses: Float[np.ndarray, "set example"]) -> Float[np.ndarray, "player example"]:
    """Shapley values from the value of every subset; player i is in set number c where bit i of c is 1.

    >>> either_is_enough = np.array([[0.0], [0.0], [0.0], [1.0]])
    >>> shapley(either_is_enough).ravel().tolist()
    [0.5, 0.5]
    """
    players = len(losses).bit_length() - 1
    if len(losses) != 2**players:
        raise DataError(f"{len(losses)} values: Shapley values need one for each subset, a power of two.")
    codes = np.arange(len(losses))
    sizes = np.array([code.bit_count() for code in range(len(losses))])
    values = np.zeros((players, *losses.shape[1:]))
    for i in range(players):
        without = codes[codes >> i & 1 == 0]
        weights = np.array([1 / (players * comb(players - 1, size)) for size in sizes[without]])
        values[i] = np.tensordot(weights, losses[without | 1 << i] - losses[without], axes=1)
    return values


def set_losses(
    model: Model, by: Replacement, sets: Sequence[Sequence[Part]], *, metric: Metric
) -> tuple[Float[np.ndarray, "set example"], Provenance, Cost]:
    """What ablating each set at once loses of the metric."""
    rows, cost, made = [], Cost(), Provenance()
    for start in range(0, len(sets), AT_ONCE):
        some = sets[start : start + AT_ONCE]
        runs = {f"set {i}": Run(input="clean", edits=ablated(each, by)) for i, each in enumerate(some)}
        with listening(None):
            values, found = measured(model, by, runs, metric=metric)
        rows += [values["clean"] - values[name] for name in runs]
        cost, made = cost + found.cost, found.provenance
        report(start + len(some), len(sets))
    return np.stack(rows), made, cost
