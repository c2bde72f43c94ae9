"""Isolation: an alignment that moves everything causes and does not isolate; one trained on both does both.

The network is made by hand. Each thing has a colour and a shape, which a rotation spreads over six coordinates; what is
asked says which of the two is read. Differences of colours span two dimensions, those of shapes two others, and two
dimensions never vary: a subspace of four dimensions can hold a colour and nothing of a shape, and need not.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from assay.circuits.abstraction import CausalModel, Counterfactuals, Training, Written, counterfactuals, disentangle
from assay.core.errors import DataError, SettingsError
from assay.engine.model import Model, load

THINGS, COLOURS, SHAPES = 45, ("red", "green", "blue"), ("round", "square", "flat")
TRAINING = Training(epochs=20, rate=0.03, batch=64)
SITE = "native:spread:out"


class Asked(nn.Module):
    """Six logits: three for colours, three for shapes; those that are not asked for are five lower."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        rotation = torch.linalg.qr(torch.randn(6, 6)).Q
        self.traits, self.spread, self.back = (nn.Linear(a, 6, bias=False) for a in (THINGS, 6, 6))
        with torch.no_grad():
            self.traits.weight.zero_()
            for thing in range(THINGS):
                self.traits.weight[thing % 3, thing] = self.traits.weight[3 + thing // 15, thing] = 1
            self.spread.weight.copy_(rotation)
            self.back.weight.copy_(rotation.T)
        self.answer = nn.Identity()

    def forward(self, thing: Tensor, ask: Tensor) -> Tensor:
        wanted = torch.cat([ask[:, :1].expand(-1, 3), ask[:, 1:].expand(-1, 3)], 1)
        answer: Tensor = self.answer(self.back(self.spread(self.traits(thing))) + 5 * wanted)
        return answer


@cache
def asked() -> Model:
    return load(Asked().eval(), inputs={"thing": torch.zeros(3, THINGS), "ask": torch.zeros(3, 2)})


@cache
def traits(n: int = 400) -> Counterfactuals:
    names = [f"t{i}" for i in range(THINGS)]
    causal = CausalModel(
        inputs={"thing": names, "ask": ("colour", "shape")},
        tables={
            "colour_of": {name: COLOURS[i % 3] for i, name in enumerate(names)},
            "shape_of": {name: SHAPES[i // 15] for i, name in enumerate(names)},
        },
        variables={
            "colour": "colour_of[thing]",
            "shape": "shape_of[thing]",
            "answer": "colour if ask == 'colour' else shape",
        },
        output="answer",
    )
    return counterfactuals(
        causal,
        lambda s: {
            "thing": torch.eye(THINGS)[int(str(s["thing"])[1:])],
            "ask": torch.eye(2)[int(s["ask"] == "shape")],
        },
        answers={label: i for i, label in enumerate((*COLOURS, *SHAPES))},
        n=n,
        written_for=Written(read="native:answer:out"),
    )


def test_training_on_both_sorts_of_examples_isolates() -> None:
    found = disentangle(asked(), traits(), site=SITE, rank=4, kinds=("whole", "das", "mdas"), training=TRAINING)
    cause, isolate, both = (found[name] for name in ("cause", "isolate", "disentangle"))
    assert (cause.sel(kind="whole") == 1).all() and (isolate.sel(kind="whole") == 0).all()
    assert (cause.sel(kind=["das", "mdas"]) > 0.95).all()
    assert (both.sel(kind="mdas") > 0.97).all()
    assert (isolate.sel(kind="das") < 0.8).all()  # nothing tells it to leave the other variable alone
    for name in ("cause", "isolate", "disentangle"):
        assert (found[f"{name}_low"] <= found[name]).all() and (found[name] <= found[f"{name}_high"]).all()
    assert abs((cause + isolate) / 2 - both).max() < 1e-9


def test_masks_and_components_are_compared_too() -> None:
    short = Training(epochs=2, batch=256)
    found = disentangle(asked(), traits(100), site=SITE, rank=2, kinds=("pca", "dbm", "mdbm"), training=short)
    assert found["cause"].shape == (2, 3) and list(found.data["kind"].values) == ["pca", "dbm", "mdbm"]
    assert found["width"].sel(kind="pca").values.tolist() == [2, 2]


def test_what_cannot_be_compared() -> None:
    data = traits(100).of("colour")
    quiet = data.take([i for i, each in enumerate(data.examples) if not each.resists])
    with pytest.raises(DataError, match="nothing to isolate it from"):
        disentangle(asked(), quiet, site=SITE)
    with pytest.raises(SettingsError, match="no kind of alignment"):
        disentangle(asked(), data, site=SITE, kinds=())
    with pytest.raises(SettingsError, match="40 dimensions in a place of 6"):
        disentangle(asked(), data, site=SITE, rank=40, kinds=("das",))
