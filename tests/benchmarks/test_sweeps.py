"""The whole benchmark on a tiny model, with workers in this process: every row, growth, the stored result and the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sweeps
import torch
from side_by_side import growth, steering, sweep_rows, tools, worker
from side_by_side.talk import WorkerError
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROWS = ["a", "a′", "a″", "b", "b′", "c", "d", "e", "g"]
HAND = ("loop by hand", "batches by hand")
OTHERS = "When and went to the store , gave a drink After Tom or James ran from that park . Anna sold my ring at"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with as many layers as the benchmark's edits need, to which every word of its prompts is a token."""
    said = " ".join([*sweep_rows.PLACES, *sweep_rows.NAMES, *steering.PROMPTS, OTHERS])
    split = pre_tokenizers.Whitespace()
    words = ["<pad>", "<s>", "</s>", *dict.fromkeys(word for word, _ in split.pre_tokenize_str(said))]
    words += [f"w{i}" for i in range(300 - len(words))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = split
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=24, num_hidden_layers=17, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2, pad_token_id=0,
    )  # fmt: skip
    made = tmp_path_factory.mktemp("tiny")
    LlamaForCausalLM(config).save_pretrained(made)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(made)
    return str(made)


class Here:
    """A worker without a process: what is asked and answered goes through JSON all the same."""

    started: list[str]

    def __init__(self, name: str, command: list[str], *, env: dict[str, str]) -> None:
        self.bench = worker.Bench(name)
        self.started.append(name)

    def ask(self, do: str, **given: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(json.dumps(getattr(self.bench, do)(**json.loads(json.dumps(given)))))
        return answer

    def close(self) -> None:
        del self.bench


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Here]]:
    """Workers in this process, few points of growth, no large products, and gradients as they were."""
    monkeypatch.setattr(sweeps, "Worker", Here)
    monkeypatch.setattr(sweeps, "PAUSE", 0)
    monkeypatch.setattr(Here, "started", [], raising=False)
    monkeypatch.setattr(growth, "BASE", growth.Sweep(depth=16))
    few = {"variants": ("variants", (16, 32)), "layers": ("layers of the model", (8, 16))}
    monkeypatch.setattr(worker, "AXES", few)
    monkeypatch.setattr(worker.machine, "peak", lambda: 1e9)  # seconds of large products, once a row
    with torch.enable_grad():
        yield Here


def options(folder: str, *more: str) -> Any:
    few = "--layers 2 --rounds 1 --cells 4 --pairs 2 --variants 4 --tokens 2 --latency-rounds 2 --threads 1"
    return sweeps.options_of(["--model", folder, *few.split(), "--senders", "0.1", *more])


def test_every_row_is_checked_timed_stored_and_written(folder: str, here: type[Here], tmp_path: Path) -> None:
    stored, page = tmp_path / "found.json", tmp_path / "page.md"
    (tmp_path / "images").mkdir()
    page.write_text(
        "<!-- sweeps -->\n<!-- end of sweeps -->\n<!-- growth -->\n<!-- end of growth -->\n", encoding="utf-8"
    )
    result = sweeps.Benchmark(options(folder, "--tools", *HAND, "--json", str(stored))).run()
    assert here.started == ["naive", "assay", *HAND]
    assert list(result["rows"]) == ROWS
    for name, row in result["rows"].items():
        assert not row["out"], name
        by_hand = {"e": {"loop by hand"}}.get(name, set(HAND))  # no batch of one pass
        assert set(row["seconds"]) == {"assay"} | by_hand, name
        assert all(len(each["all"]) == 1 for each in row["seconds"].values())
        assert set(row["grown_bytes"]) == set(row["seconds"])
    for name in ("a", "a′", "b"):
        assert result["rows"][name]["flops"] >= result["rows"][name]["least_flops"], "nobody can do with less"
    assert [len(each["ratios"]) for each in result["one_edit"].values()] == [4, 2, 2]  # plain: of both tools
    assert all(len(axis["seconds"]) == 2 for axis in result["growth"].values())
    assert json.loads(stored.read_text(encoding="utf-8")) == json.loads(json.dumps(result))
    sweeps.write_page(page, result)
    text = page.read_text(encoding="utf-8")
    assert "| a: faster | ≥ 60× | no peer ran it | – |" in text
    for image in ("sweep-ratios.svg", "sweep-growth.svg"):
        assert f"images/{image}" in text
        assert (tmp_path / "images" / image).read_text(encoding="utf-8").startswith("<svg")


def test_a_tool_that_finds_something_else_is_out(
    folder: str, here: type[Here], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = worker.Bench.numbers

    def wrong(self: worker.Bench, row: str) -> dict[str, Any]:
        found = original(self, row)
        if self.name == "loop by hand":
            found["numbers"]["part 0"][0] += 1.0
        return found

    monkeypatch.setattr(worker.Bench, "numbers", wrong)
    result = sweeps.Benchmark(options(folder, "--rows", "a′", "--tools", *HAND)).run()
    assert list(result["rows"]) == ["a′"]
    assert not result["growth"], "with rows, growth is measured only if it is asked for"
    assert "naive engine" in result["rows"]["a′"]["out"]["loop by hand"]
    assert set(result["rows"]["a′"]["seconds"]) == {"assay", "batches by hand"}


def test_a_tool_that_fails_while_timed_is_out(folder: str, here: type[Here], monkeypatch: pytest.MonkeyPatch) -> None:
    original = worker.Bench.time

    def failing(self: worker.Bench, row: str) -> dict[str, Any]:
        if self.name == "loop by hand":
            raise WorkerError("out of memory")
        return original(self, row)

    monkeypatch.setattr(worker.Bench, "time", failing)
    row = sweeps.Benchmark(options(folder, "--rows", "a", "--pairs", "1", "--tools", "loop by hand")).run()["rows"]["a"]
    assert row["out"] == {"loop by hand": "out of memory"}
    assert set(row["seconds"]) == set(row["errors"]) == {"assay"}


def test_tools_on_the_command_line_are_those_that_workers_know() -> None:
    assert tuple(tools.TOOLS) == sweeps.TOOLS


def test_rounds_take_every_tool_in_a_new_order() -> None:
    bench = sweeps.Benchmark(sweeps.options_of(["--rounds", "30", "--rows"]))
    asked: list[str] = []
    sweeps.PAUSE, before = 0, sweeps.PAUSE
    try:
        bench.interleaved(["x", "y", "z"], lambda name: {"asked": asked.append(name)})
    finally:
        sweeps.PAUSE = before
    rounds = [tuple(asked[i : i + 3]) for i in range(0, 90, 3)]
    assert all(sorted(each) == ["x", "y", "z"] for each in rounds)
    assert len(set(rounds)) > 3
