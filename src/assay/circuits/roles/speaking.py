"""What heads say: whether what a head moves from the answer's token names that token.

    copying   share of prompts in which (value at the answer's position, through the head's part of W_O, the final norm and the
              unembedding) has the answer among its `within` highest logits; control: another prompt's answer there
    negative  the same with the lowest logits

The value is the one that the head reads in this run, so that norms and shared values are the model's own; in the paper it is
that of the state after the first MLP. Cost: one forward pass, and a row of logits for each head and example. Source: Wang et
al. 2022, arXiv:2211.00593, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.circuits.contributions import Layer
from assay.circuits.roles.deciding import HeadExample
from assay.circuits.roles.looking import BATCH, Seen, answer_places
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments import capture
from assay.models.taps import Direct, HeadOut, output_weight

HEADS = 16
"""Heads whose logits are in memory together: the unembedding is read once for all of them."""
SITES = ("v", "z", "head_out", "attn_out")


def copied(
    model: Model, pairs: Pairs, heads: Sequence[tuple[int, int]], *, source: str | None, within: int
) -> tuple[Seen, Seen] | None:
    """Whether each head copies the answer, and whether it speaks against it; None where logits can't be read off."""
    say = speaker(model)
    if say is None:
        return None
    places, answers = answer_places(pairs, source), pairs.answer_ids.tolist()
    found = np.full((4, len(heads), len(pairs)), np.nan)
    for rows in _rows(pairs, places):
        run = model.run(
            [list(pairs.aligned_tokens()[row].clean) for row in rows],
            capture=[capture.site(f"L{n}.{site}") for n in sorted({n for n, _ in heads}) for site in SITES],
        )
        here = torch.tensor([places[row][0] for row in rows])
        own = torch.tensor([answers[row] for row in rows])
        other = torch.tensor([_another(answers, row) for row in rows])
        layers = {n: Layer(model, run, n) for n in {n for n, _ in heads}}
        for start in range(0, len(heads), HEADS):
            some = heads[start : start + HEADS]
            logits = say(torch.cat([_moved(layers[layer], head, here) for layer, head in some]))
            for k, (wanted, sign) in enumerate([(own, 1), (other, 1), (own, -1), (other, -1)]):
                among = _among(sign * logits, wanted.repeat(len(some)), within)
                found[k, start : start + len(some), rows] = among.reshape(len(some), len(rows)).T
    return (found[0], found[1]), (found[2], found[3])


def speaker(model: Model) -> Callable[[Float[Tensor, "batch d_model"]], Float[Tensor, "batch vocab"]] | None:
    """Logits of a residual stream: the model's own final norm, if it has one, and its unembedding."""
    unembed = getattr(model.native, "get_output_embeddings", lambda: None)()
    if unembed is None:
        return None
    norm = None
    if model.why_not("final_norm") is None:
        tap = model.site("final_norm").tap
        if not isinstance(tap, Direct):
            return None
        norm = model.native.get_submodule(tap.port.module)

    def say(stream: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = unembed(stream[:, None] if norm is None else norm(stream[:, None]))[:, 0]
        return logits.float().cpu()

    return say


def _moved(layer: Layer, head: int, places: Tensor) -> Float[Tensor, "batch d_model"]:
    """What a head would add at the last position if it looked at these places alone."""
    tap = layer.model.site(f"L{layer.number}.head_out").tap
    assert isinstance(tap, HeadOut)  # the site exists: it was captured
    v, heads = layer["v"], layer["z"].shape[2]
    value = v[torch.arange(len(places)), places, head * v.shape[2] // heads]
    weight = output_weight(layer.model.native.get_submodule(tap.projection), heads, turned=tap.turned).detach()[head]
    found: Tensor = (value @ weight.to(value)) * layer.scale()[:, -1]
    return found


def _among(logits: Float[Tensor, "batch vocab"], tokens: Tensor, within: int) -> HeadExample:
    """Whether each token is among the highest."""
    own = logits.gather(1, tokens[:, None])
    return ((logits > own).sum(1) < within).double().numpy()


def _another(answers: Sequence[int], row: int) -> int:
    """The next prompt's answer that is another one."""
    later = [*answers[row + 1 :], *answers[:row]]
    return next((answer for answer in later if answer != answers[row]), answers[row])


def _rows(pairs: Pairs, places: Sequence[Sequence[int]]) -> list[list[int]]:
    """Prompts of one length whose answer stands somewhere, a few at a time."""
    by_length: dict[int, list[int]] = {}
    for row, length in enumerate(pairs.lengths):
        if places[row]:
            by_length.setdefault(length, []).append(row)
    return [rows[i : i + BATCH] for rows in by_length.values() for i in range(0, len(rows), BATCH)]
