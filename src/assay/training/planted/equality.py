"""The hierarchical equality network: ((a == b) == (c == d)), learned by an MLP in seconds.

Four symbols come in as tokens, and the last position says whether the two pairs agree in being equal. The network reads
what has come so far: at each position the embeddings of the tokens up to there, side by side, go through three layers of
rectified units of the same width. So it has a residual-free stream of one width, `L0.resid_pre` to `L2.resid_post`, in
which causal abstractions can look for a == b and c == d. Which directions they are in is for training to say; an untrained
network is the control. Source of the task: Geiger et al. 2024, arXiv:2303.02536.

Cost: two to ten seconds on one core; once for each seed in a process.
"""

from __future__ import annotations

import random as rng
from collections.abc import Mapping
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.core.errors import AssayError
from assay.data.example import Example
from assay.data.pairs import Pairs
from assay.engine.model import Model, load
from assay.training.planted.situation import example

DIFFER, AGREE = 0, 1
"""The classes, as token ids of the answer."""
SYMBOLS, SIZE, LAYERS = 12, 8, 3
BATCH, RATE, STEPS, LOOK = 512, 1e-2, 3000, 200


class EqualityLayer(nn.Module):
    """Rectified units."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, stream: Float[Tensor, "batch pos width"]) -> Float[Tensor, "batch pos width"]:
        """The next layer."""
        return torch.relu(self.linear(stream))


class EqualityNetwork(nn.Module):
    """Embeddings of the tokens so far, three layers, two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.symbols = nn.Embedding(SYMBOLS, SIZE)
        self.layers = nn.ModuleList(EqualityLayer(4 * SIZE) for _ in range(LAYERS))
        self.classes = nn.Linear(4 * SIZE, 2)

    def forward(self, input_ids: Int[Tensor, "batch 4"]) -> dict[str, Tensor]:
        """Logits of the classes at each position; the last one has seen everything."""
        place = torch.arange(4, device=input_ids.device)
        seen = (place[:, None] >= place[None]).to(self.symbols.weight)
        return {"logits": self.read((self.symbols(input_ids)[:, None] * seen[None, :, :, None]).flatten(2))}

    def read(self, stream: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch 2"]:
        """Classes from embeddings side by side."""
        for layer in self.layers:
            stream = layer(stream)
        classes: Tensor = self.classes(stream)
        return classes


def equality_network(*, seed: int = 0, trained: bool = True) -> Model:
    """The network, right on every one of the 20,736 inputs; or as it was before training.

    Raises:
        AssayError: training did not get there (it does for the seeds that were tried).
    """
    native = _fresh(seed)
    if trained:
        native.load_state_dict(_weights(seed))
    return load(native.double().eval().requires_grad_(False), inputs={"input_ids": every_input()[:: SYMBOLS**2 + 5]})


def equality_pairs(*, seed: int = 0, n: int = 64) -> Pairs:
    """Pairs of inputs of different classes, each of the four cases (equal or not, twice) as often as any other."""
    random = rng.Random(seed)
    found: list[Example] = []
    for i in range(n):
        case = (bool(i & 1), bool(i & 2))
        other = (case[0], not case[1]) if random.random() < 0.5 else (not case[0], case[1])
        (clean, corrupt), answer = (_input(equal, random) for equal in (case, other)), int(case[0] == case[1])
        found.append(example(clean, corrupt, answer=answer, wrong=1 - answer))
    return Pairs(tuple(found), "hierarchical equality", seed).align(None)


def every_input() -> Int[Tensor, "input 4"]:
    """All inputs that there are."""
    return torch.cartesian_prod(*[torch.arange(SYMBOLS)] * 4)


def right_class(ids: Int[Tensor, "batch 4"]) -> Int[Tensor, " batch"]:
    """((a == b) == (c == d)) as a class."""
    a, b, c, d = ids.unbind(-1)
    return ((a == b) == (c == d)).long()


def _input(equal: tuple[bool, bool], random: rng.Random) -> tuple[int, ...]:
    pairs = [random.sample(range(SYMBOLS), 2) for _ in equal]
    return tuple(
        symbol for pair, same in zip(pairs, equal, strict=True) for symbol in (pair[0], pair[0] if same else pair[1])
    )


def _fresh(seed: int) -> EqualityNetwork:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return EqualityNetwork()


@cache
def _weights(seed: int) -> Mapping[str, Tensor]:
    native, random = _fresh(seed), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(native.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    inputs = every_input()
    for step in range(STEPS):
        ids = torch.randint(SYMBOLS, (BATCH, 4), generator=random)
        equal = torch.rand(BATCH, 2, generator=random) < 0.5
        ids[:, 1::2] = torch.where(equal, ids[:, ::2], ids[:, 1::2])
        loss = nn.functional.cross_entropy(native.read(native.symbols(ids).flatten(1)), right_class(ids))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % LOOK == LOOK - 1:
            with torch.no_grad():
                said = native.read(native.symbols(inputs).flatten(1)).argmax(-1)
            if torch.equal(said, right_class(inputs)):
                return {name: weight.detach() for name, weight in native.state_dict().items()}
    raise AssayError(
        f"The equality network was not right on every input after {STEPS} steps: take another seed than {seed}."
    )
