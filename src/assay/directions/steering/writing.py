"""What a steered model writes: texts beside texts, and how broken they are, in numbers.

Greedy continuations of a few prompts, unsteered, steered at each strength, with a random direction of the same length, and
after an instruction. For each: the loss of what was written under the *unsteered* model (nats a token: how unlikely it
finds it), and the share of three tokens in a row that came before in the same text (a model that breaks repeats itself).

The vector is added at the stated positions of the prompt and at every token that is written. Cost: a pass of the prompts and
one of each new token, for each arm, in batches with a key/value cache; then a pass of all texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import xarray as xr

from assay.core.caveats import caveat
from assay.core.claims import Unclaimed
from assay.core.direction import Directions
from assay.core.errors import SettingsError
from assay.core.registry import method
from assay.core.result import Result
from assay.data.pairs import Pairs
from assay.directions.edits import add
from assay.directions.steering.arms import STRENGTHS, UNIT, Unit, after_words, at_random, check_strengths, scaled
from assay.directions.steering.places import AT, as_positions
from assay.directions.steering.sides import towards_of, turned
from assay.engine.model import Model
from assay.experiments import metric
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.inputs import Tokens, as_input
from assay.experiments.positions import Pos, Slice

BATCH = 16
GRAM = 3
REPEATS = 0.2
"""A rise of the share of repeated pieces beyond this is said."""


@method(
    intervenes=True,
    gives=Result,
    cites="arXiv:2308.10248",
    cost="(1 + 2 × strengths) continuations of each prompt, and one pass of all that was written",
    assumes="that greedy continuations of a few prompts show how the model writes",
    fails_when="texts are read instead of counted: a handful can be chosen to show anything",
    claim=Unclaimed("texts to read; what is claimed of them is measured by steer"),
)
def steered_texts(
    model: Model,
    pairs: Pairs,
    *,
    direction: Directions,
    strengths: Annotated[tuple[float, ...], STRENGTHS],
    at: Annotated[Pos, AT],
    unit: Annotated[Unit, UNIT] = "residual",
    instruction: Annotated[str | None, "words before the prompt in place of the vector"] = None,
    prompts: Annotated[int, "how many of the prompts are continued"] = 4,
    max_new_tokens: Annotated[int, "how many tokens are written"] = 24,
) -> Result:
    """What the model writes with and without the vector, with a random one, and after an instruction.

    `loss` and `repetition` (arm, example) are the numbers; `text` and `prompt`, coordinates beside them, the texts:
    `to_dataframe()` has all in one table. The prompts are the sides of the pairs that the direction does not point to.
    """
    check_strengths(strengths)
    if len(direction) != 1:
        raise SettingsError(
            f"texts are written with one direction; these are {len(direction)}: .take([name]) one of them."
        )
    pairs, at = turned(pairs[:prompts], towards_of(direction)), as_positions(at)
    own = scaled(model, pairs, direction, unit=unit, at=at)
    asked: Tokens = pairs.as_inputs()["corrupt"]  # type: ignore[assignment]
    written: dict[str, tuple[Tokens, list[list[int]]]] = {}
    for arm, found in {"steered": own, "random": at_random(own, 0)}.items():
        over = list(dict.fromkeys([*([0.0] if arm == "steered" else []), *strengths]))
        made = model.generate_sweep(
            asked,
            _added(found, at, max_new_tokens),
            over={"scale": over},
            max_new_tokens=max_new_tokens,
            temperature=0.0,
        )
        for strength in over:
            rows = made["tokens"].sel(scale=strength).values
            name = "unsteered" if arm == "steered" and strength == 0 else f"{arm} {strength:g}"
            written[name] = asked, [[int(token) for token in row if token >= 0] for row in rows]
    if instruction is not None:
        told: Tokens = after_words(pairs, instruction, model)  # type: ignore[assignment]
        generated = model.generate(told, max_new_tokens=max_new_tokens)
        written["instruction"] = told, [list(row) for row in generated.tokens]
    return _table(model, pairs, written)


def _added(direction: Directions, at: Pos, tokens: int) -> list[Edit]:
    """The vector at the prompt's positions, and at every token that is written."""
    (one,) = direction
    later = [add(one, units="vector", step=slice(1, None))] if tokens > 1 else []
    return [add(one, units="vector", pos=at), *later]


def _table(model: Model, pairs: Pairs, written: dict[str, tuple[Tokens, list[list[int]]]]) -> Result:
    arms = list(written)
    losses = _losses(model, written)
    repeats = np.array([[repetition(row) for row in rows] for _, rows in written.values()])
    shape = ("arm", "example")
    coords: dict[str, Any] = {"arm": arms}
    if model.tokenizer is not None:
        coords["text"] = shape, [[_text(model, row) for row in rows] for _, rows in written.values()]
        coords["prompt"] = ("example",), [str(example.corrupt) for example in pairs]
    data = xr.Dataset({"loss": (shape, losses["loss"].values), "repetition": (shape, repeats)}, coords=coords)
    return Result(data, losses.provenance.with_facts(*_said(data)), losses.cost)


def repetition(tokens: Sequence[int]) -> float:
    """The share of three tokens in a row that came before in the same text; 0 for texts that are too short.

    >>> repetition([1, 2, 3, 1, 2, 3, 1, 2, 3]), repetition([1, 2, 3, 4])
    (0.5714285714285714, 0.0)
    """
    grams = [tuple(tokens[i : i + GRAM]) for i in range(len(tokens) - GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _losses(model: Model, written: dict[str, tuple[Tokens, list[list[int]]]]) -> Result:
    """The mean loss of each written text under the unsteered model, given its prompt: `loss` (arm, example)."""
    rows = [
        ([*prompt, *new], len(prompt) - 1)
        for asked, every in written.values()
        for prompt, new in zip(asked.tokens, every, strict=True)
    ]
    whole = as_input([ids for ids, _ in rows], positions={"last": [last for _, last in rows]})
    read = metric.loss(name="loss", pos=Slice(start="last"), reduce="mean")
    found = model.measure(Experiment(inputs={"written": whole}, metrics=[read], main="written"), batch=BATCH)
    shaped = found["loss"].values.reshape(len(written), -1)
    return Result(xr.Dataset({"loss": (("arm", "example"), shaped)}), found.provenance, found.cost)


def _text(model: Model, tokens: Sequence[int]) -> str:
    assert model.tokenizer is not None
    return str(model.tokenizer.decode(list(tokens), skip_special_tokens=True))


def _said(data: xr.Dataset) -> list[str]:
    means = data.mean("example")
    facts = []
    for arm, loss, repeats in zip(data["arm"].values, means["loss"].values, means["repetition"].values, strict=True):
        facts.append(f"{arm}: {loss:.2f} nats a token under the unsteered model, repetition {repeats:.2f}")
    plain = float(means["repetition"].sel(arm="unsteered")) if "unsteered" in data["arm"] else 0.0
    broken = [str(arm) for arm in data["arm"].values if float(means["repetition"].sel(arm=arm)) > plain + REPEATS]
    if broken:
        facts.append(caveat(f"texts repeat themselves much more than unsteered ones: {', '.join(broken)}"))
    return facts
