"""Illusion checks: the construction of arXiv:2311.17030 is flagged, the network's own subspace is not.

Three hidden entries: `disconnected` goes with the variable and is not read; `dormant` is read and never moves; `real` goes
with the variable and is read. Swapping along disconnected + dormant drives the dormant entry by what the disconnected one
carries, and flips every answer.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch
from tests.circuits.abstraction.equality import FIRST, HALF, examples, trained, true_basis
from tests.tiny_pairs import tiny_gpt2, tiny_llama
from torch import Tensor, nn

from assay.circuits.abstraction import (
    Alignment,
    CausalModel,
    Counterfactuals,
    Training,
    Written,
    counterfactuals,
    illusion_checks,
)
from assay.circuits.abstraction.reader import reading_weight, split
from assay.core.caveats import caveats_in
from assay.core.errors import SettingsError
from assay.core.result import Result
from assay.engine.model import Model, load

QUICK = Training(epochs=2, batch=256)
HIDDEN = "native:0:out"


@cache
def dormant() -> Model:
    native = nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in ((1, 3), (3, 2), (2, 2))))
    weights = ([[1.0], [0.0], [1.0]], [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[-2.0, -1.0], [2.0, 1.0]])
    with torch.no_grad():
        for layer, weight in zip(native, weights, strict=True):
            layer.weight.copy_(torch.tensor(weight))
    return load(native.eval(), inputs={"input": torch.zeros(3, 1)})


@cache
def signs() -> Counterfactuals:
    causal = CausalModel(
        inputs={"x": [i / 8 for i in range(-40, 41) if i]},
        variables={"positive": "x > 0", "answer": "positive"},
        output="answer",
    )
    return counterfactuals(
        causal, lambda setting: {"input": torch.tensor([setting["x"]])}, answers={False: 0, True: 1}, n=200,
        written_for=Written(read="native:2:out"),
    )  # fmt: skip


def checked(direction: list[float], **more: object) -> Result:
    column = torch.tensor(direction, dtype=torch.float32)
    made = Alignment(variable="positive", method="by hand", site=HIDDEN, basis=column / column.norm())
    return illusion_checks(
        dormant(), signs(), alignment=made, reader="1", widths=(), training=QUICK, baseline=False, **more  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_dormant_path_is_flagged() -> None:
    found = checked([1, 1, 0])
    assert float(found["iia"].sel(part="full")) == 1 and float(found["cause"].sel(part="full")) == 1
    assert float(found["logit_fraction"].sel(part="row")) == pytest.approx(0, abs=1e-6)
    assert float(found["logit_fraction"].sel(part="null")) == pytest.approx(0, abs=1e-6)
    assert float(found["null_share"]) == pytest.approx(0.5) and float(found["null_share_of_random"]) == pytest.approx(
        1 / 3
    )
    assert float(found["flagged"].sel(check="null space")) == 1
    assert any(text.startswith("illusion: ") for text in caveats_in(found.provenance.facts))


@pytest.mark.parametrize("direction", [[0, 0, 1], [0.3, 0, 1]])
def test_the_network_s_own_path_is_not(direction: list[float]) -> None:
    found = checked(direction)
    assert float(found["iia"].sel(part="row")) == 1
    assert float(found["flagged"].sel(check="null space")) == 0
    assert not any(text.startswith("illusion: ") for text in caveats_in(found.provenance.facts))


def test_moving_logits_without_flipping_answers_is_flagged() -> None:
    """A sixth of the real entry's change: the logits move by a third of the way, and few signs turn."""
    found = checked([3, 0, 0.45])
    fraction = float(found["logit_fraction"].sel(part="full"))
    assert 0.25 < fraction < 1 and float(found["cause"].sel(part="full")) < fraction / 2
    assert float(found["flagged"].sel(check="logits")) == 1


def test_answers_that_follow_are_not_flagged_however_far_logits_move() -> None:
    """A direction along which the real entry is swapped and driven further: twice the way that turns every answer, and more."""
    found = checked([0, 1, 1])
    assert float(found["cause"].sel(part="full")) == 1 and float(found["logit_fraction"].sel(part="full")) >= 2
    assert float(found["flagged"].sel(check="logits")) == 0


def test_a_trained_network_passes_and_its_widths_are_swept() -> None:
    known = Alignment(variable="left", method="by hand", site=FIRST, basis=true_basis())
    training = Training(epochs=12, rate=0.02, batch=64)
    found = illusion_checks(trained(), examples(1000), alignment=known, reader="3", widths=(1, HALF), training=training)
    assert (found["flagged"].values == 0).all() and not caveats_in(found.provenance.facts)
    assert float(found["untrained"]) < 0.6 and float(found["null_share"]) < 1e-6
    narrow, half = found["width_iia"].values
    assert half > 0.95 and narrow > 0.6  # one number that both objects shape is most of "equal or not"


def test_a_subspace_of_most_of_the_place_is_flagged() -> None:
    wide = Alignment(variable="left", method="by hand", site=FIRST, dims=tuple(range(20)))
    found = illusion_checks(trained(), examples(200), alignment=wide, widths=(), training=QUICK, baseline=False)
    assert float(found["flagged"].sel(check="width")) == 1
    facts = caveats_in(found.provenance.facts)
    assert any("no one weight reads this site" in text for text in facts)
    assert torch.isnan(torch.tensor(float(found["flagged"].sel(check="null space"))))


def test_parts_add_up_and_are_read_or_not() -> None:
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 8, generator=draw)
    basis = torch.linalg.qr(torch.randn(8, 2, generator=draw)).Q
    found = split(basis, weight)
    assert (weight @ found.null).abs().max() < 1e-5  # single precision
    both = torch.cat([found.row, found.null], 1)
    inside: Tensor = both @ torch.linalg.lstsq(both, basis).solution
    assert torch.allclose(inside, basis, atol=1e-5)
    kernel = torch.linalg.svd(weight).Vh[3:]
    assert found.null_share == pytest.approx(float((kernel @ basis).square().sum() / 2), abs=1e-6)
    assert found.expected == pytest.approx(5 / 8)


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_readers_are_found_in_transformers(make: object) -> None:
    model: Model = make()  # type: ignore[operator]
    mlp = Alignment(variable="v", method="by hand", site="L1.mlp_post", dims=(0,))
    width = model.site("L1.mlp_post").sizes["d_mlp"]
    found = reading_weight(model, mlp, None)
    assert found is not None and found.shape == (32, width)
    head = Alignment(variable="v", method="by hand", site="L1.z", head=2, dims=(0,))
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(0)).double()
    weight = reading_weight(model, head, None)
    assert weight is not None and weight.shape == (32, 8)
    run = model.run([[1, 2, 3]], capture=["L1.z", "L1.head_out"])
    wanted = run["L1.head_out"][0, -1, 2]
    # the weight is taken in single precision
    assert torch.allclose(run["L1.z"][0, -1, 2] @ weight.T.double(), wanted, atol=1e-5) and z.shape == (1, 8)
    assert reading_weight(model, Alignment(variable="v", method="by hand", site="L1.resid_post"), None) is None


def test_checks_that_cannot_be_made() -> None:
    whole = Alignment(variable="positive", method="by hand", site=HIDDEN)
    with pytest.raises(SettingsError, match="the checks need a subspace"):
        illusion_checks(dormant(), signs(), alignment=whole)
    line = Alignment(variable="positive", method="by hand", site=HIDDEN, basis=[1.0, 0.0, 0.0])
    with pytest.raises(SettingsError, match="no module is called '9'"):
        illusion_checks(dormant(), signs(), alignment=line, reader="9")
    with pytest.raises(SettingsError, match="'2' reads 2 entries, and native:0:out has 3"):
        illusion_checks(dormant(), signs(), alignment=line, reader="2")
    with pytest.raises(SettingsError, match="align one head"):
        reading_weight(tiny_llama(), Alignment(variable="v", method="by hand", site="L1.z", dims=(0,)), None)
