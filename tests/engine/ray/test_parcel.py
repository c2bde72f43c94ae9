"""A model that travels is the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny_pairs import tiny_gpt2, tiny_llama
from torch import nn

import assay
from assay.core.errors import LoadError
from assay.engine.model import Model
from assay.engine.ray.parcel import Parcel
from assay.models.fingerprint import fingerprint

CPU = torch.device("cpu")
IDS = [[3, 1, 4, 1, 5]]


def opened(parcel: Parcel | None) -> Model:
    assert parcel is not None
    return Model(parcel.open(CPU))


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_from_memory(make: Any, dtype: torch.dtype) -> None:
    model = make()
    model.native.to(dtype)
    parcel = Parcel.from_memory(model.network)
    assert all(tensor.is_meta for tensor in parcel.native.parameters())  # type: ignore[union-attr]
    assert not any(tensor.is_meta for tensor in model.native.parameters())
    arrived = opened(parcel)
    assert torch.equal(arrived.run(IDS).logits, model.run(IDS).logits)
    assert [site.name for site in arrived.sites] == [site.name for site in model.sites]
    assert arrived.fingerprint == fingerprint(model.native)
    assert not any(tensor.is_meta for tensor in (*arrived.native.parameters(), *arrived.native.buffers()))


def test_weights_are_shared_not_copied() -> None:
    model = tiny_llama()
    parcel = Parcel.from_memory(model.network)
    here = {tensor.data_ptr() for tensor in model.native.parameters()}
    assert {tensor.data_ptr() for tensor in opened(parcel).native.parameters()} <= here


def test_tied_weights_stay_tied() -> None:
    model = tiny_gpt2()
    native: Any = opened(Parcel.from_memory(model.network)).native
    assert native.lm_head.weight is native.transformer.wte.weight


def test_a_module_of_ones_own() -> None:
    model = assay.load(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9)), inputs={"input": torch.tensor([[1, 2]])})
    native = opened(Parcel.from_memory(model.network)).native
    assert torch.equal(native(torch.tensor([[3]])), model.native(torch.tensor([[3]])))


def test_a_buffer_that_an_attribute_names_too() -> None:
    model = tiny_llama()
    native: Any = model.native
    native.model.again = native.model.rotary_emb.inv_freq
    arrived: Any = opened(Parcel.from_memory(model.network)).native
    assert arrived.model.again is arrived.model.rotary_emb.inv_freq and not arrived.model.again.is_meta


def test_weights_that_are_not_here() -> None:
    model = tiny_llama()
    model.native.to("meta")
    with pytest.raises(LoadError, match="not in memory"):
        Parcel.from_memory(model.network)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_llama().native.save_pretrained(tmp_path / "llama")  # type: ignore[operator]
    return tmp_path / "llama"


def test_by_its_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    model = assay.load("./llama", dtype="float32", attn_implementation="eager")
    parcel = Parcel.by_source(model.network)
    assert parcel is not None and parcel.native is None and parcel.arrays is None
    monkeypatch.chdir("/")
    arrived = opened(parcel)
    assert arrived.dtype == torch.float32 and arrived.native.config._attn_implementation == "eager"  # type: ignore[union-attr]
    assert torch.equal(arrived.run(IDS).logits, model.run(IDS).logits)
    assert Parcel.by_source(tiny_llama().network) is None


def test_weights_that_changed_since_are_noticed(folder: Path) -> None:
    model = assay.load(folder)
    assert model.fingerprint
    with torch.no_grad():
        next(model.native.parameters()).add_(1)
    with pytest.raises(LoadError, match="a worker loads other weights"):
        opened(Parcel.by_source(model.network))
    arrived = opened(Parcel.from_memory(model.network))
    assert torch.equal(arrived.run(IDS).logits, model.run(IDS).logits)
