"""Every task family: splits that share nothing, the same examples every time, prompts that align, answers that flip."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Any

import pytest
from tests.data.small_tokenizers import two_digits

from assay.core.errors import DataError
from assay.data import Example, Family, Pairs, Template, register, task, tasks
from assay.data.family import family
from assay.data.lexicon import SPLITS, Lexicon

N = 40
NAMES = tasks()
WORDY = [name for name in NAMES if name != "induction"]
every_family = pytest.mark.parametrize("name", NAMES)
CHANGED_ONLY = {"greater-than"}  # its counterfactual makes other answers right, not the contrast


@cache
def whole(name: str, split: str, tokenizer: Any) -> Pairs:
    """All pairs of a split, made once for every test that only reads them."""
    return task(name, split=split, tokenizer=tokenizer)


def capped(name: str, split: str, tokenizer: Any) -> Pairs:
    return whole(name, split, tokenizer)[:N]


def test_there_is_a_family_for_each_kind_of_task() -> None:
    asked = (
        "ioi greater-than induction copying country-capital gender-pronoun agreement addition docstring colour-recall"
    )
    assert {*asked.split(), "agreement-attractor", "truth-cities", "truth-larger", "truth-animals", "sentiment"} <= set(
        NAMES
    )


@every_family
def test_splits_share_no_template_and_no_name(name: str, embedded: Any) -> None:
    made = {split: whole(name, split, embedded) for split in SPLITS}
    for one, other in combinations(made.values(), 2):
        assert not set(one.templates) & set(other.templates)
        names = [{n.lower() for example in pairs for n in example.names} for pairs in (one, other)]
        assert not names[0] & names[1]


@every_family
def test_names_are_those_in_the_prompts(name: str, embedded: Any) -> None:
    """Disjoint names mean nothing if an entity of the prompt is not among them: every filled slot must be, or be closed."""
    closed = {"op", "no", "XX1", "XX2", "tens", "units", "a", "b", "end"}
    pairs = capped(name, "train", embedded)
    if name == "induction":
        return
    for example, tokens in zip(pairs, pairs.aligned_tokens(), strict=True):
        for slot, (start, stop) in tokens.positions.items():
            text = embedded.decode(tokens.clean[start:stop]).strip().lower()
            assert slot in closed or text in {n.lower() for n in example.names}, (slot, text, example.names)


def test_random_tokens_are_disjoint_too(embedded: Any) -> None:
    used = {split: {i for e in whole("induction", split, embedded) for i in e.clean} for split in SPLITS}
    assert all(not one & other for one, other in combinations(used.values(), 2))


@every_family
def test_wordings_of_different_splits_are_different(name: str) -> None:
    texts = [template.text for split in SPLITS for template in family(name).templates[split]]
    assert len(set(texts)) == len(texts)
    assert all(family(name).templates[split] for split in SPLITS)


@every_family
def test_the_same_arguments_give_the_same_examples(name: str, embedded: Any) -> None:
    again = task(name, split="test", tokenizer=embedded)
    assert again == whole(name, "test", embedded)
    assert again[:N].hash != task(name, split="test", tokenizer=embedded, seed=4)[:N].hash


@every_family
def test_examples_are_different_and_aligned(name: str, embedded: Any) -> None:
    for split in SPLITS:
        pairs = capped(name, split, embedded)
        assert len({example.clean for example in pairs}) == len(pairs)
        for example, tokens in zip(pairs, pairs.aligned_tokens(), strict=True):
            assert len(tokens.clean) == len(tokens.corrupt)
            assert tokens.clean != tokens.corrupt
            assert example.split == split
            assert tokens.positions["end"] == (len(tokens.clean) - 1, len(tokens.clean))


@every_family
def test_answers_are_single_tokens_and_flip(name: str, embedded: Any) -> None:
    pairs = capped(name, "test", embedded)
    if family(name).use == "probing":
        assert all(example.label != example.corrupt_label for example in pairs)
        assert {example.label for example in pairs} == {example.corrupt_label for example in pairs}
        return
    for tokens in pairs.aligned_tokens():
        right, wrong = {*tokens.answers}, {*tokens.wrong}
        assert all(len(ids) == 1 for ids in right | wrong)
        assert right and wrong and not right & wrong
        assert {*tokens.corrupt_answers} != right
        if name not in CHANGED_ONLY:
            assert tokens.corrupt_answers[0] == tokens.wrong[0], "the contrast is what the counterfactual wants"
            assert tokens.corrupt_wrong[0] == tokens.answers[0]


CHANGES: dict[tuple[str, str], set[str]] = {
    ("addition", "default"): {"a"},
    ("agreement", "default"): {"subject"},
    ("agreement-attractor", "default"): {"subject"},
    ("colour-recall", "default"): {"query"},
    ("copying", "default"): {"target"},
    ("docstring", "default"): {"target"},
    ("gender-pronoun", "default"): {"name"},
    ("greater-than", "default"): {"tens", "units"},
    ("induction", "target"): {"target"},
    ("ioi", "swap"): {"S2"},
    ("ioi", "abc"): {"IO", "S1", "S2"},
    ("sentiment", "default"): {"adjective", "verb"},
    ("sentiment-statements", "default"): {"adjective", "verb"},
    ("subtraction", "default"): {"a"},
    **{(f"truth-{about}", "truth"): {"object"} for about in ("animals", "cities", "larger")},
    **{(f"truth-{about}", "negation"): {"no"} for about in ("animals", "cities", "larger")},
}


@pytest.mark.parametrize(("name", "variant"), [(n, v) for n in NAMES for v in family(n).variants])
def test_a_counterfactual_differs_at_its_own_positions_only(name: str, variant: str, embedded: Any) -> None:
    """Patching anything else would show the effect of a change that nobody meant."""
    if (name, variant) == ("induction", "half"):
        return
    places = CHANGES.get((name, variant), {"subject"})
    for tokens in task(name, n=24, split="validation", tokenizer=embedded, variant=variant).aligned_tokens():
        meant = {i for place in places for i in range(*tokens.positions[place])}
        differ = {i for i, (a, b) in enumerate(zip(tokens.clean, tokens.corrupt, strict=True)) if a != b}
        assert differ <= meant
        assert all(differ & {*range(*tokens.positions[place])} for place in places - {"units"}), "each of them changes"


@pytest.mark.parametrize("name", WORDY)
def test_answers_are_what_the_tokenizer_adds_to_the_whole_prompt(name: str, embedded: Any) -> None:
    """The answers' ids are found from the prompt's last words: against the whole prompt they must be the same."""
    pairs = capped(name, "test", embedded)[:8]
    for example, tokens in zip(pairs, pairs.aligned_tokens(), strict=True):
        sides = [(example.clean, tokens.clean, example.answers, tokens.answers)]
        sides += [(example.clean, tokens.clean, example.wrong, tokens.wrong)]
        sides += [(example.corrupt, tokens.corrupt, example.corrupt_answers, tokens.corrupt_answers)]
        for prompt, ids, answers, answer_ids in sides:
            for answer, found in zip(answers[:6], answer_ids, strict=False):
                assert tuple(embedded(f"{prompt}{answer}")["input_ids"]) == ids + found
                assert embedded.decode(found) == answer
                assert str(answer)[0] == " " or str(answer).isdigit(), "a word without its space is another token"


@every_family
def test_answers_of_both_kinds_are_equally_frequent(name: str, embedded: Any) -> None:
    """A task with few answers that is right by always saying the same one measures nothing."""
    pairs = whole(name, "train", embedded)
    said = [example.answers[0] if example.answers else example.label for example in pairs]
    kinds = set(said)
    if len(kinds) == 2:
        share = said.count(next(iter(kinds))) / len(said)
        assert 0.35 < share < 0.65, f"{share:.2f} of {len(said)}: four standard errors of a fair coin are 0.14"


@every_family
def test_no_prompt_of_a_split_is_in_another(name: str, embedded: Any) -> None:
    made = [whole(name, split, embedded) for split in SPLITS]
    prompts = [{example.prompt(side) for example in pairs for side in ("clean", "corrupt")} for pairs in made]
    assert not any(one & other for one, other in combinations(prompts, 2))


@every_family
def test_templates_take_turns(name: str, embedded: Any) -> None:
    pairs = whole(name, "train", embedded)
    wordings = {template.id for template in family(name).templates["train"]}
    assert set(pairs.templates) == wordings
    chosen = sorted(wordings)[:1]
    assert set(task(name, n=5, tokenizer=embedded, templates=chosen).templates) == set(chosen)


@pytest.mark.parametrize("name", WORDY)
def test_every_family_on_a_tokenizer_of_whole_words(name: str, wordwise: Any) -> None:
    pairs = capped(name, "test", wordwise)
    assert all(wordwise.unk_token_id not in tokens.clean for tokens in pairs.aligned_tokens())
    assert all(len(t.clean) == len(t.corrupt) for t in pairs.aligned_tokens())


@every_family
def test_on_a_tokenizer_of_bytes_a_family_works_or_says_why_not(name: str, bytewise: Any) -> None:
    if name not in {"induction", "addition", "subtraction"}:
        with pytest.raises(DataError, match="for this tokenizer"):
            capped(name, "test", bytewise)
        return
    pairs = capped(name, "test", bytewise)
    assert all(t.clean[0] == bytewise.bos_token_id for t in pairs.aligned_tokens())


@pytest.mark.parametrize("variant", ["swap", "abc"])
def test_ioi(variant: str, embedded: Any) -> None:
    pairs = task("ioi", n=60, tokenizer=embedded, variant=variant)
    for example, tokens in zip(pairs, pairs.aligned_tokens(), strict=True):
        at = {slot: embedded.decode(tokens.clean[a:b]) for slot, (a, b) in tokens.positions.items()}
        assert at["S1"] == at["S2"] != at["IO"]
        assert example.answers == (at["IO"],)
        assert example.wrong == (at["S1"],)
        order = [tokens.positions[slot][0] for slot in ("IO", "S1", "S2")]
        assert (order[0] < order[1]) == example.template.endswith("ABBA")
        other = {slot: embedded.decode(tokens.corrupt[a:b]) for slot, (a, b) in tokens.positions.items()}
        if variant == "swap":
            assert sum(a != b for a, b in zip(tokens.clean, tokens.corrupt, strict=True)) == 1
            assert other["S2"] == at["IO"]
        else:
            assert len({other["IO"], other["S1"], other["S2"], at["IO"], at["S1"]}) == 5
            assert not example.corrupt_answers


def test_ioi_has_enough_wordings_in_both_orders() -> None:
    ids = [template.id for split in SPLITS for template in family("ioi").templates[split]]
    assert len(ids) >= 12
    assert sum(i.endswith("ABBA") for i in ids) == sum(i.endswith("BABA") for i in ids)


@pytest.mark.parametrize("split", SPLITS)
def test_greater_than_follows_the_tokenizer(split: str, embedded: Any) -> None:
    pairs = task("greater-than", n=30, split=split, tokenizer=embedded)
    for example, tokens in zip(pairs, pairs.aligned_tokens(), strict=True):
        start, stop = tokens.positions["tens"]
        tens = int(embedded.decode(tokens.clean[start:stop]))
        assert {int(str(a)) for a in example.answers} == set(range(tens + 1, 10))
        assert {int(str(a)) for a in example.wrong} == set(range(tens))
        assert embedded.decode(tokens.corrupt[start:stop]) == "0"


def test_greater_than_with_two_digit_tokens() -> None:
    """As in GPT-2: most years are two tokens of two digits, some (1776, 1789) are one; those can't be answers."""
    tokenizer = two_digits(whole=("1776", "1789", "1815", "1848"))
    pairs = task("greater-than", n=60, tokenizer=tokenizer)
    for example, tokens in zip(pairs, pairs.aligned_tokens(), strict=True):
        start, stop = tokens.positions["tens"]
        year = int(tokenizer.decode(tokens.clean[start:stop]))
        right, wrong = ([int(str(a)) for a in each] for each in (example.answers, example.wrong))
        assert right == sorted(right) and wrong == sorted(wrong, reverse=True)
        assert min(right) > year >= max(wrong)
        left_out = set(range(100)) - {*right, *wrong}
        assert left_out <= {76, 89, 15, 48}
        assert {int(str(a)) for a in example.corrupt_wrong} == {0, 1}


@pytest.mark.parametrize("source", ["embedded", 500])
@pytest.mark.parametrize("variant", ["target", "half"])
def test_induction(source: Any, variant: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(source) if isinstance(source, str) else source
    pairs = task("induction", n=30, tokenizer=tokenizer, variant=variant)
    for example, tokens in zip(pairs, pairs.aligned_tokens(), strict=True):
        target, previous = tokens.positions["target"][0], tokens.positions["previous"][0]
        assert tokens.clean[previous] == tokens.clean[-1], "the last token was seen before"
        assert tokens.answers == ((tokens.clean[target],),)
        assert tokens.clean.count(tokens.clean[target]) == 1
        if variant == "target":
            assert [i for i, (a, b) in enumerate(zip(tokens.clean, tokens.corrupt, strict=True)) if a != b] == [target]
        else:
            assert tokens.clean[-1] not in tokens.corrupt[:-1], "nothing to copy from"
            assert not example.corrupt_answers


def test_arithmetic_is_right(embedded: Any) -> None:
    for name, op in (("addition", "+"), ("subtraction", "-")):
        for example in task(name, n=50, tokenizer=embedded):
            for prompt, answers in ((example.clean, example.answers), (example.corrupt, example.corrupt_answers)):
                asked = str(prompt).split("=")[-2][-3:]
                a, b = (int(part) for part in asked.split(op))
                assert int(str(answers[0])) == (a + b if op == "+" else a - b)


def test_agreement_attractors_disagree_with_the_subject(embedded: Any) -> None:
    pairs = task("agreement-attractor", n=60, tokenizer=embedded)
    seen = set()
    for example, tokens in zip(pairs, pairs.aligned_tokens(), strict=True):
        at = {slot: embedded.decode(tokens.clean[a:b]) for slot, (a, b) in tokens.positions.items()}
        plural = at["subject"].endswith("s")
        assert at["attractor"].endswith("s") != plural
        assert example.answers[0] == (" are" if plural else " is")
        seen.add(plural)
    assert seen == {True, False}


def test_statements_are_labelled_truly(embedded: Any) -> None:
    where = {city: country for country, cities in _cities() for city in cities.split(", ")}
    for variant in ("truth", "negation"):
        labels = []
        for example in task("truth-cities", n=80, tokenizer=embedded, variant=variant):
            for prompt, label in ((example.clean, example.label), (example.corrupt, example.corrupt_label)):
                city = next(name for name in example.names if name in where and name in str(prompt))
                fact = where[city] in str(prompt)
                assert label == (fact != (" not " in str(prompt)))
                labels.append(label)
            if variant == "negation":
                assert (" not " in str(example.clean)) != (" not " in str(example.corrupt))
        assert labels.count(True) == labels.count(False)


def _cities() -> Lexicon[tuple[str, ...]]:
    from assay.data.wordlists.facts import CITIES

    return CITIES.entries  # type: ignore[return-value]


def test_asking_for_too_much_says_how_much_there_is(embedded: Any) -> None:
    with pytest.raises(DataError, match=r"country-capital has only \d+ different examples in split 'test'"):
        task("country-capital", n=5000, split="test", tokenizer=embedded)
    pairs = task("country-capital", split="test", tokenizer=embedded)
    assert f"all {len(pairs)} examples that the split gives" in pairs.facts


def test_without_a_tokenizer_there_is_text_to_align_later(embedded: Any) -> None:
    pairs = task("ioi", n=10)
    assert pairs.tokens is None
    assert len(pairs.align(embedded, on_mismatch="drop")) >= 5
    with pytest.raises(DataError, match="induction is made of token ids"):
        task("induction")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "iio"}, r"No task family 'iio'\. Nearest: ioi"),
        ({"name": "ioi", "split": "dev"}, "No split 'dev'.* Splits: train, validation, test"),
        (
            {"name": "ioi", "templates": ["test-0-ABBA"]},
            "no template 'test-0-ABBA' in split 'train'. Nearest: train-0-ABBA",
        ),
        ({"name": "ioi", "variant": "abd"}, "no variant 'abd'. Variants: swap, abc"),
        ({"name": "ioi", "tokenizer": "gpt2"}, "A tokenizer is needed .* but got str"),
    ],
)
def test_mistakes(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        task(arguments.pop("name"), **arguments)


def test_a_new_family_is_one_declaration() -> None:
    def make(template: Template, draw: Any) -> Example:
        number = draw.rng.randrange(50)
        return Example(clean=template.text + str(number), corrupt=template.text + str(number + 50), answers=("a",))

    wordings = {split: (Template(split, f"{split} "),) for split in SPLITS}
    made = Family("counting", "numbers", wordings, make)
    try:
        register(made)
        assert len(task("counting", n=50)) == 50
        with pytest.raises(DataError, match="only 50 different examples"):
            task("counting", n=51)
        with pytest.raises(DataError, match="Two task families are named 'counting'"):
            register(made)
    finally:
        from assay.data.family import _FAMILIES

        del _FAMILIES["counting"]
