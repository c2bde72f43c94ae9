"""Batches of activations: every row once, in a random order, the same from memory and from shards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.tiny_pairs import tiny_llama

from assay.core.errors import DataError
from assay.dictionaries import activations
from assay.dictionaries.activations import Activations

TEXTS = [[1 + (7 * i + j) % 59 for j in range(6 + i)] for i in range(8)]


def test_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "POOL", 50)
    parts = [torch.arange(start, start + 40.0)[:, None] for start in range(0, 400, 40)]
    stream = Activations("", 400, lambda: iter(parts))
    found = torch.cat(list(stream.batches(16, seed=0))).flatten()
    assert len(found) == 400 and len(found.unique()) == 400  # 400 is 25 batches
    assert not torch.equal(found, found.sort().values)
    again, other = (torch.cat(list(stream.batches(16, seed=seed))).flatten() for seed in (0, 1))
    assert torch.equal(found, again) and not torch.equal(found, other)


def test_shards_give_what_memory_gives(tmp_path: Path) -> None:
    model, rules = tiny_llama(), {"pos": slice(1, None), "documents_per_shard": 3}
    kept = model.harvest(TEXTS, "L1.resid_post", **rules)
    model.harvest(TEXTS, "L1.resid_post", to=tmp_path / "shards", **rules)
    memory, disk = (Activations.of(each, "L1.resid_post") for each in (kept, tmp_path / "shards"))
    assert memory.rows == disk.rows == sum(len(text) - 1 for text in TEXTS)
    one, two = (torch.cat(list(each.batches(1, seed=0))) for each in (memory, disk))
    torch.testing.assert_close(one.sort(0).values, two.sort(0).values)


def test_sites_without_a_vector_for_each_token_are_refused() -> None:
    kept = tiny_llama().harvest(TEXTS, "L1.z")
    with pytest.raises(DataError, match="one vector for each"):
        Activations.of(kept, "L1.z")
    with pytest.raises(DataError, match=r"no 'L0\.z': it has L1\.z"):
        Activations.of(kept, "L0.z")
