"""Compiled weights do what the program does, on every prompt; and new programs compile."""

from __future__ import annotations

from itertools import permutations, product

import pytest
import torch

from assay.core.errors import DataError
from assay.training.planted.compiler import Compiler
from assay.training.planted.library import BOS, PROGRAMS, Program, compiled
from assay.training.planted.programs import Aggregate, Indices, Map, Select, Tokens, Value
from assay.training.planted.wiring import Wiring

AT_MOST = 500
"""Prompts of a program: all there are, or evenly spread ones of them."""


def prompts(program: Program) -> list[tuple[Value, ...]]:
    if program.name == "sort":
        every = list(permutations(program.tokens, program.length))
    elif program.name == "indirect object":
        names = program.tokens[:6]
        every = [
            (a, b, *middle, "to")
            for a, b in permutations(names, 2)
            for s in (a, b)
            for middle in (("gave", s), (s, "gave"))
        ]
    else:
        every = list(product(program.tokens, repeat=program.length))
    return every[:: max(1, len(every) // AT_MOST)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_answer_on_every_prompt(name: str) -> None:
    program = PROGRAMS[name]()
    native = compiled(program, seed=2, n=2).model.native
    asked = prompts(program)
    said = native(torch.tensor([program.encode(prompt) for prompt in asked])).logits.argmax(-1)[:, 1:]
    values = {token: value for value, token in program.ids.items()}
    wrong = [
        (prompt, place)
        for prompt, row in zip(asked, said.tolist(), strict=True)
        for place, (token, answer) in enumerate(zip(row, program.answers(prompt), strict=True))
        if answer is not None and values[token] != answer
    ]
    assert not wrong


def test_a_program_of_ones_own() -> None:
    """Shift by one, in capitals."""
    tokens, places = Tokens(tuple("ab")), Indices(3)
    before = Aggregate(Select(places, places, lambda key, query: key == max(query - 1, 0)), tokens)
    program = Program(
        "shift", Map(before, str.upper), tokens.domain, 3, lambda rng: tuple(rng.choices("ab", k=3)), roles={}
    )  # fmt: skip
    planted = compiled(program, n=4)
    assert planted.truth("counterfactual").edges == {"embed->L0.H0.v", "L0.H0->L0.mlp", "L0.mlp->logits"}
    assert planted.truth("zero").edges - planted.truth("counterfactual").edges == {"embed->L0.H0.q", "embed->L0.H0.k"}
    ids = torch.tensor([program.encode("aba")])
    assert planted.model.native(ids).logits.argmax(-1)[0, 1:].tolist() == [program.ids[v] for v in "AAB"]


def test_parts_go_into_the_first_layer_where_all_that_they_read_is_there() -> None:
    program = PROGRAMS["reverse"]()
    wiring = Wiring(len(program.ids), program.length + 1, causal=False)
    Compiler(wiring, program.ids, bos=program.ids[BOS]).output(program.output)
    assert [part.name for part in wiring.parts()] == ["L0.H0", "L0.mlp", "L1.mlp", "L2.H0"]


def test_a_mean_without_levels_cannot_be_mapped() -> None:
    tokens, places = Tokens(tuple("ab")), Indices(3)
    mean = Aggregate(
        Select(places, places, lambda key, query: True), Map(tokens, lambda t: float(t == "a"), numeric=True)
    )
    program = Program("bad", Map(mean, round), tokens.domain, 3, lambda rng: ("a", "b", "a"), roles={})
    wiring = Wiring(8, 4)
    with pytest.raises(DataError, match="its levels are known"):
        Compiler(wiring, {"<bos>": 0, "a": 1, "b": 2}, bos=0).output(program.output)
