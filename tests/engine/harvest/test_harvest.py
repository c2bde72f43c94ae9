"""Harvests: the same numbers as runs, in order, resumed where they stopped, never half written."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.engine import by_hand
from tests.tiny_pairs import tiny_llama

from assay.core.errors import InputError, StorageError
from assay.engine.harvest import Harvest
from assay.engine.model import Model

DOCUMENTS = [[(7 * i + 3 * j) % 50 + 1 for j in range(3 + i % 4)] for i in range(11)]
SITES = ["L0.resid_post", "L1.z", "L2.pattern"]


def same(one: Harvest, two: Harvest) -> bool:
    """The same rows; the numbers up to the rounding of batches of another size."""
    labels = all(torch.equal(getattr(one, n), getattr(two, n)) for n in ("tokens", "document", "position"))
    assert set(one.tensors) == set(two.tensors)
    return labels and all(torch.allclose(one.tensors[s], two.tensors[s], atol=2e-6) for s in one.tensors)


def test_rows_are_tokens_in_document_order_and_equal_to_runs(llama: Model) -> None:
    found = llama.harvest(DOCUMENTS, SITES[:2], batch=3)
    assert found.tokens.tolist() == [token for document in DOCUMENTS for token in document]
    assert found.document.tolist() == [i for i, document in enumerate(DOCUMENTS) for _ in document]
    assert found.position.tolist() == [p for document in DOCUMENTS for p in range(len(document))]
    assert len(found) == sum(map(len, DOCUMENTS))
    start = 0
    for document in DOCUMENTS:
        kept = by_hand.run(llama.native, [document], keep=SITES[:2])[1]
        for site, value in kept.items():
            by_hand.close(found.tensors[site][start : start + len(document)], value[0].float())
        start += len(document)


def test_texts(smol: Model) -> None:
    texts = ["Hello there, world", "The capital of France"]
    found = smol.harvest(texts, "L3.resid_post", pos=-1)
    wanted = [smol.run(text, capture=["L3.resid_post"])["L3.resid_post"][0, -1] for text in texts]
    torch.testing.assert_close(found.tensors["L3.resid_post"], torch.stack(wanted))


def test_positions_and_dtype(llama: Model) -> None:
    whole = llama.harvest(DOCUMENTS, "L1.z")
    some = llama.harvest(DOCUMENTS, "L1.z", pos=slice(1, None), dtype="bfloat16")
    assert some.tensors["L1.z"].dtype == torch.bfloat16
    assert torch.equal(some.tensors["L1.z"], whole.tensors["L1.z"][whole.position > 0].bfloat16())
    assert (some.position > 0).all()


def test_documents_too_short_for_the_positions_give_no_rows(llama: Model) -> None:
    found = llama.harvest([[5, 7, 11], [6], [8, 9]], "L1.z", pos=slice(1, None))
    assert found.document.tolist() == [0, 0, 2]
    with pytest.raises(InputError, match="no position"):
        llama.harvest([[5], [6]], "L1.z", pos=slice(1, None))


def test_long_documents_are_cut_into_pieces_that_do_not_see_each_other(llama: Model) -> None:
    document = list(range(1, 12))
    found = llama.harvest([document], "L2.resid_post", context=5)
    assert found.tokens.tolist() == document
    assert found.position.tolist() == list(range(11))
    pieces = [
        by_hand.run(llama.native, [document[i : i + 5]], keep=["L2.resid_post"])[1]["L2.resid_post"][0]
        for i in (0, 5, 10)
    ]
    by_hand.close(found.tensors["L2.resid_post"], torch.cat(pieces).float())
    first = llama.harvest([document], "L2.resid_post", context=5, pos=slice(1, None))
    assert first.position.tolist() == [1, 2, 3, 4, 6, 7, 8, 9]  # the first token of every piece is left out


def test_shards_hold_the_same_as_memory(llama: Model, tmp_path: Path) -> None:
    memory = llama.harvest(DOCUMENTS, SITES[:2])
    disk = llama.harvest(DOCUMENTS, SITES[:2], to=tmp_path / "h", documents_per_shard=4)
    assert same(memory, disk)
    assert same(memory, Harvest.open(tmp_path / "h"))
    shards = list(Harvest.stream(tmp_path / "h"))
    assert [len(set(s.document.tolist())) for s in shards] == [4, 4, 3]
    assert torch.equal(torch.cat([s.tensors["L1.z"] for s in shards]), disk.tensors["L1.z"])


def counted(documents: list[list[int]], stop: int | None = None) -> Iterator[list[int]]:
    for i, document in enumerate(documents):
        if i == stop:
            raise KeyboardInterrupt
        yield document


def passes(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of rows of every native pass from now on."""
    seen: list[int] = []
    original = type(model.native).forward

    def forward(self: object, *args: object, **kwargs: object) -> object:
        seen.append(len(kwargs["input_ids"]))  # type: ignore[arg-type]
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(type(model.native), "forward", forward)
    return seen


def test_it_goes_on_after_the_last_whole_shard(llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        llama.harvest(counted(DOCUMENTS, stop=9), "L1.z", to=tmp_path, documents_per_shard=4)
    assert [s["documents"] for s in json.loads((tmp_path / "index.json").read_text())["shards"]] == [4, 4]
    seen = passes(llama, monkeypatch)
    disk = llama.harvest(DOCUMENTS, "L1.z", to=tmp_path, documents_per_shard=4)
    assert sum(seen) == 3
    monkeypatch.undo()
    assert same(disk, llama.harvest(DOCUMENTS, "L1.z"))
    seen = passes(llama, monkeypatch)
    llama.harvest(DOCUMENTS, "L1.z", to=tmp_path, documents_per_shard=4)
    assert not seen


def test_a_corpus_that_grew_is_harvested_to_its_end(llama: Model, tmp_path: Path) -> None:
    llama.harvest(DOCUMENTS[:6], "L1.z", to=tmp_path, documents_per_shard=4)
    disk = llama.harvest(DOCUMENTS, "L1.z", to=tmp_path, documents_per_shard=4)
    assert same(disk, llama.harvest(DOCUMENTS, "L1.z"))


def test_another_corpus_is_never_mixed_in(llama: Model, tmp_path: Path) -> None:
    llama.harvest(DOCUMENTS[:8], "L1.z", to=tmp_path, documents_per_shard=4)
    other = [[1, 2, 3], *DOCUMENTS[1:]]
    with pytest.raises(StorageError, match="other documents"):
        llama.harvest(other, "L1.z", to=tmp_path, documents_per_shard=4)
    with pytest.raises(StorageError, match="8 documents, and this corpus has 4"):
        llama.harvest(DOCUMENTS[:4], "L1.z", to=tmp_path, documents_per_shard=4)


@pytest.mark.parametrize(
    "other", [{"sites": "L0.z"}, {"pos": -1}, {"dtype": "float16"}, {"context": 3}, {"documents_per_shard": 5}]
)
def test_other_rules_need_another_folder(llama: Model, tmp_path: Path, other: dict[str, object]) -> None:
    rules: dict[str, object] = {"sites": "L1.z", "documents_per_shard": 4}
    llama.harvest(DOCUMENTS, to=tmp_path, **rules)  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="another folder"):
        llama.harvest(DOCUMENTS, to=tmp_path, **(rules | other))  # type: ignore[arg-type]


def test_another_model_needs_another_folder(llama: Model, gpt2: Model, tmp_path: Path) -> None:
    llama.harvest(DOCUMENTS, "L1.z", to=tmp_path)
    with pytest.raises(StorageError, match="another model"):
        gpt2.harvest(DOCUMENTS, "L1.z", to=tmp_path)


def test_a_full_disk_leaves_whole_shards_only(llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = Path.write_bytes, []

    def full(self: Path, data: bytes) -> int:
        if len(written) == 2:  # a shard and the index are there
            real(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(self)
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises((StorageError, OSError)):
        llama.harvest(DOCUMENTS, "L1.z", to=tmp_path, documents_per_shard=4)
    monkeypatch.undo()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.json", "shard-000000000.safetensors"]
    assert len(set(Harvest.open(tmp_path).document.tolist())) == 4
    assert same(llama.harvest(DOCUMENTS, "L1.z", to=tmp_path, documents_per_shard=4), llama.harvest(DOCUMENTS, "L1.z"))


def test_damage_is_found(llama: Model, tmp_path: Path) -> None:
    llama.harvest(DOCUMENTS, "L1.z", to=tmp_path, documents_per_shard=4)
    shard = tmp_path / "shard-000000004.safetensors"
    data = bytearray(shard.read_bytes())
    data[-3] ^= 1
    shard.write_bytes(data)
    with pytest.raises(StorageError, match=r"shard-000000004\S* is damaged: its checksum"):
        _ = Harvest.open(tmp_path).tensors
    shard.write_bytes(data[:-3])
    with pytest.raises(StorageError, match=r"shard-000000004\S* is damaged: it has another size"):
        Harvest.open(tmp_path)
    shard.unlink()
    with pytest.raises(StorageError, match="shard-000000004"):
        Harvest.open(tmp_path)


def test_patterns_of_one_length(llama: Model) -> None:
    """The rows of attention patterns can be kept where all pieces have one length."""
    same_length = [document[:3] for document in DOCUMENTS]
    found = llama.harvest(same_length, "L2.pattern")
    wanted = llama.run(same_length, capture=["L2.pattern"])["L2.pattern"]
    by_hand.close(found.tensors["L2.pattern"], wanted.transpose(1, 2).flatten(0, 1))


@pytest.mark.parametrize("corpus", [[], [[]], [[500]]])
def test_bad_corpora(llama: Model, corpus: object) -> None:
    with pytest.raises(InputError):
        llama.harvest(corpus, "L1.z")  # type: ignore[arg-type]


def test_patterns_of_several_lengths_have_no_common_width(llama: Model) -> None:
    with pytest.raises(InputError, match="as wide as the prompt"):
        llama.harvest(DOCUMENTS, "L2.pattern")


def test_weights_changed_in_between_need_another_folder(tmp_path: Path) -> None:
    model = tiny_llama()
    model.harvest(DOCUMENTS, "L1.z", to=tmp_path)
    with torch.no_grad():
        model.native.model.layers[1].self_attn.v_proj.weight.mul_(2)  # type: ignore[union-attr]
    with pytest.raises(StorageError, match="another model"):
        model.harvest([*DOCUMENTS, [1, 2, 3]], "L1.z", to=tmp_path)
