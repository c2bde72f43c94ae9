"""The benchmark's rivals find what assay's naive engine finds: nnsight's invokes and pyvene's batches, on a tiny model."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tests.tiny_pairs import VOCABULARY, tiny_llama
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

BENCHMARKS = str(Path(__file__).parent.parent.parent / "benchmarks")
if BENCHMARKS not in sys.path:
    sys.path.insert(0, BENCHMARKS)

from side_by_side import works  # noqa: E402
from side_by_side.agree import agreed  # noqa: E402
from side_by_side.sweep_rows import Part, Row  # noqa: E402
from side_by_side.tools import TOOLS  # noqa: E402

AXES: dict[str, dict[str, Any]] = {
    "a": {"sites": ("resid_pre",), "layers": (0, 1, 2), "positions": (0, 2, 5)},
    "b": {"sites": ("z",), "layers": (0, 2), "heads": (0, 1, 2, 3)},
    "b′": {"sites": ("z",), "layers": (1,), "positions": (2, 5), "heads": (0, 3)},
    "c": {"sites": ("mlp_out",), "layers": (0, 2), "positions": (2, 5)},
    "c′": {"sites": ("attn_out",), "layers": (0, 2), "positions": (2, 5)},
    "d": {"sites": ("k", "v"), "layers": (1, 2), "heads": (0, 1), "sender": (0, 3)},
}


def row(name: str) -> Row:
    clean = torch.randint(2, VOCABULARY, (2, 6))
    return Row(name, "", (Part(clean, (clean + 3) % VOCABULARY, clean[:, 1], clean[:, 2], **AXES[name]),))


def tokenizer() -> PreTrainedTokenizerFast:
    words = models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0")
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), pad_token="w0", eos_token="w1")


def check(tool: str, name: str) -> None:
    model, given = tiny_llama(), row(name)
    with torch.no_grad():
        wanted = works.naive_patches(model, given, 40)
        built = TOOLS[tool].build(model.native, tokenizer())
        found = works.patches(TOOLS[tool], built, given, 40, works.Clock()).numbers()
    assert agreed(found, wanted) < 1e-9  # double precision


@pytest.mark.parametrize("name", AXES)
def test_nnsight_invokes(nnsight: ModuleType, name: str) -> None:
    check("nnsight, invokes", name)


@pytest.mark.parametrize("name", [name for name in AXES if name != "d"])
def test_pyvene_batches(pyvene: ModuleType, name: str) -> None:
    check("pyvene", name)


def test_pyvene_has_no_path_patching(pyvene: ModuleType) -> None:
    built = TOOLS["pyvene"].build(tiny_llama().native, None)
    assert not TOOLS["pyvene"].can(built, row("d"))
    assert TOOLS["pyvene"].can(built, row("a"))
