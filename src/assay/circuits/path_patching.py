"""Path patching: what a part does to chosen receivers by the paths that are left open, and by no other.

Three runs for each sender (Wang et al. 2022, arXiv:2211.00593; Goldowsky-Dill et al. 2023, arXiv:2304.05969):

    base       the clean run (denoising: the counterfactual one)
    sender     the sender has its replaced value; all heads are held at the base run's values, MLPs too if `freeze_mlps`,
               except the mediators, which are computed again
    path       the base run in which the receivers read what reached them in `sender`; all else is computed again

    score(sender) = m(base) − m(path)          in the metric's unit; denoising: m(path) − m(base)

With no mediators and MLPs held these are the direct paths through the residual stream. With MLPs not held, paths through
MLPs count too, as in the IOI paper. With `logits` as the receiver the metric is read from `sender` itself: a direct effect
through the final norm, which is computed again.

Cost: two forward passes of all examples for each sender, of which the schedule computes what differs, and three more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np

from assay.circuits.ablation import Ablation, as_ablation
from assay.circuits.contrast import Direction
from assay.circuits.exact_effects import engine_facts, grids
from assay.circuits.intervention import Intervention, intervene
from assay.circuits.measuring import METRIC, AMetric, as_metric, check_gap, reading, total_fact
from assay.circuits.node_patching import ASSUMES, DIRECTION
from assay.circuits.places import EMBED, KINDS, Part, granularity_of, parts_named
from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import edit
from assay.experiments.axes import Axis, Sweep
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run

LOGITS = "logits"
SENDERS = ("head", "attn", "mlp", "neuron")
RECEIVERS = ("q", "k", "v", "mlp")


@method(
    intervenes=True,
    gives=Scores,
    cites=("arXiv:2211.00593", "arXiv:2304.05969"),
    cost="two forward passes of all examples for each sender, and three more; the schedule computes what differs",
    assumes=ASSUMES,
    fails_when="the effect takes paths that were not left open, or receivers make up for each other",
)
def path_patching(
    model: Model,
    pairs: Pairs,
    *,
    senders: Annotated[
        tuple[str, ...], "whose value is replaced, one at a time: L3.H2, L3.attn, L3.mlp, L3.N17, embed"
    ],
    receivers: Annotated[tuple[str, ...], "who reads it, all together: L9.H3.q, L9.KV0.k, L9.mlp; or logits alone"],
    ablation: Annotated[Ablation, "what a sender is replaced by; denoise takes counterfactual"],
    direction: Annotated[Direction, DIRECTION],
    metric: Annotated[AMetric, METRIC],
    freeze_mlps: Annotated[bool, "whether MLPs on the way are held: if not, paths through them count"],
    mediators: Annotated[tuple[str, ...], "heads and MLPs on the way that are computed again: L5.H1, L7.mlp"] = (),
) -> Scores:
    """How much each sender matters to the receivers by direct paths, and through the mediators that are chosen."""
    parts = _senders(model, senders)
    readers = _receivers(model, receivers)
    made = intervene(model, pairs, parts, ablation=as_ablation(ablation), direction=direction, metric=as_metric(metric))
    held = list(holding(model, made.base, set(_mediators(model, mediators)), freeze_mlps=freeze_mlps))
    rows: dict[str, np.ndarray] = {}
    engines: list[str] = []
    found = None
    for group in grids(parts):
        found = model.measure(path_experiment(made, group, held=held, receivers=readers), engine="scheduled")
        axes = [] if group[0] is EMBED else ["layer", *filter(None, [KINDS[group[0].granularity].axis])]
        change = found.data["path"].transpose(*axes, "example").values - found.data["base"].values
        engines += engine_facts(found)
        rows |= dict(zip((p.name for p in group), made.sign * change.reshape(len(group), -1), strict=True))
    assert found is not None  # there is at least one sender
    facts = [*_facts(made, found), *dict.fromkeys(engines), _open(receivers, mediators, freeze_mlps)]
    if later := _after_all(parts, readers):
        facts.append(f"after every receiver, so without a path to any: {', '.join(later)}")
    return Scores.over_examples(
        [p.name for p in parts], np.stack([rows[p.name] for p in parts]), "metric by paths", facts
    )


def path_experiment(
    made: Intervention, group: Sequence[Part], *, held: Sequence[Edit], receivers: Sequence[Part]
) -> Experiment:
    """The runs of one kind of sender, swept over its layers and heads."""
    kind, sender = KINDS[group[0].granularity], group[0]
    whole = sender is EMBED
    names = sender.sites if whole else tuple(site.split(".", 1)[1] for site in sender.sites)
    runs = {
        **made.replaced.runs,
        "sender": Run(input=made.base, edits=(*held, *(made.replaced.edit(name) for name in names))),
        "path": Run(input=made.base, edits=tuple(reads(receivers))),
    }
    read = "path" if receivers else "sender"
    metrics = (
        *reading(made.metric, path=read, base=made.base),
        *reading(made.metric, clean="clean", corrupt="corrupt"),
    )
    over = [Axis(name="layer", values=sorted({part.layer for part in group}))]
    if kind.axis is not None:
        over.append(Axis(name=kind.axis, values=sorted({part.index for part in group if part.index is not None})))
    sweep = None if whole else Sweep(axes=tuple(over), runs=("sender",))
    return Experiment(inputs=dict(made.replaced.inputs), runs=runs, metrics=metrics, main=read, sweep=sweep)


def _after_all(senders: Sequence[Part], receivers: Sequence[Part]) -> list[str]:
    """Senders that come after all receivers; what reads the logits comes last."""

    def reaches(sender: Part, receiver: Part) -> bool:
        beside = receiver.granularity == "mlp" and sender.granularity in ("head", "attn")
        return sender is EMBED or receiver.layer > sender.layer or (receiver.layer == sender.layer and beside)

    return [each.name for each in senders if receivers and not any(reaches(each, receiver) for receiver in receivers)]


def reads(receivers: Sequence[Part]) -> Iterator[Edit]:
    """What receivers read in the sender's run, put into the base run."""
    for part in receivers:
        site = f"L{part.layer}.mlp_in" if part.granularity == "mlp" else part.sites[0]
        yield edit.patch(site, source="sender", **part.where)  # type: ignore[arg-type]


def holding(model: Model, base: str, mediators: set[str], *, freeze_mlps: bool) -> Iterator[Edit]:
    """Edits that hold all that writes to the residual stream, but for mediators. Before the sender they change nothing."""
    for layer in range(model.n_layers):
        z = f"L{layer}.z"
        if model.why_not(z) is None:
            heads = [h for h in range(model.site(z).sizes["head"]) if f"L{layer}.H{h}" not in mediators]
            if heads:
                yield edit.freeze(z, source=base, head=heads)
        else:
            for name in ("attn_out", "ssm_out"):
                if model.why_not(f"L{layer}.{name}") is None:
                    yield edit.freeze(f"L{layer}.{name}", source=base)
        mlp = f"L{layer}.mlp_out"
        if freeze_mlps and f"L{layer}.mlp" not in mediators and model.why_not(mlp) is None:
            yield edit.freeze(mlp, source=base)


def _senders(model: Model, names: Sequence[str]) -> tuple[Part, ...]:
    if not names:
        raise DataError("path patching needs at least one sender, such as L3.H2.")
    _check("sender", [name for name in names if name != EMBED.name], SENDERS)
    return tuple(EMBED if name == EMBED.name else parts_named(model, [name])[0] for name in names)


def _receivers(model: Model, names: Sequence[str]) -> tuple[Part, ...]:
    """The receivers; none where the metric is read directly."""
    if LOGITS in names:
        if len(names) > 1:
            raise DataError("logits read all that other receivers pass on: ask for them as the only receiver.")
        return ()
    if not names:
        raise DataError("path patching needs at least one receiver, such as L9.H3.q, L9.mlp, or logits.")
    _check("receiver", names, RECEIVERS)
    return parts_named(model, names)


def _mediators(model: Model, names: Sequence[str]) -> tuple[str, ...]:
    _check("mediator", names, ("head", "mlp"))
    return tuple(part.name for part in parts_named(model, names)) if names else ()


def _check(what: str, names: Sequence[str], allowed: Sequence[str]) -> None:
    for name in names:
        if granularity_of(name) not in allowed:
            raise DataError(f"{name!r} can't be a {what}: expected one of the kinds {', '.join(allowed)}.")


def _facts(made: Intervention, found: Result) -> list[str]:
    clean, corrupt = found.data["clean"].values, found.data["corrupt"].values
    if made.replaced.source in ("clean", "corrupt"):
        check_gap(made.metric, clean, corrupt)
    return [made.fact, total_fact(made.metric, {"clean": clean, "counterfactual": corrupt})]


def _open(receivers: Sequence[str], mediators: Sequence[str], freeze_mlps: bool) -> str:
    through = [*mediators, *([] if freeze_mlps else ["all MLPs"])]
    return f"paths: to {', '.join(receivers)}, direct{' or through ' + ', '.join(through) if through else ' only'}"
