"""Native code that writes into its own tensors: what is kept is what passed the site, and no source is changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.handmade import Floor, Gaze, House, Mill
from torch import Tensor

from assay import Experiment, Run, edit, metric
from assay.engine.model import Model, load

IDS = torch.tensor([[3, 5, 7, 11], [4, 6, 8, 12]])


class WritingFloor(Floor):
    """Adds both branches to the stream in place, and rescales the MLP's output in place."""

    def forward(self, river: Tensor) -> Tensor:
        river += self.gaze(self.calm(river))
        river += self.mill(self.still(river)).mul_(0.5)
        return river


class PlainFloor(Floor):
    """The same numbers without writing."""

    def forward(self, river: Tensor) -> Tensor:
        river = river + self.gaze(self.calm(river))
        return river + self.mill(self.still(river)) * 0.5


def house(floor: type[Floor]) -> Model:
    torch.manual_seed(0)
    native = House(*(floor(Gaze(), Mill()) for _ in range(3))).eval().double()
    return load(native, inputs={"numbers": IDS})


@pytest.fixture(scope="module")
def pair() -> tuple[Model, Model]:
    return house(WritingFloor), house(PlainFloor)


def test_captures_are_what_passed(pair: tuple[Model, Model]) -> None:
    writing, plain = pair
    sites = [str(site) for site in plain.sites]
    assert {"L1.resid_pre", "L1.mlp_out", "L2.resid_post"} <= set(sites)
    found, wanted = (m.run({"numbers": IDS}, capture=sites) for m in (writing, plain))
    for name, value in wanted.captured.items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("site", ["resid_pre", "attn_out", "mlp_out", "z"])
def test_one_capture_too(pair: tuple[Model, Model], site: str) -> None:
    found, wanted = (m.run({"numbers": IDS}, capture=f"L1.{site}")[f"L1.{site}"] for m in pair)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_source_survives_being_written_into(pair: tuple[Model, Model]) -> None:
    """The whole tensor of a run is patched into two others, whose native code then writes into it."""
    patch = edit.patch("L1.resid_pre", source="clean")
    exp = Experiment(
        inputs={"clean": {"numbers": IDS}, "other": {"numbers": IDS.flip(1)}},
        runs={name: Run(input="clean" if name == "clean" else "other", edits=[] if name == "clean" else [patch])
              for name in ("clean", "once", "main")},
        metrics=[metric.logit(3, run=run, name=run) for run in ("once", "main")],
        main="main",
    )  # fmt: skip
    found, wanted = (m.measure(exp) for m in pair)
    for name in ("once", "main"):
        np.testing.assert_allclose(found[name].values, wanted[name].values, rtol=1e-12)


def test_what_was_captured_can_be_changed(pair: tuple[Model, Model]) -> None:
    writing, _ = pair
    run = writing.run({"numbers": IDS}, capture=["L0.resid_post", "L1.resid_pre"])
    kept = run["L1.resid_pre"].clone()
    run["L0.resid_post"].zero_()
    assert torch.equal(run["L1.resid_pre"], kept)
    assert torch.equal(writing.run({"numbers": IDS}).logits, writing.native(IDS).detach())
