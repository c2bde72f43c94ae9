"""Wirings: which edges follow from channels, and what is around a circuit."""

from __future__ import annotations

import pytest
import torch

from assay.core.errors import DataError
from assay.training.planted.board import PLACES, TOKENS, board, mover
from assay.training.planted.weights import plant
from assay.training.planted.wiring import Head, Wiring


def relay() -> Wiring:
    """A word goes from place 1 to the end in two steps; a third head moves what nobody reads."""
    wiring = board(5, 4)
    words = torch.eye(4)
    for name in ("half way", "out", "unread"):
        wiring.channel(name, 4)
    wiring.heads += [
        mover((0, 0), 1, length=4, value=(TOKENS, words), write=("half way", words)),
        mover((0, 1), 2, length=4, value=(TOKENS, words), write=("unread", words)),
        mover((1, 0), 2, length=4, value=("half way", words), write=("out", words)),
    ]
    wiring.unembed("out", torch.eye(5)[1:])
    return wiring


def test_edges_go_from_writers_to_readers_and_lead_to_the_output() -> None:
    wiring = relay()
    carried = {"embed->L0.H0.v", "L0.H0->L1.H0.v", "L1.H0->logits"}
    assert wiring.edges(varying=True) == carried
    looks = {f"embed->L{layer}.H0.{slot}" for layer in (0, 1) for slot in "qk"}
    assert wiring.edges(varying=False) == carried | looks


def test_a_head_does_not_read_what_is_written_beside_it_or_later() -> None:
    wiring = relay()
    wiring.heads.append(
        Head(0, 2, (("half way", torch.eye(4)),), ((PLACES, torch.eye(4)),), (), (("out", torch.eye(4)),))
    )
    assert "L0.H0->L0.H2.q" not in wiring.edges(varying=False)
    assert "L0.H2->logits" in wiring.edges(varying=False)


def test_what_looks_where_varying_things_tell_it_to_varies() -> None:
    """A head that moves something fixed, from a place that the tokens choose."""
    wiring = board(5, 4)
    wiring.channel("out", 4)
    wiring.heads.append(Head(0, 0, ((TOKENS, torch.eye(4)),), ((TOKENS, torch.eye(4)),), ((PLACES, torch.eye(4)),),
                             (("out", torch.eye(4)),)))  # fmt: skip
    wiring.unembed("out", torch.eye(5)[1:])
    assert wiring.edges(varying=True) == {"embed->L0.H0.q", "embed->L0.H0.k", "L0.H0->logits"}


def test_spare_heads_are_busy_and_change_nothing() -> None:
    """Without junk around it, the same circuit has the same logits."""
    alone, crowded = (plant(relay(), seed=1, heads=heads) for heads in (2, 5))
    prompts = [[0, 1, 2, 3], [0, 4, 4, 1]]
    run = crowded.run(prompts, capture=["L0.head_out"])
    assert float(run["L0.head_out"][:, :, 4].norm(dim=-1).min()) > 0.01
    torch.testing.assert_close(run.logits, alone.run(prompts).logits, atol=1e-12, rtol=0)
    noisy = plant(relay(), seed=1, heads=5, background=0.05)
    assert 1e-4 < float((noisy.run(prompts).logits - run.logits).abs().max()) < 0.2


def test_the_stream_has_no_dimensions_of_its_own() -> None:
    weight = plant(relay(), seed=1).native.unembed.weight
    assert int((weight[1].abs() > 1e-6).sum()) > 10


def test_every_site_is_there_though_weights_are_degenerate() -> None:
    model = plant(relay(), seed=0)
    for name in ("q", "k", "v", "pattern", "z", "head_out", "resid_mid"):
        reason = model.why_not(f"L1.{name}")
        assert reason is None or name == "resid_mid", f"{name}: {reason}"
    assert model.site("L0.k").sizes["kv_head"] == model.n_heads == 3


def test_what_cannot_be_wired() -> None:
    wiring = relay()
    with pytest.raises(DataError, match="a channel 'out' already"):
        wiring.channel("out", 2)
    with pytest.raises(DataError, match="needs 2 heads in a layer; 1 were allowed"):
        plant(wiring, seed=0, heads=1)
