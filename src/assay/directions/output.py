"""The model's own answer as a direction: what it would say, read where it says it.

The logit of one token minus that of another is linear in what the unembedding reads, so it is a direction at `final_norm`: the
difference of the two rows. Soft caps of logits are monotone and are left out. It needs no training, and stands beside probes
on the same work: what a probe finds and this does not, the model does not say.

Cost: none, the weights are there.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import numpy as np
import torch

from assay.core.claims import Unclaimed
from assay.core.direction import Directions
from assay.core.errors import DataError, SiteError
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.data.relabel import What
from assay.directions.labels import labelled_prompts
from assay.engine.model import Model


@method(
    gives=Directions,
    cites="nostalgebraist 2020, the logit lens",
    cost="none: it is made of two rows of the unembedding",
    assumes="prompts whose next token names the label",
    fails_when="the label has many names, or the prompt does not ask for it",
    claim=Unclaimed("a rival: the model's own answer stands beside what is trained"),
)
def output_direction(
    model: Model,
    pairs: Pairs,
    *,
    label: Annotated[What, "what is told apart: label, answer, side, or auto"] = "auto",
) -> Directions:
    """What the model itself would answer: the usual answer to prompts of the second label against that to the first's.

    Raises:
        DataError: more than two labels, or both have the same usual answer.
        SiteError: the model has no unembedding that could be found.
    """
    prompts = labelled_prompts(pairs, label=label)
    if len(prompts.labels) != 2:
        raise DataError(f"An answer against another needs two labels; these prompts have {len(prompts.labels)}.")
    named = [_usual(pairs, prompts.y, prompts.unit, each) for each in (0, 1)]
    if named[0] == named[1]:
        raise DataError(f"Prompts of both labels have the same usual answer, token {named[0]}: nothing to tell apart.")
    embeddings = getattr(model.native, "get_output_embeddings", lambda: None)()
    if embeddings is None:
        raise SiteError("this model's unembedding is not known, so its answers can't be read as a direction.")
    site = str(model.site("final_norm"))
    with torch.no_grad():
        rows = embeddings.weight[named].double().cpu().numpy()
        bias = getattr(embeddings, "bias", None)
        apart = 0.0 if bias is None else float(bias[named[1]] - bias[named[0]])
    vector = rows[1] - rows[0]
    origin = -apart * vector / (vector @ vector)
    said = "its own answer: the logit of one token minus the other's"
    facts = (f"{said}: {prompts.labels[1]} against {prompts.labels[0]}",)
    return Directions.of(
        {site: vector}, origins={site: origin}, quantity=said, pos="end", labels=prompts.labels, facts=facts
    )


def _usual(pairs: Pairs, y: np.ndarray, unit: np.ndarray, label: int) -> int:
    """The token that most prompts of a label have for an answer."""
    found: Counter[int] = Counter()
    tokens, seen = pairs.aligned_tokens(), set[int]()
    for each, of in zip(y.tolist(), unit.tolist(), strict=True):
        answers = tokens[of].corrupt_answers if of in seen else tokens[of].answers
        seen.add(of)
        if each == label and answers:
            found[answers[0][0]] += 1
    if not found:
        raise DataError(f"Prompts of task {pairs.task!r} have no answers: use a task that is completed.")
    return found.most_common(1)[0][0]
