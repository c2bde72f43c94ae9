"""A monitor at work: how well a calibrated direction flags prompts that it was neither trained nor calibrated on.

Whether it is worth its name is said by what stands beside it: the words alone, the model asked in words, a constant.

Cost: one forward pass of both prompts of each pair, up to the site that is read.
Sources: linear monitors, arXiv:2312.01037, arXiv:2502.03407; expected calibration error, arXiv:1706.04599.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import xarray as xr
from scipy.special import expit

from assay.core.caveats import caveat
from assay.core.claims import Claim
from assay.core.direction import Directions
from assay.core.errors import SettingsError
from assay.core.registry import method
from assay.core.result import INFLUENCES, Result
from assay.data.pairs import Pairs
from assay.data.relabel import What
from assay.directions.labels import labelled_prompts
from assay.directions.measuring import auroc, auroc_by_wording, brier, calibration_error, right, share_among
from assay.directions.reading import as_answers, made, read
from assay.engine.model import Model
from assay.stats.proportion import wilson

CHANCE = 0.5
MISCALIBRATED = 0.1
"""Probabilities that are further off than this are said to be."""


@method(
    gives=Result,
    cites=("arXiv:2502.03407", "arXiv:1706.04599"),
    cost="one forward pass of both prompts of each pair",
    assumes="prompts that share no wording and no name with those that it was trained and calibrated on",
    fails_when="the label is in the words (see bag_of_words), or what is watched shifts away from what it was calibrated on",
    claim=Claim("monitor", variable="correct", pairs=True),
)
def monitor(
    model: Model,
    pairs: Pairs,
    *,
    directions: Directions,
    label: Annotated[What, "what is told apart: label, answer, side, or auto"] = "auto",
) -> Result:
    """How well one calibrated direction flags the second label: AUROC, caught and false alarms at its threshold, calibration.

    `correct` (probability above a half), `auroc`, `caught`, `false_alarms` and `brier` have a value for each pair, whose mean
    is the measure; `calibration_error` is one number, and `auroc_by_wording` has one for each wording.

    Raises:
        SettingsError: several directions, or more than two labels.
    """
    if len(directions) != 1 or len(directions.labels) != 2:
        raise SettingsError(
            f"A monitor is one direction of two labels, as `calibrate` gives; these are {len(directions)} of "
            f"{len(directions.labels)} labels."
        )
    prompts = labelled_prompts(pairs, label=label, pos=directions.pos or "end", known=directions.labels)
    readings = read(model, prompts, directions)[0]
    flagged, positive, probability = readings > directions.thresholds[0], prompts.y == 1, expit(readings)
    area = auroc(readings, prompts)
    variables: dict[str, Any] = {
        "correct": as_answers(right((readings > 0).astype(int), prompts), prompts),
        "auroc": area,
        "caught": share_among(flagged, positive, prompts),
        "false_alarms": share_among(flagged, ~positive, prompts),
        "brier": brier(probability, prompts),
    }
    data = xr.Dataset(
        {name: (("example",), each) for name, each in variables.items()},
        attrs={INFLUENCES: ["auroc", "caught", "false_alarms"]},
    )
    error = calibration_error(probability, prompts)
    data["calibration_error"] = ((), error)
    wordings = auroc_by_wording(readings, prompts)
    data["auroc_by_wording"] = (("wording",), np.array(list(wordings.values())))
    data = data.assign_coords(wording=list(wordings))
    alarms = wilson(int((flagged & ~positive).sum()), int((~positive).sum()))
    facts = [
        f"reads {directions.names[0]} at {directions.pos or 'end'}",
        *directions.facts[:3],
        f"false alarms {alarms}",
    ]
    if worse := [f"{name} ({found:.2f})" for name, found in wordings.items() if found <= CHANCE]:
        facts.append(caveat(f"no better than chance on the wordings {', '.join(worse)}"))
    if error > MISCALIBRATED:
        facts.append(caveat(f"its probabilities are off by {error:.2f} on average (expected calibration error)"))
    return made(model, data, facts=facts, rows=len(prompts.tokens))
