"""Activation patching: put one run's value at one place into another run, and see how much of the effect comes with it.

    share(place) = mean(m(base with source's value at the place) − m(base)) / mean(m(source) − m(base))

m is the logit difference between the right and the wrong answer at the last position. The replaced value is always that
of the paired counterfactual (or clean) prompt, at the same position: no other ablation is hidden here.

Cost: at most one forward pass of all examples for each place, and two more; the scheduled engine does what differs
only. Sources: Meng et al. 2022, arXiv:2202.05262; Wang et al. 2022, arXiv:2211.00593; on what the two directions mean:
Heimersheim & Nanda 2024, arXiv:2404.15255.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from assay.circuits.contrast import Contrast, Direction, base_and_source, share, total_effect
from assay.core.caveats import caveat
from assay.core.claims import Claim
from assay.core.protocols import Scores, head_name
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import edit
from assay.experiments.sweep import sweep

CITES = ("arXiv:2202.05262", "arXiv:2211.00593", "arXiv:2404.15255")
ASSUMES = "clean and counterfactual prompts that line up token by token and differ in what is studied and nothing else"
FAILS = (
    "another part takes over what the patched one did (noising then shows too little), or several parts are needed "
    "together (denoising then shows too little); patched states may be ones that the model never meets"
)


@method(
    intervenes=True,
    gives=Result,
    cites=CITES,
    cost="layers × positions forward passes of all examples, and two more",
    assumes=ASSUMES,
    fails_when=FAILS,
    claim=Claim("localisation", variable="share"),
)
def patch_residual(
    model: Model,
    pairs: Pairs,
    *,
    direction: Annotated[Direction, "denoise: clean values into the counterfactual run; noise: the other way round"],
    positions: Annotated[tuple[str, ...] | None, "named positions to patch; nothing means all that are named"] = None,
    site: Annotated[str, "which site of every layer is patched"] = "resid_post",
) -> Result:
    """Where is the information: patch the residual stream at every layer and position.

    `logit_diff` (layer, pos, example) is the patched run's; `clean` and `corrupt` are the unchanged ones'; `share` is
    how far the patch moves base (0) to source (1), its denominator held at the mean of these examples.
    """
    named = positions or pairs.position_names()
    found = _swept(model, pairs, site, direction, {"layer": None, "pos": list(named)})
    found.data["share"] = share(found.data, direction).assign_attrs(unit=total_effect(found.data, direction))
    return found


@method(
    intervenes=True,
    gives=Scores,
    cites=CITES,
    cost="one forward pass of all examples for each head, and two more",
    assumes=ASSUMES,
    fails_when=FAILS,
)
def patch_heads(
    model: Model,
    pairs: Pairs,
    *,
    direction: Annotated[Direction, "denoise: clean values into the counterfactual run; noise: the other way round"],
) -> Scores:
    """Which heads carry it: patch each attention head's output (z) at all positions."""
    found = _swept(model, pairs, "z", direction, {"layer": None, "head": None})
    data = found.data
    shares = share(data, direction).transpose("layer", "head", "example")
    names = [head_name(int(layer), int(head)) for layer in data["layer"].values for head in data["head"].values]
    rows = shares.values.reshape(len(names), -1)
    facts = [*_facts(found, direction, "one head's z, all positions"), _total(rows, "heads")]
    return Scores.over_examples(names, rows, _quantity(direction), facts, unit=total_effect(data, direction))


@method(
    intervenes=True,
    gives=Scores,
    cites=CITES,
    cost="two forward passes of all examples for each layer, and four more",
    assumes=ASSUMES,
    fails_when=FAILS,
)
def patch_components(
    model: Model,
    pairs: Pairs,
    *,
    direction: Annotated[Direction, "denoise: clean values into the counterfactual run; noise: the other way round"],
) -> Scores:
    """Which layers' attention and MLPs carry it: patch what each adds to the residual stream, at all positions."""
    names: list[str] = []
    rows = []
    for site, kind in (("attn_out", "attn"), ("mlp_out", "mlp")):
        found = _swept(model, pairs, site, direction, {"layer": None})
        names += [f"L{int(layer)}.{kind}" for layer in found.data["layer"].values]
        rows += list(share(found.data, direction).transpose("layer", "example").values)
    facts = [*_facts(found, direction, "what one layer's attention or MLP adds, all positions")]
    facts.append(_total(np.stack(rows), "attention layers and MLPs"))
    unit = total_effect(found.data, direction)
    return Scores.over_examples(names, np.stack(rows), _quantity(direction), facts, unit=unit)


def _total(rows: np.ndarray, what: str) -> str:
    """How far the parts are from acting alone."""
    total = float(rows.mean(axis=1).sum())
    return caveat(f"the shares of all {what} add up to {total:.2f}: 1 only if each acted alone")


def _swept(
    model: Model, pairs: Pairs, site: str, direction: Direction, over: Mapping[str, Sequence[Any] | None]
) -> Result:
    contrast, (base, source) = Contrast(pairs), base_and_source(direction)
    experiment = sweep(
        edit.patch(site, source=source), over, inputs=contrast.inputs, base=base, metrics=contrast.metrics
    )
    return model.measure(experiment, engine="scheduled")


def _quantity(direction: Direction) -> str:
    if direction == "denoise":
        return "share of the logit difference restored in the counterfactual run"
    return "share of the logit difference lost in the clean run"


def _facts(found: Result, direction: Direction, what: str) -> tuple[str, ...]:
    clean, corrupt = float(found.data["clean"].mean()), float(found.data["corrupt"].mean())
    base, source = base_and_source(direction)
    return (
        f"replaced: {what}, in the {base} run by the {source} run's value of the same pair",
        f"mean logit difference {clean:.2f} clean, {corrupt:.2f} counterfactual, n = {found.data.sizes['example']}",
        *(fact for fact in found.provenance.facts if fact.startswith(("engine: ", "the schedule "))),
    )
