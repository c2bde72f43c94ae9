"""What adding a direction does on held-out prompts, and what it costs.

    effect(s) = m(prompt with s·v added) − m(prompt)          m: logit of the target answer minus that of the other

The prompts are those sides of the pairs that do not have what the direction points to; the target is the other side's answer.
So an effect of m(clean) − m(counterfactual) is as much as the prompt itself would give. Beside every effect stands its cost:
KL(unsteered ‖ steered) at the prompt's last token, and on unrelated text, one piece for each prompt, KL and the rise of the
next-token loss. And the controls: the opposite direction, random ones of the same length, and words in the prompt.

Cost: directions × strengths × (2 + random directions) passes of the prompts and of the text, from the directions' layers on,
all of them variants of one experiment; one more of the prompts for `unit="residual"`. Sources: Turner et al. 2023,
arXiv:2308.10248; Rimsky et al. 2023, arXiv:2312.06681; controls as in Wu et al. 2025, arXiv:2501.17148 (prompts are the
strongest rival there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import xarray as xr

from assay.core.caveats import caveat
from assay.core.claims import Beside, Claim
from assay.core.direction import Directions
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.directions.steering.arms import (
    STRENGTHS,
    UNIT,
    Unit,
    adding,
    after_words,
    at_random,
    check_strengths,
    named,
    opposite,
    scaled,
    words,
)
from assay.directions.steering.measuring import TEXT, Measured, measured
from assay.directions.steering.places import AT, as_positions, norms
from assay.directions.steering.sides import towards_of, turned
from assay.directions.steering.unrelated import ON_TEXT, UNRELATED, UnrelatedText, pieces
from assay.engine.model import Model
from assay.experiments import metric
from assay.experiments.inputs import Input, as_input
from assay.experiments.metrics import Metric
from assay.experiments.positions import Pos, Slice

WORDS, WORDS_ON_TEXT = "words", "words on text"
CLAIM = Claim(
    "steering",
    variable="effect",
    beside={
        "random_direction": Beside("effect_random", "draw"),
        "wrong_sign": Beside("effect_opposite"),
        "prompt_only": Beside("effect_prompt"),
    },
    without={"matched_norm": "the random direction has the same length already, and one vector is one row"},
)


@method(
    intervenes=True,
    gives=Result,
    cites=("arXiv:2308.10248", "arXiv:2312.06681", "arXiv:2501.17148"),
    cost="directions × strengths × (2 + random directions) passes of the prompts and of as many pieces of text",
    assumes="held-out prompts, and a strength and a layer that were chosen on others",
    fails_when=(
        "the vector is so long that the model breaks: effects of opposite and random directions and the cost on text then "
        "come near its own; one next token says little of longer texts (see steered_texts)"
    ),
    claim=CLAIM,
)
def steer(
    model: Model,
    pairs: Pairs,
    *,
    direction: Directions,
    strengths: Annotated[tuple[float, ...], STRENGTHS],
    at: Annotated[Pos, AT],
    unit: Annotated[Unit, UNIT] = "residual",
    random_directions: Annotated[int, "how many random directions of the same length"] = 2,
    instruction: Annotated[str | None, "words before the prompt in place of the vector: the simplest rival"] = None,
    text: Annotated[UnrelatedText | None, ON_TEXT] = UNRELATED,
) -> Result:
    """What adding a direction does to held-out prompts, strength by strength, with its cost and its controls.

    `effect` (direction, strength, example) is the change of the logit difference, `effect_opposite`, `effect_random` (draw,
    …) and `effect_prompt` (example) those of the controls; `kl`, `kl_opposite`, `kl_random` at the prompt's last token;
    `text_kl` and `text_loss` the cost on text, in nats a token, with the same endings; `prob` the target's probability;
    `added` and `added_share` the length of what is added, and as a share of the site's mean length; `unsteered`,
    `counterpart` (the same difference on the other side of the pairs) and `unsteered_prob` (example).
    """
    check_strengths(strengths)
    pairs, at = turned(pairs, towards_of(direction)), as_positions(at)
    unit_long = scaled(model, pairs, direction, unit=unit, at=at)
    arms = {"own": unit_long, "opposite": opposite(unit_long)}
    arms |= {f"random {draw}": at_random(unit_long, draw) for draw in range(random_directions)}
    found_text, facts = (None, ()) if text is None else pieces(text, model, len(pairs))
    rivals, also = _words(model, pairs, instruction, found_text)
    also += norms(list(direction.sites), "corrupt", at)
    found = measured(
        model, pairs, adding(arms), at=at, strengths=strengths, text=found_text, more=rivals, also=also
    )  # fmt: skip
    data = _table(found, arms, strengths, with_words=instruction is not None)
    said = _said(data, at, unit)
    return Result(data, found.result.provenance.with_facts(*facts, *said), found.result.cost)


def _words(
    model: Model, pairs: Pairs, instruction: str | None, text: Sequence[Sequence[int]] | None
) -> tuple[dict[str, Input], list[Metric]]:
    """The prompts and the text after the instruction, and what is read of them."""
    if instruction is None:
        return {}, []
    inputs: dict[str, Input] = {WORDS: after_words(pairs, instruction, model)}
    metrics: list[Metric] = [metric.logit_diff(name="unedited words", run=WORDS)]
    if text is not None:
        before = words(instruction, model)
        inputs[WORDS_ON_TEXT] = as_input([[*before, *piece] for piece in text])
        own = Slice(start=len(before))
        metrics.append(metric.loss(name="unedited words_loss", run=WORDS_ON_TEXT, pos=own, reduce="mean"))
    return inputs, metrics


def _table(
    found: Measured, arms: Mapping[str, Directions], strengths: Sequence[float], *, with_words: bool
) -> xr.Dataset:
    own = arms["own"]
    draws = [arm for arm in arms if arm.startswith("random ")]
    dims = ("direction", "strength", "example")
    before, loss = found.unedited("corrupt"), "text_loss" in found.quantities
    variables: dict[str, Any] = {}
    for quantity, name, zero in _quantities(found):
        variables[name] = (dims, _of(found, quantity, "own", own) - zero)
        variables[f"{name}_opposite"] = (dims, _of(found, quantity, "opposite", own) - zero)
        if draws:
            drawn = np.stack([_of(found, quantity, arm, own) - zero for arm in draws])
            variables[f"{name}_random"] = (("draw", *dims), drawn)
    if with_words:
        variables["effect_prompt"] = (("example",), found.unedited("words") - before)
        if loss:
            variables["text_loss_prompt"] = (
                ("example",),
                found.unedited("words_loss") - found.unedited(TEXT + "_loss"),
            )
    lengths = np.linalg.norm(own.vectors, axis=1)
    sizes = np.array([found.unedited(f"norm {site}").mean() for site in own.sites])
    added = lengths[:, None] * np.abs(np.array(strengths))
    variables |= {
        "prob": (dims, _of(found, "prob", "own", own)),
        "added": (dims[:2], added),
        "added_share": (dims[:2], added / sizes[:, None]),
        "unsteered": (("example",), before),
        "counterpart": (("example",), found.unedited("clean")),
        "unsteered_prob": (("example",), found.unedited("prob")),
    }
    coords: dict[str, Any] = {"direction": list(own.names), "strength": [float(each) for each in strengths]}
    coords |= {"site": ("direction", list(own.sites)), "draw": draws}
    return xr.Dataset(variables, coords={name: each for name, each in coords.items() if name != "draw" or draws})


def _quantities(found: Measured) -> list[tuple[str, str, Any]]:
    """What is measured, what it is called in the table, and what is taken off: its value without any edit."""
    every: list[tuple[str, str, Any]] = [("diff", "effect", found.unedited("corrupt")), ("kl", "kl", 0.0)]
    if "text_kl" in found.quantities:
        every += [("text_kl", "text_kl", 0.0), ("text_loss", "text_loss", found.unedited("text_loss"))]
    return every


def _of(found: Measured, quantity: str, arm: str, own: Directions) -> np.ndarray:
    return found(quantity, *(named(arm, name) for name in own.names))


def _said(data: xr.Dataset, at: Pos, unit: Unit) -> list[str]:
    """What the numbers come to, and which controls come near."""
    share = data["added_share"].values
    facts = [
        f"added at positions {'all' if at is None else at} of the prompts, all but the first of the text",
        f"a strength of 1 is {'the mean length at the site' if unit == 'residual' else 'the vector as it is'}",
        f"what is added is from {share.min():.3g} to {share.max():.3g} times the mean length at its site",
        f"the other side of the pairs differs by {float((data['counterpart'] - data['unsteered']).mean()):.2f} "
        f"in the same logit difference, n = {data.sizes['example']}",
    ]
    means = data.mean("example")
    effect = means["effect"]
    if "effect_random" in data and (behind := int((means["effect_random"].max("draw") >= effect).sum())):
        facts.append(caveat(f"at {behind} of {effect.size} strengths a random direction does as much"))
    if "effect_prompt" in data and float(means["effect_prompt"]) >= float(effect.max()):
        facts.append(caveat(f"words in the prompt do more ({float(means['effect_prompt']):.2f}) than any strength"))
    return facts
