"""Pairs: alignment, selection, what experiments get."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from assay.core.errors import DataError
from assay.data import Example, Pairs, Place, task


def example(clean: str, corrupt: str, **more: Any) -> Example:
    return Example(clean=clean, corrupt=corrupt, **{"answers": (" Paris",), "wrong": (" Rome",), **more})


def capital(country: str, other: str, **more: Any) -> Example:
    start = len("The capital of ")
    place = Place(clean=(start, start + len(country)), corrupt=(start, start + len(other)))
    texts = (f"The capital of {country} is", f"The capital of {other} is")
    return example(*texts, positions={"subject": place}, **more)


@pytest.fixture(scope="module")
def ioi(embedded: Any) -> Pairs:
    return task("ioi", n=40, tokenizer=embedded)


def test_positions_are_token_indices_of_both_prompts(embedded: Any) -> None:
    pairs = Pairs((capital("France", "Italy"),)).align(embedded)
    tokens = pairs.aligned_tokens()[0]
    start, stop = tokens.positions["subject"]
    assert embedded.decode(tokens.clean[start:stop]) == " France"
    assert embedded.decode(tokens.corrupt[start:stop]) == " Italy"
    assert pairs.position("end") == [len(tokens.clean) - 1]


def test_a_position_over_several_tokens_is_read_at_its_last(bytewise: Any) -> None:
    pairs = Pairs((capital("France", "Sweden", answers=(), wrong=()),)).align(bytewise)
    tokens = pairs.aligned_tokens()[0]
    assert tokens.clean[0] == bytewise.bos_token_id
    start, stop = tokens.positions["subject"]
    assert bytewise.decode(tokens.clean[start:stop]).strip() == "France"
    assert pairs.position("subject") == [stop - 1]


def test_prompts_that_part_are_shown_with_a_mark(embedded: Any) -> None:
    pairs = Pairs((capital("France", "Italy"), capital("France", "Liechtenstein")))
    with pytest.raises(DataError) as caught:
        pairs.align(embedded)
    message = str(caught.value)
    line, first, second, mark = message.splitlines()
    assert line.startswith(
        "Example 1 of 2 can't be used (1 such). Clean has 5 tokens and corrupt 8: they part at token 3"
    )
    assert line.endswith("or drop such examples with on_mismatch='drop'."), "the first line says it all"
    assert first.startswith("    clean: |The| capital| of| France| is|")
    assert second.startswith("  corrupt: |The| capital| of|")
    assert mark.endswith("^ token 3")
    assert mark.index("^") == first.index(" France"), "the mark stands under the first token that differs"


def test_answers_without_their_space_are_told(embedded: Any) -> None:
    """The model would have to write "isParis": mostly a slip, and allowed."""
    prompts = {"clean": "The capital of France is", "corrupt": "The capital of Italy is"}
    pairs = Pairs((Example(**prompts, answers=("Paris",), wrong=("Rome",)),))
    assert pairs.align(embedded).facts == (
        "1 of 1 answers go on within the prompt's last word ('isParis'): a word of its own begins with a space",
    )
    assert Pairs((capital("France", "Italy"),)).align(embedded).facts == ()


def test_dropping_is_counted_and_total_loss_refused(embedded: Any) -> None:
    good, bad = capital("France", "Italy"), capital("France", "Liechtenstein")
    pairs = Pairs((bad, good, bad)).align(embedded, on_mismatch="drop")
    assert pairs.examples == (good,)
    assert pairs.facts == ("2 of 3 examples dropped: they did not align",)
    with pytest.raises(DataError, match="None of the 1 examples can be used"):
        Pairs((bad,)).align(embedded, on_mismatch="drop")


def test_a_position_elsewhere_in_the_other_prompt_is_refused(embedded: Any) -> None:
    """Same number of tokens, but the subject is one token further on: patching would mix it with its neighbour."""
    clean, corrupt = "In France the capital is", "The France capital is now"
    places = {
        "subject": Place(clean=(3, 9), corrupt=(4, 10)),
        "capital": Place(clean=(14, 21), corrupt=(11, 18)),
    }
    with pytest.raises(DataError, match="Position 'capital' is at tokens 3 of clean but 2 of corrupt"):
        Pairs((example(clean, corrupt, positions=places),)).align(embedded)


def test_answers_of_several_tokens_only_when_asked_for(embedded: Any) -> None:
    pairs = Pairs((capital("France", "Italy", answers=(" Reykjavik",)),))
    with pytest.raises(DataError, match=r"' Reykjavik' is \d tokens .* one is expected"):
        pairs.align(embedded)
    ids = pairs.align(embedded, single_token=False).aligned_tokens()[0].answers[0]
    assert len(ids) > 1
    assert embedded.decode(ids) == " Reykjavik"


def test_answers_are_the_tokens_that_they_add_to_their_prompt(embedded: Any, wordwise: Any) -> None:
    """ "ed" after "walk" would become one token with it; alone it looks like a good answer."""
    pairs = Pairs((Example(clean="They walk", corrupt="They talk", answers=("ed",), wrong=("ing",)),))
    with pytest.raises(DataError, match="'ed' has no tokens of its own after 'They walk'"):
        pairs.align(embedded)
    with pytest.raises(DataError, match="'xyzzy' has no tokens of its own"):
        Pairs((example("The", "The", answers=("xyzzy",)),)).align(wordwise)


def test_token_ids_need_no_tokenizer() -> None:
    places = {"here": Place(clean=(1, 2), corrupt=(1, 2)), "last": -1}
    pairs = Pairs((Example(clean=(5, 6, 7), corrupt=(5, 8, 7), answers=(9,), wrong=(8,), positions=places),))
    aligned = pairs.align(None)
    assert aligned.clean_tokens.tolist() == [[5, 6, 7]]
    assert aligned.position("here") == [1]
    assert aligned.position("last") == aligned.position("end") == [2]
    with pytest.raises(DataError, match="Position 'far' is token 7, but the prompts have 3 tokens"):
        Pairs((Example(clean=(5, 6, 7), corrupt=(5, 8, 7), positions={"far": 7}),)).align(None)


@dataclass(frozen=True)
class WithTokenizer:
    tokenizer: Any


def test_a_model_stands_for_its_tokenizer(embedded: Any) -> None:
    pairs = Pairs((capital("France", "Italy"),))
    assert pairs.align(WithTokenizer(embedded)) == pairs.align(embedded)
    with pytest.raises(DataError, match="WithTokenizer has no tokenizer"):
        pairs.align(WithTokenizer(None))
    with pytest.raises(DataError, match="but got str"):
        pairs.align("gpt2")


def test_text_only_pairs_say_what_to_do() -> None:
    with pytest.raises(DataError, match=r"call \.align\(model\) first"):
        _ = Pairs((capital("France", "Italy"),)).clean_tokens


def test_aligning_again_for_another_tokenizer(ioi: Pairs, embedded: Any, wordwise: Any) -> None:
    assert ioi.align(embedded) is ioi
    again = ioi.align(wordwise)
    assert again.tokens != ioi.tokens
    assert again.align(embedded).tokens == ioi.tokens


def test_groups_of_one_length_stack_and_mixed_lengths_do_not(ioi: Pairs) -> None:
    groups = ioi.by_length()
    assert len(groups) > 1
    assert sum(len(group) for group in groups.values()) == len(ioi)
    for length, group in groups.items():
        assert group.clean_tokens.shape == group.corrupt_tokens.shape == (len(group), length)
    with pytest.raises(DataError, match=r"Take one group of \.by_length\(\)"):
        _ = ioi.clean_tokens


def test_selection_keeps_examples_and_tokens_together(ioi: Pairs, embedded: Any) -> None:
    for chosen in (
        ioi[3:9],
        ioi.shuffled(1),
        ioi.sample(5, 2),
        ioi.bootstrap(3),
        ioi.filter(template=ioi.templates[2]),
    ):
        for one, tokens in zip(chosen, chosen.aligned_tokens(), strict=True):
            assert embedded.decode(tokens.clean) == one.clean
    assert ioi[3] is ioi.examples[3]
    assert (
        set(ioi.shuffled(1)) == set(ioi)
        if _hashable(ioi)
        else sorted(map(str, ioi.shuffled(1))) == sorted(map(str, ioi))
    )


def _hashable(pairs: Pairs) -> bool:
    return False


def test_samples_are_seeded(ioi: Pairs) -> None:
    assert ioi.sample(7, 5).hash == ioi.sample(7, 5).hash != ioi.sample(7, 6).hash
    assert len(ioi.bootstrap(0)) == len(ioi)
    assert len({e.clean for e in ioi.bootstrap(0)}) < len(ioi), "with replacement some come twice"
    with pytest.raises(DataError, match="Asked for 41 examples out of 40"):
        ioi.sample(41, 0)


def test_filters(ioi: Pairs) -> None:
    name = ioi.templates[0]
    assert {e.template for e in ioi.filter(template=[name, ioi.templates[1]])} == {name, ioi.templates[1]}
    assert len(ioi.filter(split="test")) == 0
    assert all("store" in str(e.clean) for e in ioi.filter(lambda e: "store" in str(e.clean)))
    with pytest.raises(DataError, match=f"No example has template 'train-0-ABAB'. Nearest: {name}"):
        ioi.filter(template="train-0-ABAB")


def test_swapped_exchanges_everything(ioi: Pairs, embedded: Any) -> None:
    swapped = ioi.swapped()
    assert [e.clean for e in swapped] == [e.corrupt for e in ioi]
    assert torch.equal(swapped.answer_ids, ioi.wrong_ids)
    assert swapped.tokens == Pairs(swapped.examples).align(embedded).tokens
    assert swapped.swapped() == ioi


def test_inputs_of_an_experiment(ioi: Pairs) -> None:
    group = next(iter(ioi.by_length().values()))
    inputs = group.as_inputs()
    assert inputs["clean"].tokens == tuple(t.clean for t in group.aligned_tokens())  # type: ignore[attr-defined]
    assert inputs["corrupt"].tokens == tuple(t.corrupt for t in group.aligned_tokens())  # type: ignore[attr-defined]
    assert list(inputs["clean"].positions["S2"]) == group.position("S2")
    assert inputs["clean"].answers == inputs["corrupt"].answers, "a metric is the same quantity on both"
    assert [ids[0] for ids in inputs["clean"].answers] == group.answer_ids.tolist()  # type: ignore[union-attr,index]
    assert not any(answer in wrong for answer, wrong in zip(group.answer_ids.tolist(), group.all_wrong, strict=True))


def test_only_positions_that_all_examples_have_are_shared(embedded: Any) -> None:
    one = capital("France", "Italy")
    pairs = Pairs((one, one.model_copy(update={"positions": {}}))).align(embedded)
    assert pairs.position_names() == ("end",)
    with pytest.raises(DataError, match=r"No position 'subjct'\. Nearest: subject\. Known: subject, end"):
        pairs[:1].position("subjct")


def test_hash_follows_content_order_and_tokenizer(ioi: Pairs, embedded: Any, wordwise: Any) -> None:
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", ioi.hash)
    assert task("ioi", n=40, tokenizer=embedded).hash == ioi.hash
    others = [ioi[:39].hash, ioi.shuffled(0).hash, ioi.align(wordwise).hash, task("ioi", n=40, seed=1).hash]
    assert len({ioi.hash, *others}) == 5


def test_describe_has_a_row_for_each_template(ioi: Pairs) -> None:
    table = ioi.describe()
    assert list(table.index) == list(ioi.templates)
    assert table["n"].sum() == 40
    assert table.loc["train-0-ABBA", "clean"].startswith("When ")
