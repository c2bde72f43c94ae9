import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from tests.models.tiny import llama_folder, tiny_llama
from torch import nn

from assay.app.cli import run
from assay.app.commands.load import plain, ranges, show
from assay.app.description import describe
from assay.engine.model import load
from assay.models.fingerprint import fingerprint


def test_it_says_what_the_model_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = llama_folder(tmp_path / "tiny-model")
    assert run(["load", str(tmp_path / "tiny-model")]) == 0
    text = capsys.readouterr().out
    for expected in (
        "tiny-model",
        "LlamaForCausalLM",
        f"{sum(p.numel() for p in model.parameters()):,}",
        fingerprint(model),
        "layers 2, d_model 32, heads 4",
        "resid_post",
        "batch × pos × kv_head 2 × d_head 8",
        "Absent",
    ):
        assert expected in text, expected


def test_json_holds_the_same_and_every_absent_site_has_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    llama_folder(tmp_path)
    assert run(["load", str(tmp_path), "--dtype", "bfloat16", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["dtype"] == "bfloat16"
    assert found["source"]["facts"]
    assert found["sizes"] == {
        "layers": 2, "d_model": 32, "heads": 4, "d_mlp": 64, "kv_heads": 2, "context": 64, "vocabulary": 64,
    }  # fmt: skip
    assert found["tokenizer"]["vocabulary"] == 10
    sites = {row["name"]: row for row in found["sites"]}
    assert sites["resid_post"]["layers"] == [0, 1]
    assert sites["resid_post"]["sizes"] == {"d_model": 32}
    assert sites["logits"]["layers"] == []
    assert {row["name"] for row in found["absent"]}.isdisjoint(sites)
    assert all(row["reason"] for row in found["absent"])


def test_reasons_are_shown_as_they_are() -> None:
    """Shapes in brackets look like rich's markup, which would swallow them."""
    console = Console(width=120, record=True, file=StringIO())
    description = describe(load(nn.Sequential(nn.Linear(3, 4))))
    absent = [{"name": "logits", "layers": [], "reason": "its shape is not [batch, pos, vocab]"}]
    show({**description, "absent": absent}, console)
    assert "its shape is not [batch, pos, vocab]" in console.export_text()


def test_tied_weights_are_counted_once() -> None:
    tied, apart = (describe(load(tiny_llama(tie_word_embeddings=tie)))["memory"] for tie in (True, False))
    assert apart["parameters"] - tied["parameters"] == 64 * 32
    assert apart["bytes"] - tied["bytes"] == 64 * 32 * 4


def test_a_module_without_sites_is_described_too() -> None:
    found = describe(load(nn.Sequential(nn.Linear(3, 4))))
    assert found["memory"]["parameters"] == 16
    assert found["tokenizer"] is None
    assert found["model_type"] is None


@pytest.mark.parametrize(
    ("layers", "text"), [([], ""), ([3], "3"), ([0, 1, 2, 5], "0-2, 5"), ([4, 2, 3, 9, 8], "2-4, 8-9")]
)
def test_layers_are_written_as_ranges(layers: list[int], text: str) -> None:
    assert ranges(layers) == text


def test_text_for_a_pipe_ends_its_lines_without_blanks_and_names_a_site_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    llama_folder(tmp_path)
    assert run(["load", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert "A site's full name has its layer: L1.resid_post. Without one it stands for all layers." in lines


def test_a_model_without_layers_has_no_name_to_show() -> None:
    assert "full name" not in plain(describe(load(nn.Sequential(nn.Linear(3, 4)))))
