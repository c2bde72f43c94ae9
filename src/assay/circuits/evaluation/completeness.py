"""Is a circuit complete and minimal?

With F(C) the metric of a circuit, M the whole model, and C∖K a circuit without the nodes K (all edges that leave them cut):

- `circuit_completeness`: |F(C∖K) − F(M∖K)| for sets K of the circuit's nodes, in shares of F(M) − F(∅). A complete circuit
  breaks as the model does; a large gap means that the model has something, a backup say, which the circuit lacks.
- `circuit_minimality`: for each node v the largest |F(C∖(K ∪ {v})) − F(C∖K)| over sets K. A node for which it is nothing
  whatever else is gone is not needed.

K are: nothing, each single node, random halves, and a greedy search for the worst (completeness). They are samples: a larger
gap may exist for a set that was not tried. Cost: two circuits' runs for each K; nodes × (1 + random sets) for minimality.
Source: Wang et al. 2022, arXiv:2211.00593, sections 4.1 to 4.3.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import xarray as xr

from assay.circuits.ablation import Ablation
from assay.circuits.circuit import Circuit
from assay.circuits.claims import EXAMINED
from assay.circuits.evaluation.asking import Asking
from assay.circuits.evaluation.curves import ABLATION
from assay.circuits.evaluation.single import ASSUMES
from assay.circuits.measuring import METRIC, AMetric
from assay.core.caveats import caveat
from assay.core.errors import DataError
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model

NEEDED = 0.01
"""A node whose removal never changes more than this share of the gap is called not needed."""
FAILS = "the ablation itself breaks the model, or the sets that were tried miss the one that matters"
SETS = "how many random halves of the circuit's nodes are tried as K"


@method(
    intervenes=True,
    gives=Result,
    cites="arXiv:2211.00593",
    cost="two circuits' runs for each set tried: about 2 × (3 × nodes + random sets)",
    assumes=ASSUMES,
    fails_when=FAILS,
    claim=EXAMINED,
)
def circuit_completeness(
    model: Model,
    pairs: Pairs,
    *,
    circuit: Circuit,
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
    random_sets: Annotated[int, SETS] = 8,
    greedy_steps: Annotated[int, "how many nodes a greedy search for the worst K adds"] = 2,
    seed: Annotated[int, "of the random sets"] = 0,
) -> Result:
    """Whether the circuit, with some of its nodes gone, does as the model does without them.

    `in_circuit`, `in_model` (set, example): the metric of C∖K and M∖K; `incompleteness` (set): how far their means are
    apart, in shares of the gap between whole model and empty circuit. The coordinate `removed` names K.
    """
    ask = Asking(model, pairs, circuit, ablation=ablation, metric=metric)
    nodes, rng = ask.nodes, np.random.default_rng(seed)
    halves = [tuple(node for node in nodes if rng.random() < 0.5) for _ in range(random_sets)]
    sets: list[tuple[str, ...]] = [(), *((node,) for node in nodes), *halves]
    found = ask.both(sets)
    apart = [ask.apart(*each) for each in found]
    tries = range(1, 1 + len(nodes))
    for _ in range(greedy_steps):
        worst = max(tries, key=apart.__getitem__, default=0)
        more = [(*sets[worst], node) for node in nodes if node not in sets[worst]]
        if not more:
            break
        tries = range(len(sets), len(sets) + len(more))
        sets, found = [*sets, *more], [*found, *ask.both(more)]
        apart = [ask.apart(*each) for each in found]
    data = xr.Dataset(
        {
            "in_circuit": (("set", "example"), np.stack([each[0] for each in found])),
            "in_model": (("set", "example"), np.stack([each[1] for each in found])),
            "incompleteness": ("set", apart),
        },
        coords={"removed": ("set", [" ".join(each) or "nothing" for each in sets])},
    )
    top = int(np.argmax(apart))
    facts = [
        *ask.facts,
        f"largest incompleteness of {len(sets)} sets tried: {apart[top]:.2f} of the gap, without "
        f"{data['removed'].values[top]}; with all nodes {apart[0]:.2f}",
    ]
    return Result(data, ask.made.with_facts(*facts), ask.cost)


@method(
    intervenes=True,
    gives=Result,
    cites="arXiv:2211.00593",
    cost="nodes × (1 + random sets) circuits' runs",
    assumes=ASSUMES,
    fails_when=FAILS,
    claim=EXAMINED,
)
def circuit_minimality(
    model: Model,
    pairs: Pairs,
    *,
    circuit: Circuit,
    ablation: Annotated[Ablation, ABLATION],
    metric: Annotated[AMetric, METRIC],
    random_sets: Annotated[int, SETS] = 4,
    seed: Annotated[int, "of the random sets"] = 0,
) -> Result:
    """Whether every node of the circuit is needed.

    `matters` (node): the largest change of the metric that removing the node makes, over the sets K that may be gone already,
    in shares of the gap between whole model and empty circuit; `beside` names that K. `alone` (node, example) is the change
    with nothing else gone.
    """
    ask = Asking(model, pairs, circuit, ablation=ablation, metric=metric)
    nodes, rng = ask.nodes, np.random.default_rng(seed)
    if not nodes:
        raise DataError("The circuit has no heads and no MLPs: there is no node whose need could be asked for.")
    beside: list[tuple[str, ...]] = [(), *(tuple(n for n in nodes if rng.random() < 0.5) for _ in range(random_sets))]
    gone = [[tuple(other for other in each if other != node) for each in beside] for node in nodes]
    wanted = [both for node, row in zip(nodes, gone, strict=True) for each in row for both in (each, (*each, node))]
    values = ask.metric_of([ask.without(ask.circuit.mask, each) for each in wanted])
    values = values.reshape(len(nodes), len(beside), 2, -1)
    change = values[:, :, 0] - values[:, :, 1]
    shares = np.abs(change.mean(axis=-1)) / abs(ask.gap)
    largest = shares.argmax(axis=1)
    data = xr.Dataset(
        {"matters": ("node", shares.max(axis=1)), "alone": (("node", "example"), change[:, 0])},
        coords={"node": list(nodes), "beside": ("node", [" ".join(beside[i]) or "nothing" for i in largest])},
    )
    idle = [node for node, share in zip(nodes, data["matters"].values, strict=True) if share < NEEDED]
    facts = [*ask.facts, f"{len(nodes) - len(idle)} of {len(nodes)} nodes change more than {NEEDED:.0%} of the gap"]
    if idle:
        facts.append(caveat(f"not needed, as far as was tried: {', '.join(idle[:8])}{' …' if len(idle) > 8 else ''}"))
    return Result(data, ask.made.with_facts(*facts), ask.cost)
