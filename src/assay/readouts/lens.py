"""The logit lens: what would the model say if the residual stream of this layer were the last one?

Every layer's residual stream goes through the model's own final norm and unembedding. Cost: one forward pass of all
examples, and one unembedding for each layer. Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from assay.core.provenance import Cost, Provenance
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import capture
from assay.readouts.batches import batches
from assay.readouts.output import Output

READINGS = ("logit_diff", "prob", "rank", "correct")


@method(
    gives=Result,
    cites="nostalgebraist 2020, the logit lens",
    cost="one forward pass of all examples, and an unembedding for each layer",
    assumes="that middle layers write in the basis that the last layer reads",
    fails_when="they do not: an answer may be there that this basis does not show; 'not readable here' is no evidence",
)
def logit_lens(model: Model, pairs: Pairs) -> Result:
    """When does the answer become readable: the last position's residual stream of every layer, unembedded.

    For each layer and example: `logit_diff` between right and wrong answer, `prob` and `rank` of the right one, and
    `correct`, whether it beats the wrong one.
    """
    output = Output.of(model)
    layers = [site.layer or 0 for site in model.network.sites_named("resid_post")]
    rows: dict[str, list[np.ndarray]] = {name: [] for name in READINGS}
    for part, run in batches(model, pairs, capture=[capture.site("resid_post", pos=-1)]):
        right, wrong = part.answer_ids.tolist(), part.wrong_ids.tolist()
        read = [_readings(output.logits(run[f"L{layer}.resid_post"][:, 0]), right, wrong) for layer in layers]
        for name in READINGS:
            rows[name].append(np.stack([each[name] for each in read]))
    variables = {name: (("layer", "example"), np.concatenate(parts, axis=1)) for name, parts in rows.items()}
    data = xr.Dataset(variables, coords={"layer": layers})
    facts = ("read through the model's own final norm and unembedding; soft caps of the logits are not applied",)
    made = Provenance.now(model_fingerprint=model.fingerprint, model_source=model.network.source.name, facts=facts)
    return Result(data, made, Cost(rows=len(pairs)))


def _readings(logits: Float[Tensor, "batch vocab"], right: list[int], wrong: list[int]) -> dict[str, np.ndarray]:
    rows = torch.arange(len(right), device=logits.device)
    answer, other = logits[rows, right], logits[rows, wrong]
    return {
        "logit_diff": (answer - other).cpu().numpy(),
        "prob": torch.softmax(logits, -1)[rows, right].cpu().numpy(),
        "rank": (logits > answer[:, None]).sum(-1).cpu().numpy().astype(float),
        "correct": (answer > other).cpu().numpy(),
    }
