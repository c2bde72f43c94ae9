"""What a feature is, as far as it can be seen: where it is most active, on which tokens, and what it promotes directly.

`promotes` are the tokens whose logits its decoder row raises most, and least, through the model's own final norm and
unembedding with the norm's scale held as it is at the strongest example: the direct path alone, whatever later layers do.
None of this is a meaning: it is what an explanation must account for.

Cost: one pass over the texts up to the site, and one derivative through the last norm and the unembedding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import DataError
from assay.dictionaries.dictionary import Dictionary
from assay.dictionaries.quality import model_of
from assay.dictionaries.recipe import Corpus
from assay.dictionaries.texts import held_out_pieces
from assay.engine.model import Model

BEFORE, AFTER = 12, 4
"""Tokens of context that are shown on both sides."""
TOKENS = 10
AT_ONCE = 16


@dataclass(frozen=True)
class Example:
    """One of the places where a feature is most active."""

    activation: float
    before: str
    token: str
    after: str


@dataclass(frozen=True)
class Explanation:
    """What is seen of one feature."""

    feature: str
    frequency: float
    """The share of tokens on which it fires."""
    tokens: int
    """Of so many."""
    mean_active: float
    """Its mean activation where it fires."""
    examples: tuple[Example, ...]
    """Strongest first, one for each piece of text."""
    fires_on: tuple[tuple[str, int], ...]
    """The tokens on which it fires most often, with how often."""
    promotes: tuple[tuple[str, float], ...]
    """Tokens whose logit it raises most, for an activation of 1."""
    suppresses: tuple[tuple[str, float], ...]
    """Those that it lowers most."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def explain(
    model: Model,
    dictionary: Dictionary,
    feature: int,
    *,
    data: Any = None,
    corpus: Corpus = "stdlib",
    pieces: int = 256,
    length: int = 64,
    examples: int = 8,
) -> Explanation:
    """What a feature does on held-out texts (`corpus="data"`: on those that are given).

    Raises:
        InputError: there is no such feature.
        DataError: there are no texts.
    """
    used, name = model_of(model, dictionary), dictionary.name(feature)
    rows, _ = held_out_pieces(used, data, corpus, pieces=pieces, length=length)
    skip = dictionary.about.skip
    rows = [row for row in rows if len(row) > skip]
    if not rows:
        raise DataError(f"No piece has more than {skip} tokens: expected longer texts.")
    activations = [
        each
        for start in range(0, len(rows), AT_ONCE)
        for each in _active(used, dictionary, feature, rows[start : start + AT_ONCE])
    ]
    firing = [
        (row[i], float(value))
        for row, each in zip(rows, activations, strict=True)
        for i, value in enumerate(each)
        if value > 0
    ]
    peaks = sorted(range(len(rows)), key=lambda i: -float(activations[i].max()))
    shown = [i for i in peaks[:examples] if activations[i].max() > 0]
    counts = Counter(token for token, _ in firing)
    tokens = sum(len(row) - skip for row in rows)
    top = [(rows[i], int(activations[i].argmax())) for i in shown]
    where = top[0] if top else (rows[0], len(rows[0]) - 1)
    promotes, suppresses = _direct(used, dictionary.basis.decoder[feature], *where)
    return Explanation(
        name,
        len(firing) / tokens,
        tokens,
        sum(value for _, value in firing) / max(1, len(firing)),
        tuple(_example(used, row, at, float(activations[i][at])) for i, (row, at) in zip(shown, top, strict=True)),
        tuple((_text(used, [token]), count) for token, count in counts.most_common(TOKENS)),
        promotes,
        suppresses,
    )


def _active(model: Model, dictionary: Dictionary, feature: int, rows: list[list[int]]) -> list[Float[Tensor, " pos"]]:
    """The feature's activation on each token; 0 on those that the dictionary skips."""
    found = []
    values = model.run(rows, capture=dictionary.site)[dictionary.site]
    for row, each in zip(rows, values, strict=True):
        active = dictionary.encode(each[: len(row)].float())[..., feature]
        active[: dictionary.about.skip] = 0
        found.append(active)
    return found


def _direct(
    model: Model, vector: Float[Tensor, " d"], row: list[int], at: int
) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]:
    """The tokens that the vector raises and lowers most when it is added to the last residual stream at a place."""
    last = f"L{model.n_layers - 1}.resid_post"
    if model.why_not(last) is not None or model.why_not("logits") is not None or vector.shape[0] != model.d_model:
        return (), ()
    effect = model.jvp([row], at=last, tangent=vector, pos=at, to="logits", frozen="norms")["logits"][0, at]
    most, least = effect.topk(TOKENS), (-effect).topk(TOKENS)
    raised = zip(most.indices.tolist(), most.values.tolist(), strict=True)
    lowered = zip(least.indices.tolist(), (-least.values).tolist(), strict=True)
    return _named(model, raised), _named(model, lowered)


def _named(model: Model, tokens: Any) -> tuple[tuple[str, float], ...]:
    return tuple((_text(model, [token]), float(value)) for token, value in tokens)


def _example(model: Model, row: Sequence[int], at: int, activation: float) -> Example:
    before, after = row[max(0, at - BEFORE) : at], row[at + 1 : at + 1 + AFTER]
    return Example(activation, _text(model, before), _text(model, [row[at]]), _text(model, after))


def _text(model: Model, ids: Sequence[int]) -> str:
    """As text, or the ids themselves without a tokenizer."""
    if model.tokenizer is None:
        return " ".join(map(str, ids))
    return str(model.tokenizer.decode(torch.tensor(list(ids), dtype=torch.int64))) if ids else ""
