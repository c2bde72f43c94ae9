"""The hierarchical equality task, ((a == b) == (c == d)) over objects with random features, and a network trained on it.

Half of the first hidden layer sees a and b alone, the other half c and d; then a rotation that is drawn and kept mixes all
of it. So it is known where `left` is, exactly, and that it is spread over all coordinates of the layer's output.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import nn
from torch.nn import functional as F

from assay.circuits.abstraction import CausalModel, Counterfactuals, Written, counterfactuals
from assay.engine.model import Model, load

OBJECTS, FEATURES, HIDDEN = 64, 2, 24
FIRST = "native:2:out"
"""The first hidden layer, after its ReLU and the rotation."""
HALF = HIDDEN // 2

CAUSAL = CausalModel(
    name="hierarchical equality",
    inputs={name: range(OBJECTS) for name in "abcd"},
    variables={"left": "a == b", "right": "c == d", "same": "left == right"},
    output="same",
)


@cache
def trained() -> Model:
    """Trained on objects that are drawn anew in every step: about eight seconds."""
    native = network()
    draw = torch.Generator().manual_seed(1)
    weights = [parameter for parameter in native.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, 4e-3, weight_decay=0.1)
    steps = 2000
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        objects = torch.rand(4, 256, FEATURES, generator=draw) * 2 - 1
        left, right = torch.rand(2, 256, generator=draw) < 0.5
        objects[1][left], objects[3][right] = objects[0][left], objects[2][right]
        loss = F.cross_entropy(native(torch.cat(list(objects), 1)), (left == right).long())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        _part(native)
    return loaded(native)


def network() -> nn.Sequential:
    """The same network before training."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(4 * FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN, bias=False)]
    for _ in range(2):
        layers += [nn.Linear(HIDDEN, HIDDEN), nn.ReLU()]
    native = nn.Sequential(*layers, nn.Linear(HIDDEN, 2))
    native[2].weight = nn.Parameter(torch.linalg.qr(torch.randn(HIDDEN, HIDDEN)).Q, requires_grad=False)
    _part(native)
    return native


def true_basis() -> torch.Tensor:
    """Where `left` is: the columns of the rotation that carry the half that sees a and b."""
    rotation: torch.Tensor = trained().native[2].weight  # type: ignore[index]
    return rotation[:, :HALF].detach().clone()


@torch.no_grad()
def _part(native: nn.Sequential) -> None:
    """The first layer's halves see two objects each."""
    native[0].weight[:HALF, 2 * FEATURES :] = 0  # type: ignore[index]
    native[0].weight[HALF:, : 2 * FEATURES] = 0  # type: ignore[index]


def loaded(native: nn.Module) -> Model:
    """With its native sites."""
    return load(native.eval().requires_grad_(False), inputs={"input": torch.zeros(3, 4 * FEATURES)})


@cache
def examples(n: int = 2000) -> Counterfactuals:
    """Interchanges of `left` and `right`, in two balanced sets of `n`."""
    features = torch.rand(OBJECTS, FEATURES, generator=torch.Generator().manual_seed(2)) * 2 - 1
    return counterfactuals(
        CAUSAL,
        lambda setting: {"input": torch.cat([features[setting[name]] for name in "abcd"])},
        answers={False: 0, True: 1},
        n=n,
        written_for=Written(read="native:7:out"),
    )
