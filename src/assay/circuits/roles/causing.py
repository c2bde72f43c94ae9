"""What heads cause: direct effects on the answer, with and without the name movers, and where the name movers look.

    direct        m(base) − m(head ablated, all else held at the base run, final norm's scale too)
    backup        the direct effect in the run without the name movers − in the clean run, as far as it is for the answer: a
                  negative head that only speaks against it less is none
    inhibition    A(clean) − A(name movers' queries read the head's ablated output), A: their attention from the last position
                  to the answer's token − to the wrong answer's; directly, or through MLPs too

The control of each is the median head's value on the same example: that a typical head does as much is no sign of a role.
Cost: each one forward pass of all examples for each head (inhibition: two), of which the schedule computes what differs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.circuits.exact_effects import grids
from assay.circuits.intervention import Intervention
from assay.circuits.measuring import check_gap, reading
from assay.circuits.path_patching import holding, reads
from assay.circuits.places import Part, parts_named
from assay.circuits.roles.deciding import HeadExample
from assay.circuits.roles.looking import Seen
from assay.core.result import Result
from assay.engine.model import Model
from assay.experiments import capture, edit
from assay.experiments.axes import Axis, Sweep
from assay.experiments.captures import SiteCapture
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.runs import Run

SCALE = "final_norm_scale"
BASE = "without"
Places = tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]
"""Where the right answer's token stands in each prompt, and where the wrong one's."""


def direct_effects(
    model: Model, made: Intervention, heads: Sequence[Part], *, without: Sequence[Part] = ()
) -> HeadExample:
    """Each head's direct effect on the metric, in a run in which other heads are ablated already."""
    scale: tuple[Edit, ...] = () if model.why_not(SCALE) else (edit.freeze(SCALE, source="clean"),)
    gone = tuple(made.replaced.edit(part.sites[0], **part.where) for part in without)
    base = Run(input="clean", edits=(*gone, *scale))
    last = {"pos": -1} if made.metric.pos == -1 else {}  # all else being held, no other position reaches the last one
    held = [
        each.model_copy(update=last) for each in holding(model, BASE if without else "clean", set(), freeze_mlps=True)
    ]
    sender = Run(input="clean", edits=(*held, made.replaced.edit("z", **last), *scale))
    runs = {**made.replaced.runs, **({BASE: base} if without else {}), "sender": sender}
    metrics = reading(made.metric, sender="sender", base=BASE if without else "clean")
    rows: dict[str, HeadExample] = {}
    for group in grids(heads):
        experiment = Experiment(
            inputs=dict(made.replaced.inputs), runs=runs, metrics=metrics, main="sender", sweep=_over(group)
        )
        found = model.measure(experiment, engine="scheduled").data
        change = found["sender"].transpose("layer", "head", "example").values - found["base"].values
        rows |= dict(zip((part.name for part in group), made.sign * change.reshape(len(group), -1), strict=True))
    return np.stack([rows[part.name] for part in heads])


def whole_effect(model: Model, made: Intervention) -> float:
    """The mean of the metric's difference between clean and counterfactual prompts.

    Raises:
        DataError: there is none, so that nothing can be a share of it.
    """
    metrics = reading(made.metric, clean="clean", corrupt="corrupt")
    found = model.measure(Experiment(inputs=dict(made.replaced.inputs), metrics=metrics, main="clean")).data
    check_gap(made.metric, found["clean"].values, found["corrupt"].values)
    return float(-made.sign * (found["clean"] - found["corrupt"]).mean())


def inhibition(
    model: Model,
    made: Intervention,
    heads: Sequence[Part],
    *,
    movers: Sequence[Part],
    places: Places,
    freeze_mlps: bool,
) -> HeadExample:
    """How much of the name movers' attention to the right answer rather than the wrong one each head is the cause of.

    In shares of the mean difference between clean and counterfactual prompts; heads that are not before all movers' layers
    reach only the later ones.
    """
    held = tuple(holding(model, "clean", set(), freeze_mlps=freeze_mlps))
    queries = parts_named(model, [f"{part.name}.q" for part in movers])
    kept = tuple(
        capture.site(f"L{n}.pattern", pos=-1, head=[p.index or 0 for p in movers if p.layer == n])
        for n in sorted({part.layer for part in movers})
    )
    last = max(part.layer for part in movers)
    runs = {
        **made.replaced.runs,
        "sender": Run(
            input="clean", edits=(*held, made.replaced.edit("z", pos=-1))
        ),  # all that the last queries can read
        "path": Run(input="clean", edits=tuple(reads(queries)), captures=kept),
    }
    own, other = (_difference(_unchanged(model, made, side, kept), places) for side in ("clean", "corrupt"))
    rows = {part.name: np.zeros(len(own)) for part in heads}
    for group in grids([part for part in heads if part.layer < last]):
        experiment = Experiment(
            inputs=dict(made.replaced.inputs), runs=runs, main="path",
            sweep=_over(group),
        )  # fmt: skip
        changed = _difference(model.measure(experiment, engine="scheduled"), places)
        rows |= dict(zip((part.name for part in group), (own - changed).reshape(len(group), -1), strict=True))
    return np.stack([rows[part.name] for part in heads]) / float((own - other).mean())


def against_median(value: HeadExample) -> Seen:
    """The values, and the median head's on each example."""
    known = value[np.isfinite(value).all(axis=1)]
    median = np.median(known, axis=0) if len(known) else np.full(value.shape[1], np.nan)
    return value, np.broadcast_to(median, value.shape)


def _unchanged(model: Model, made: Intervention, side: str, kept: tuple[SiteCapture, ...]) -> Result:
    run = {"looking": Run(input=side, captures=kept)}
    return model.measure(Experiment(inputs=dict(made.replaced.inputs), runs=run, main="looking"))


def _difference(found: Result, places: Places) -> np.ndarray:
    """Attention to the right places minus to the wrong ones, mean over the captured heads: [layer · head, example]."""
    rows = []
    for array in (found.data[name] for name in found.names if name.endswith(".pattern")):
        axes = [axis for axis in ("layer", "head") if axis in array.dims and axis in found.data.coords]
        inner = [dim for dim in array.dims if dim not in (*axes, "example", "key")]
        values = array.transpose(*axes, "example", *inner, "key").values
        values = values.reshape(*values.shape[: len(axes) + 1], -1, values.shape[-1])
        for head in range(values.shape[-2]):
            one = values[..., head, :]
            pairs = enumerate(zip(*places, strict=True))
            rows.append(
                np.stack([one[..., i, right].sum(-1) - one[..., i, wrong].sum(-1) for i, (right, wrong) in pairs], -1)
            )
    return np.asarray(np.mean(rows, axis=0))


def _over(group: Sequence[Part]) -> Sweep:
    axes = (
        Axis(name="layer", values=sorted({part.layer for part in group})),
        Axis(name="head", values=sorted({part.index for part in group if part.index is not None})),
    )
    return Sweep(axes=axes, runs=("sender",))
