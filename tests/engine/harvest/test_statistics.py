"""Statistics on the fly: those of the stored activations, however the corpus is cut or interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.errors import SettingsError, StorageError
from assay.engine.harvest import Harvest
from assay.engine.harvest.moments import Moments
from assay.engine.harvest.norms import Norms
from assay.engine.model import Model

DOCUMENTS = [[(7 * i + 3 * j) % 50 + 1 for j in range(3 + i % 4)] for i in range(23)]
ALL = ("mean", "covariance", "norm", "top")
RULES: Any = {"sites": ["L1.resid_post", "L2.z"], "statistics": ALL, "top": 4, "documents_per_shard": 5}
STORED = 2e-6
"""Relative: activations are stored in single precision, statistics are of the double precision before that."""


def flat(found: Any) -> dict[str, Any]:
    """All numbers inside, by name."""
    if is_dataclass(found):
        each = {f.name: flat(getattr(found, f.name)) for f in fields(found)}
        return {f"{name}.{key}": value for name, inner in each.items() for key, value in inner.items()}
    return {} if found is None else {"": found}


def identical(one: Harvest, two: Harvest) -> None:
    """The same bits."""
    assert one.statistics.keys() == two.statistics.keys()
    for site in one.statistics:
        here, there = flat(one.statistics[site]), flat(two.statistics[site])
        assert here.keys() == there.keys()
        for name, value in here.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(there[name])), f"{site} {name}"


def test_they_are_numpys_on_the_stored_activations(llama: Model) -> None:
    found = llama.harvest(DOCUMENTS, pos=slice(1, None), **RULES)
    for site, stored in found.tensors.items():
        x = stored.double().numpy()
        rows = x.reshape(len(x), -1)
        sums = found.statistics[site]
        assert sums.rows == len(found) == len(x)
        assert sums.mean is not None and sums.variance is not None and sums.covariance is not None
        scale = np.abs(x).max()
        np.testing.assert_allclose(sums.mean, x.mean(0), atol=STORED * scale)
        np.testing.assert_allclose(sums.variance, x.var(0), atol=STORED * scale**2)
        np.testing.assert_allclose(sums.covariance, np.cov(rows.T, bias=True), atol=STORED * scale**2)


def test_norms_are_over_the_last_axis(llama: Model) -> None:
    found = llama.harvest(DOCUMENTS, **RULES)
    for site, stored in found.tensors.items():
        norms = np.linalg.norm(stored.double().numpy(), axis=-1)
        sums = found.statistics[site].norm
        assert sums is not None
        for mine, wanted in (
            (sums.mean, norms.mean(0)), (sums.std, norms.std(0)), (sums.least, norms.min(0)), (sums.most, norms.max(0)),
        ):  # fmt: skip
            np.testing.assert_allclose(mine, wanted, rtol=1e-5)
        assert sums.histogram.sum(-1).eq(len(found)).all()
        for q in (0, 0.1, 0.5, 0.93, 1):
            # half a bin of 1/32 of a doubling
            np.testing.assert_allclose(sums.quantile(q), np.quantile(norms, q, axis=0, method="lower"), rtol=0.0109)


def test_the_top_examples_of_each_unit(llama: Model) -> None:
    found = llama.harvest(DOCUMENTS, **RULES)
    for site, stored in found.tensors.items():
        top = found.statistics[site].top
        assert top is not None and top.values.shape == (4, *stored.shape[1:])
        order = np.argsort(-stored.numpy(), axis=0, kind="stable")[:4]
        np.testing.assert_allclose(top.values, np.take_along_axis(stored.numpy(), order, 0), rtol=STORED)
        for name in ("tokens", "document", "position"):
            assert np.array_equal(getattr(top, name), getattr(found, name).numpy()[order])
    top = found.statistics["L1.resid_post"].top
    assert top is not None
    for document, position, token in zip(top.document[0], top.position[0], top.tokens[0], strict=True):
        assert DOCUMENTS[int(document)][int(position)] == int(token)


def test_fewer_rows_than_places(llama: Model) -> None:
    found = llama.harvest([[1, 2], [3]], "L0.mlp_out", statistics="top")
    top = found.statistics["L0.mlp_out"].top
    assert top is not None and top.values.shape == (3, 32)
    assert torch.equal(top.values, top.values.sort(0, descending=True).values)


def test_chosen_for_each_site(llama: Model) -> None:
    chosen = {"resid_post": "mean", "L1.resid_post": ["norm"]}
    found = llama.harvest(DOCUMENTS, ["resid_post", "L0.z"], statistics=chosen).statistics
    assert set(found) == {"L0.resid_post", "L1.resid_post", "L2.resid_post"}
    assert found["L0.resid_post"].mean is not None and found["L0.resid_post"].norm is None
    assert found["L1.resid_post"].mean is not None and found["L1.resid_post"].norm is not None
    assert found["L1.resid_post"].covariance is None and found["L1.resid_post"].top is None


def test_without_activations(llama: Model, tmp_path: Path) -> None:
    whole = llama.harvest(DOCUMENTS, **RULES)
    sums = llama.harvest(DOCUMENTS, activations=False, **RULES)
    identical(whole, sums)
    assert not sums.tensors and not len(sums.tokens) and len(sums) == len(whole)
    disk = llama.harvest(DOCUMENTS, activations=False, to=tmp_path, **RULES)
    identical(whole, disk)
    assert not disk.tensors and len(disk) == len(whole)
    assert [path.suffix for path in tmp_path.iterdir()].count(".safetensors") == 2  # the last two sums
    assert list(Harvest.stream(tmp_path))[1].rows == sum(map(len, DOCUMENTS[5:10]))


def until(stop: int) -> Iterator[list[int]]:
    yield from DOCUMENTS[:stop]
    raise KeyboardInterrupt


@pytest.mark.parametrize("activations", [True, False])
@pytest.mark.parametrize("layout", ["bucketed", "packed"])
def test_an_interruption_leaves_no_trace(llama: Model, tmp_path: Path, layout: Any, activations: bool) -> None:
    rules: Any = RULES | {"layout": layout, "activations": activations}
    for stop in (3, 9, 9, 20):
        with pytest.raises(KeyboardInterrupt):
            llama.harvest(until(stop), to=tmp_path, **rules)
    found = llama.harvest(DOCUMENTS, to=tmp_path, **rules)
    identical(found, llama.harvest(DOCUMENTS, **rules))
    identical(found, Harvest.open(tmp_path))
    assert len(list(tmp_path.glob("statistics-*"))) == 2


def test_a_corpus_that_grew(llama: Model, tmp_path: Path) -> None:
    for n in (3, 4, 7, 23):
        llama.harvest(DOCUMENTS[:n], to=tmp_path, **RULES)
    identical(Harvest.open(tmp_path), llama.harvest(DOCUMENTS, **RULES))


def test_damaged_and_missing_sums_are_found(llama: Model, tmp_path: Path) -> None:
    llama.harvest(DOCUMENTS, to=tmp_path, **RULES)
    last = max(tmp_path.glob("statistics-*"))
    data = bytearray(last.read_bytes())
    data[-5] ^= 1
    last.write_bytes(data)
    with pytest.raises(StorageError, match=last.name):
        Harvest.open(tmp_path)
    before = min(tmp_path.glob("statistics-*"))  # the last shard is to be run again, with more documents
    before.unlink()
    with pytest.raises(StorageError, match=before.name):
        llama.harvest([*DOCUMENTS, *DOCUMENTS], to=tmp_path, **RULES)


def test_other_statistics_need_another_folder(llama: Model, tmp_path: Path) -> None:
    llama.harvest(DOCUMENTS, to=tmp_path, **RULES)
    with pytest.raises(StorageError, match="another folder"):
        llama.harvest(DOCUMENTS, to=tmp_path, **(RULES | {"statistics": "mean"}))


@settings(max_examples=50, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 299), max_size=4),
    shift=st.sampled_from([0.0, 1e3, -1e9]),
    full=st.booleans(),
    seed=st.integers(0, 99),
)
def test_moments_of_any_blocks_are_those_of_the_whole(cuts: list[int], shift: float, full: bool, seed: int) -> None:
    """With a mean of a billion beside a spread of one, a sum of squares has no digit left; these keep nine."""
    rows = torch.randn(300, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    mixed = (rows @ torch.tensor([[1.0, 2, 0], [0, 1, 1], [0, 0, 0.5]]).double()) + shift
    moments = Moments.empty(3, full=full, device=torch.device("cpu"))
    for start, stop in zip([0, *sorted(set(cuts))], [*sorted(set(cuts)), 300], strict=True):
        moments.add(mixed[start:stop])
    exact = mixed - shift  # what double precision makes of the shifted numbers, brought back without loss
    tolerance = 1e-12 + abs(shift) * 1e-15
    torch.testing.assert_close(moments.mean - shift, exact.mean(0), atol=4 * tolerance, rtol=0)
    torch.testing.assert_close(moments.variance, exact.var(0, correction=0), atol=4 * tolerance, rtol=1e-9)
    if full:
        torch.testing.assert_close(moments.covariance, exact.T.cov(correction=0), atol=4 * tolerance, rtol=1e-9)
    else:
        assert moments.covariance is None


def test_lengths_outside_the_bins() -> None:
    norms = Norms.empty(1, torch.device("cpu"))
    values = torch.tensor([0.0, 1e-30, 1.0, 1e30, torch.inf], dtype=torch.float64)
    norms.add(values[:, None, None])
    found = norms.result(())
    assert found.histogram[0] == 2 and found.histogram[-1] == 2 and found.histogram.sum() == 5
    assert found.least == 0 and found.most == torch.inf
    with pytest.raises(SettingsError, match="quantile 2"):
        found.quantile(2)
