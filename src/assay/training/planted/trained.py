"""Induction that was learned, not written: random words of which some come again, and a transformer that says what follows.

`trained_induction`: only the edges of a known circuit exist. Each part has dimensions of the residual stream of its own, and
reads those of the parts before it in the circuit and nothing else; the weights within are trained. So its truth is known as
that of a hand-wired circuit; what is computed over these edges is what gradient descent makes of them, which is not always
the textbook's way. `free_transformer`: an ordinary one, whose circuit is not known; or as it was before training: what a
method finds in that is chance.

Cost: about ten seconds on one core to 100 % of the prompts; once for each seed in a process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import torch
from jaxtyping import Int
from torch import Tensor, nn

from assay.engine.model import Model
from assay.models.plain import PlainConfig, PlainTransformer
from assay.training.planted.induction import WORDS, induction_pairs
from assay.training.planted.situation import Situation, truths_of
from assay.training.planted.weights import Weights, holding, turned
from assay.training.planted.wiring import Head, Port, Wiring

LENGTH = 14
"""Words in a prompt of the training set, after the first token."""
SIZE, HEADS = 16, 3
BATCH, RATE, STEPS = 64, 1e-2, 700
FIRST_SCORES = 0.25
"""How large the scores of the circuit's heads are at first: from ones that are larger, training often fails."""
_ROLES = {"L0.H0": "tells by places which word came before", "L1.H0": "induction"}
TRIES = 4
"""Starts from other random weights, until every prompt of a test set is right."""


def trained_induction(*, seed: int = 0, n: int = 16) -> Situation:
    """A trained circuit whose edges are known."""
    wiring, made = _wired(TRIES * seed)
    model = holding(made.config(), turned(_trained_weights(seed), seed), seed)
    notes = (
        "trained; only the edges of the circuit and those of idle heads exist, weights are what training made of them"
    )
    return Situation(
        "trained induction", model, induction_pairs(seed, n), truths_of(wiring), notes, _ROLES, tolerance=1e-6
    )


def free_transformer(*, seed: int = 0, trained: bool = True, layers: int = 2) -> Model:
    """An ordinary transformer for the same prompts, which no one wired. With one layer it cannot learn the task."""
    config = _free_config(layers)
    weights = _free_weights(seed, layers) if trained else _fresh(config, TRIES * seed).state_dict()
    return holding(config, weights, seed)


def repeats(batch: int, random: torch.Generator) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch 1"]]:
    """Prompts of different words that begin again somewhere, and the position of the first word that is there again."""
    words = torch.rand(batch, WORDS, generator=random).argsort(1) + 1
    fresh = torch.randint(4, 9, (batch, 1), generator=random)
    start = (torch.rand(batch, 1, generator=random) * (fresh - 1)).long()
    place = torch.arange(LENGTH)[None]
    index = torch.where(place < fresh, place, start + (place - fresh) % (fresh - start))  # each word has one successor
    return torch.cat([torch.zeros(batch, 1, dtype=torch.long), words.gather(1, index)], dim=1), fresh + 1


@cache
def _trained_weights(seed: int) -> Mapping[str, Tensor]:
    def start(number: int) -> tuple[PlainTransformer, Mapping[str, Tensor]]:
        _, made = _wired(number)
        state = made.state(0.0)
        native = PlainTransformer(made.config())
        native.load_state_dict({name: weight.float() for name, weight in state.items()})
        return native, {name: _trainable(name, weight, made) for name, weight in state.items()}

    return _first_good(start, seed)


@cache
def _free_weights(seed: int, layers: int) -> Mapping[str, Tensor]:
    return _first_good(
        lambda number: (_fresh(_free_config(layers), number), {}), seed, tries=TRIES if layers > 1 else 1
    )


def _first_good(
    start: Callable[[int], tuple[PlainTransformer, Mapping[str, Tensor]]], seed: int, *, tries: int = TRIES
) -> Mapping[str, Tensor]:
    """Trained weights with which every prompt of a test set is right; of the last start if there are none."""
    test = induction_pairs(seed + 1, 64)
    for number in range(tries):
        native, masks = start(TRIES * seed + number)
        _train(native, masks, seed)
        with torch.no_grad():
            if bool((native(test.clean_tokens).logits[:, -1].argmax(-1) == test.answer_ids).all()):
                break
    return {name: weight.detach() for name, weight in native.state_dict().items()}


def _free_config(layers: int) -> PlainConfig:
    return PlainConfig(
        vocab_size=WORDS + 1, d_model=48, n_layers=layers, n_heads=4, d_head=12, max_positions=LENGTH + 1,
        initializer_range=0.1,
    )  # fmt: skip


def _fresh(config: PlainConfig, seed: int) -> PlainTransformer:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return PlainTransformer(config)


def _wired(seed: int) -> tuple[Wiring, Weights]:
    """The induction circuit, with random numbers where weights may be."""
    random = torch.Generator().manual_seed(seed)
    wiring = Wiring(WORDS + 1, LENGTH + 1)

    def drawn(rows: int, columns: int) -> Tensor:
        values: Tensor = torch.randn(rows, columns, generator=random) / rows**0.5
        return values

    def through(channel: str, scale: float = 1.0) -> tuple[Port, ...]:
        return ((channel, scale * drawn(SIZE, SIZE)),)

    wiring.embed("tokens", drawn(WORDS + 1, SIZE) * SIZE**0.5)
    wiring.place("places", drawn(LENGTH + 1, SIZE) * SIZE**0.5)
    wiring.channel("previous", SIZE)
    wiring.channel("out", SIZE)
    asked, told = through("places", FIRST_SCORES), through("tokens", FIRST_SCORES)
    wiring.heads.append(Head(0, 0, asked, through("places"), through("tokens"), through("previous")))
    wiring.heads.append(Head(1, 0, told, through("previous"), through("tokens"), through("out")))
    wiring.unembed("out", drawn(SIZE, WORDS + 1))
    return wiring, Weights(wiring, HEADS, 0, random)


def _trainable(name: str, weight: Tensor, made: Weights) -> Tensor:
    """1 where a weight of the circuit is, 0 where there is none and at idle heads."""
    mask = (weight != 0).float()
    if "attn" in name:
        idle = torch.arange(HEADS * made.d_head) >= made.d_head  # one head in each layer is the circuit's
        mask *= (~idle).float()[None] if name.endswith("o_proj.weight") else (~idle).float()[:, None]
    return mask


def _train(native: PlainTransformer, masks: Mapping[str, Tensor], seed: int) -> None:
    """Gradient descent on fresh prompts; weights that a mask leaves out stay as they are."""
    random = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(native.parameters(), lr=RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS, pct_start=0.1)
    for _ in range(STEPS):
        loss = _loss(native, *repeats(BATCH, random))
        optimiser.zero_grad()
        loss.backward()
        for name, parameter in native.named_parameters():
            if parameter.grad is not None and name in masks:
                parameter.grad *= masks[name]
        optimiser.step()
        schedule.step()


def _loss(native: nn.Module, ids: Tensor, again: Tensor) -> Tensor:
    """Cross-entropy of the words after the first that is there again."""
    logits = native(ids).logits[:, :-1]
    each = nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    known = (torch.arange(1, ids.shape[1])[None] > again).float()
    loss: Tensor = (each * known).sum() / known.sum()
    return loss
