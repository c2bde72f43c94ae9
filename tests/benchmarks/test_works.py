"""What a tool does in a row: which cells it is given, how its time is scaled, and numbers that are the naive engine's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from side_by_side import growth, works
from side_by_side.agree import agreed
from side_by_side.by_hooks import HookBatches, HookLoop, twin
from side_by_side.memory import grown, resident
from side_by_side.sweep_rows import Part, Row
from side_by_side.tools import Tool
from tests.tiny_pairs import VOCABULARY, tiny_llama

MIB = 2**20


def part(examples: int = 1, **axes: Any) -> Part:
    clean = torch.randint(1, VOCABULARY, (examples, 6), generator=torch.Generator().manual_seed(0))
    answer = clean[:, 1]
    return Part(clean, (clean + 3) % VOCABULARY, answer, (answer + 1) % VOCABULARY, **axes)


ROWS = {
    "residual": Row("a", "", (part(sites=("resid_pre",), layers=(0, 1, 2), positions=tuple(range(6))),)),
    "heads": Row("b", "", (part(2, sites=("z",), layers=(0, 1, 2), heads=(0, 1, 2, 3)),)),
    "outputs": Row(
        "c", "", tuple(part(sites=(s,), layers=(0, 1, 2), positions=(2, 5)) for s in ("mlp_out", "attn_out"))
    ),
    "paths": Row("d", "", (part(sites=("k", "v"), layers=(1, 2), heads=(0, 1), sender=(0, 3)),)),
}


class Counted:
    """A tool that takes a second to prepare and two for each cell."""

    seconds = 0.0

    def prepare(self, given: Part) -> None:
        self.seconds += 1

    def cells(self, given: Part, values: None) -> None:
        self.seconds += 2 * len(given.cells)


class Watch:
    """A clock that reads what `Counted` counts."""

    def __init__(self, tool: Counted) -> None:
        self.tool = tool

    def time(self, work: Callable[[], object]) -> float:
        before = self.tool.seconds
        work()
        return self.tool.seconds - before


@pytest.mark.parametrize("batches", [False, True])
def test_time_of_some_cells_is_scaled_and_what_is_done_once_is_not(batches: bool) -> None:
    counted: Any = Counted()
    watch: Any = Watch(counted)
    work = works.patches(Tool("torch", lambda *_: counted, batches=batches), counted, ROWS["residual"], 4, watch)
    assert work.ran is not None
    assert work.ran < 18, "not all cells"
    assert work.seconds() == 1 + 2 * 18


def test_batches_of_many_prompts_are_two_whole_batches() -> None:
    many = Row("a″", "", (part(32, sites=("resid_pre",), layers=(0, 1, 2), positions=tuple(range(6))),), share=0.25)
    (few,) = works.layered(many, 12)
    assert len(few.cells) * 32 == 2 * works.ROWS_AT_ONCE


@pytest.mark.parametrize("name", ROWS)
def test_hooks_by_hand_and_assay_find_what_the_naive_engine_finds(name: str) -> None:
    model, row, clock = tiny_llama(), ROWS[name], works.Clock()
    wanted = works.naive_patches(model, row, 6)
    assert len(wanted) == len(row.parts)
    ours = works.assay_patches(model, row, 6, clock)
    assert agreed(ours.numbers(), wanted) < 1e-9  # double precision
    assert ours.facts["token_layers"] > 0
    for build in (HookLoop, HookBatches):
        tool = Tool("torch", lambda native, _, build=build: build(native))
        assert agreed(works.patches(tool, build(model.native), row, 6, clock).numbers(), wanted) < 1e-9


def test_a_twin_shares_weights_and_no_hooks() -> None:
    native = tiny_llama().native
    other = twin(native)
    assert all(one is two for one, two in zip(native.parameters(), other.parameters(), strict=True))
    other.model.layers[0].register_forward_hook(lambda *_: None)
    assert not native.model.layers[0]._forward_hooks


def test_memory_is_what_was_there_at_most() -> None:
    before = resident()
    if not before:
        pytest.skip("this system does not tell")
    taken = grown(lambda: torch.ones(64 * MIB // 4), before)
    assert taken > 60 * MIB  # the tensor, and whatever the process let go meanwhile


@pytest.mark.parametrize("axis", growth.AXES)
def test_growth_varies_one_thing(axis: str) -> None:
    _, values = growth.AXES[axis]
    made = [growth.sweep(axis, value) for value in values]
    parts = [growth.part(sweep, VOCABULARY * 10) for sweep in made]
    assert len(set(made)) == len(values)
    assert all(p.clean.shape == (s.prompts, s.length) for p, s in zip(parts, made, strict=True))
    assert all((p.clean != p.corrupt).all() for p in parts), "nothing is free"
    variants = {len(p.cells) for p in parts}
    assert variants == {64} if axis in ("layers", "positions", "prompts") else len(variants) == len(values)


def test_places_are_centred_whatever_their_number() -> None:
    assert growth.centred(1, 16) == (8,)
    assert growth.centred(4, 16) == (2, 6, 10, 14)
    assert growth.centred(16, 16) == tuple(range(16))
