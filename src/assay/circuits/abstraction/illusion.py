"""Is a subspace that works the network's own, or one that the search made work?

A direction can flip the output by adding a part that no later weight reads, but that goes with the variable, to a part that
is read, but that never moves by itself: swapping it then drives a dormant path, and says nothing of how the network works
(Makelov et al. 2023, arXiv:2311.17030; on what follows from it, Wu et al. 2024, arXiv:2401.12631). Five checks:

    null space  the part in the row space of the weight that reads the site does less than half of what all of it does
    untrained   the same search in a network with shuffled weights gets more than half as far above doing nothing
    width       the subspace has more than half of the place's dimensions
    held out    IIA on the training settings is above the interval of the IIA on those held out
    logits      logits move (`logit_fraction` > 0.25), and fewer than half as many answers follow
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from assay.circuits.abstraction.alignment import Alignment
from assay.circuits.abstraction.counterfactuals import Counterfactuals
from assay.circuits.abstraction.das import BASELINE, HOW
from assay.circuits.abstraction.measuring import Answered, answered
from assay.circuits.abstraction.places import Places
from assay.circuits.abstraction.reader import Split, reading_weight, split
from assay.circuits.abstraction.search import Fit, Search
from assay.circuits.abstraction.spaces import Rotated
from assay.circuits.abstraction.training import TRAINING, Examples, Training
from assay.circuits.abstraction.untrained import untrained
from assay.circuits.claims import EXAMINED
from assay.core.attachments import Attachment
from assay.core.caveats import caveat
from assay.core.errors import SettingsError
from assay.core.registry import method
from assay.core.result import Result
from assay.engine.model import Model
from assay.experiments import edit
from assay.experiments.sourced_edits import Patch
from assay.stats.proportion import wilson_of

CHECKS = ("null space", "untrained", "width", "held out", "logits")
MOVES, HALF = 0.25, 0.5


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:2311.17030", "arXiv:2401.12631"),
    cost="a training of das for each width, and one more for the untrained network",
    assumes="an alignment that is a subspace or coordinates of one site",
    fails_when="the site is read by several weights, as the residual stream is: the null-space check is then left out",
    claim=EXAMINED,
)
def illusion_checks(
    model: Model,
    data: Counterfactuals,
    *,
    alignment: Alignment,
    reader: Annotated[
        str | None, "the module whose weight reads the site; nothing means the one whose input it is"
    ] = None,
    widths: Annotated[tuple[int, ...], "widths at which das is trained anew"] = (1, 2, 4, 8),
    training: Annotated[Training, HOW] = TRAINING,
    baseline: Annotated[bool, BASELINE] = True,
) -> Result:
    """Five checks of one alignment, on held-out settings.

    `iia` (with intervals), `logit_fraction` and `cause` (IIA where the label should change) over `part`: `full`, `row`
    and `null`; `width_iia`, `width_train_iia`, `width_logit_fraction` over `width`; `untrained`; `null_share` and what it
    is for a random subspace; `flagged` over `check`, NaN where a check could not be made. Facts say what was flagged.
    """
    some = data.of(alignment.variable)
    test, basis = some.of(split="test"), _basis(model, alignment)
    weight = reading_weight(model, alignment, reader)
    parts = _parts(alignment, basis, weight)
    measured = answered(model, test, list(parts.values()))
    seen = answered(model, some.of(split="train"), [alignment])
    place = edit.patch(alignment.site, source="source", pos=alignment.pos, head=alignment.head)
    sweep = [_das(model, some, place, rank=rank, training=training) for rank in widths if rank <= len(basis)]
    after = answered(model, test, [fit.alignment for fit in sweep]) if sweep else None
    rival = _untrained(model, some, place, rank=basis.shape[1], training=training) if baseline else float("nan")
    found = split(basis, weight) if weight is not None else None
    dataset = xr.Dataset(
        _of_parts(measured, test) | _of_widths(after, sweep),
        coords={"part": list(parts), "width": [fit.alignment.width for fit in sweep], "check": list(CHECKS)},
    )
    dataset["untrained"], dataset["train_iia"] = rival, float(seen.correct.mean())
    dataset["null_share"] = found.null_share if found is not None else float("nan")
    dataset["null_share_of_random"] = found.expected if found is not None else float("nan")
    flags = _flags(dataset, test, entries=len(basis), columns=basis.shape[1])
    dataset["flagged"] = ("check", np.array([flags[check] for check in CHECKS]))
    made = measured.provenance.with_facts(*_facts(dataset, found, alignment))
    cost = measured.cost + seen.cost
    return Result(dataset, made, cost if after is None else cost + after.cost)


def _basis(model: Model, alignment: Alignment) -> Float[Tensor, "d k"]:
    if alignment.basis is not None:
        given = alignment.basis.tensor.float()
        spanning: Tensor = torch.linalg.qr(given.reshape(len(given), -1)).Q
        return spanning
    site = model.site(alignment.site)
    width = site.sizes.get(site.axes[-1]) if site.axes else None
    if not alignment.dims or width is None:
        raise SettingsError(
            f"the checks need a subspace: the {alignment.method} alignment of {alignment.variable!r} has neither a basis nor "
            "coordinates (or the size of its site is not known: load the module with inputs=)."
        )
    columns: Tensor = torch.eye(width)[:, list(alignment.dims)]
    return columns


def _parts(alignment: Alignment, basis: Tensor, weight: Tensor | None) -> dict[str, Alignment]:
    """The alignment, and what of it is read and is not."""
    if weight is None:
        return {"full": alignment}
    found = split(basis, weight)

    def of(columns: Tensor) -> Alignment:
        given = {"basis": Attachment.of(columns), "dims": None} if columns.shape[1] else {"basis": None, "dims": ()}
        return alignment.model_copy(update=given)

    return {"full": alignment, "row": of(found.row), "null": of(found.null)}


def _das(model: Model, data: Counterfactuals, place: Patch, *, rank: int, training: Training) -> Fit:
    def make(examples: Examples, seed: int) -> Rotated:
        return Rotated(examples.width, rank, seed=seed)

    positions = None if place.pos is None else (place.pos,)
    places = Places.of(model, (place.site,), positions, place.head)  # type: ignore[arg-type]
    return Search("das", make, places, training).fit(model, data, place)


def _untrained(model: Model, data: Counterfactuals, place: Patch, *, rank: int, training: Training) -> float:
    other = untrained(model, seed=training.seed)
    fit = _das(other, data, place, rank=rank, training=training)
    return float(answered(other, data.of(split="test"), [fit.alignment]).correct.mean())


Columns = dict[str, tuple[str, np.ndarray]]


def _of_parts(measured: Answered, test: Counterfactuals) -> Columns:
    ends = [wilson_of(row) for row in measured.correct]
    return {
        "iia": ("part", measured.correct.mean(-1)),
        "iia_low": ("part", np.array([end.low for end in ends])),
        "iia_high": ("part", np.array([end.high for end in ends])),
        "cause": ("part", measured.correct[:, test.changes].mean(-1)),
        "logit_fraction": ("part", measured.logit_fraction),
    }


def _of_widths(after: Answered | None, sweep: list[Fit]) -> Columns:
    empty = np.zeros(0)
    return {
        "width_iia": ("width", empty if after is None else after.correct.mean(-1)),
        "width_train_iia": ("width", np.array([fit.train_iia for fit in sweep])),
        "width_logit_fraction": ("width", empty if after is None else after.logit_fraction),
    }


def _flags(data: xr.Dataset, test: Counterfactuals, *, entries: int, columns: int) -> dict[str, float]:
    """1 for flagged, 0 for not, NaN for a check that could not be made."""
    full, chance = data.sel(part="full"), test.chance["keep the base's label"]
    iia, fraction, cause = (float(full[name]) for name in ("iia", "logit_fraction", "cause"))
    flags = dict.fromkeys(CHECKS, float("nan"))
    if "row" in data["part"] and fraction > MOVES:
        flags["null space"] = float(data["logit_fraction"].sel(part="row")) < HALF * fraction
    if np.isfinite(float(data["untrained"])) and iia > chance:
        flags["untrained"] = float(data["untrained"]) - chance > HALF * (iia - chance)
    flags["width"] = columns > HALF * entries
    flags["held out"] = float(data["train_iia"]) > float(full["iia_high"])
    flags["logits"] = fraction > MOVES and cause < HALF * min(fraction, 1.0)  # beyond 1 every answer should follow
    return {name: float(flag) for name, flag in flags.items()}


def _facts(data: xr.Dataset, found: Split | None, alignment: Alignment) -> list[str]:
    flagged = {check: float(value) for check, value in zip(CHECKS, data["flagged"].values, strict=True)}
    full = data.sel(part="full")
    cause = float(full["cause"])
    lines = [
        f"{alignment.variable} at {alignment.site}: IIA {float(full['iia']):.2f}, {cause:.2f} where the label should change"
    ]
    if found is None:
        lines.append(
            caveat("no one weight reads this site, so the null-space check was not made: name reader= to make it")
        )
    if flagged["null space"] == 1:
        row = float(data["logit_fraction"].sel(part="row"))
        lines.append(
            caveat(
                f"illusion: the part of the subspace that is read moves {row:.2f} of the logit difference, all of it "
                f"{float(full['logit_fraction']):.2f}; {float(data['null_share']):.0%} of it lies where nothing reads"
            )
        )
    if flagged["untrained"] == 1:
        lines.append(
            caveat(f"a search in shuffled weights gets IIA {float(data['untrained']):.2f}: much of this is the search")
        )
    if flagged["width"] == 1:
        lines.append(caveat("the subspace has more than half of the place's dimensions"))
    if flagged["held out"] == 1:
        seen = float(data["train_iia"])
        lines.append(caveat(f"IIA is {seen:.2f} on the settings of the training, above what held-out ones give"))
    if flagged["logits"] == 1:
        lines.append(caveat("logits move much further than answers follow: read IIA, not the logit difference"))
    return lines
