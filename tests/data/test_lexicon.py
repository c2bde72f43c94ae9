"""Word lists: every word is in one split, tables say one thing of each subject, sentences built from them are English."""

from __future__ import annotations

import re
from collections import Counter
from types import ModuleType
from typing import Any

import pytest

from assay.core.errors import DataError
from assay.data.families import arithmetic, docstring, greater_than, sentiment, truth
from assay.data.family import families
from assay.data.lexicon import SPLITS, Lexicon, known_split, table, words
from assay.data.wordlists import facts, people, things

MODULES: tuple[ModuleType, ...] = (people, things, facts, docstring, greater_than, sentiment, truth, arithmetic)
LEXICONS: dict[str, Lexicon[Any]] = {
    each.name: each for module in MODULES for each in vars(module).values() if isinstance(each, Lexicon)
}
every_lexicon = pytest.mark.parametrize("name", LEXICONS)


def cells(entry: object) -> list[str]:
    parts = entry if isinstance(entry, tuple) else (entry,)
    return [word.strip().lower() for part in parts for word in str(part).split(",")]


def test_a_word_list_keeps_order_and_spaces() -> None:
    assert words("places", "New_York Rome").entries == ("New York", "Rome")
    assert table("rows", "a | b, c\n\n d | e ").entries == (("a", "b, c"), ("d", "e"))
    with pytest.raises(DataError, match=r"No split 'tst'\. Nearest: test"):
        known_split("tst")


def test_half_is_for_training_and_a_quarter_each_for_the_others() -> None:
    lexicon = Lexicon("numbers", tuple(range(40)))
    parts = {split: lexicon.part(split) for split in SPLITS}
    assert [len(parts[split]) for split in SPLITS] == [20, 10, 10]
    assert sorted(n for part in parts.values() for n in part) == list(range(40))
    longer = Lexicon("numbers", tuple(range(41)))
    assert all(longer.part(split)[: len(parts[split])] == parts[split] for split in SPLITS), "appending moves nothing"


@every_lexicon
def test_no_word_is_in_two_splits(name: str) -> None:
    if name == "sums":
        return  # pairs of digits: it is the pair that is in one split
    where = [{cell for entry in LEXICONS[name].part(split) for cell in cells(entry)} for split in SPLITS]
    assert not (where[0] & where[1] or where[0] & where[2] or where[1] & where[2])


@every_lexicon
def test_nothing_comes_twice(name: str) -> None:
    keys = [cells(entry)[0] for entry in LEXICONS[name].entries] if name != "sums" else LEXICONS[name].entries
    assert [key for key, count in Counter(keys).items() if count > 1] == []


def test_lexicons_have_names_of_their_own() -> None:
    """What a tokenizer allows is remembered by name."""
    found = [each for module in MODULES for each in vars(module).values() if isinstance(each, Lexicon)]
    assert len({id(each) for each in found}) == len(LEXICONS)


def test_a_name_is_a_woman_s_or_a_man_s() -> None:
    assert not set(people.WOMEN.entries) & set(people.MEN.entries)
    either = {"Alex", "Chris", "Kim", "Sam", "Pat", "Jamie", "Robin", "Taylor", "Jordan", "Morgan", "Casey"}
    assert not either & {*people.WOMEN.entries, *people.MEN.entries}


@pytest.mark.parametrize("lexicon", [facts.CITIES, facts.LANDMARKS], ids=lambda each: each.name)
def test_a_place_is_in_one_row_and_does_not_name_its_answer(lexicon: Lexicon[tuple[str, ...]]) -> None:
    places = [(place, row[0]) for row in lexicon.entries for place in row[1].split(", ")]
    assert len({place for place, _ in places}) == len(places)
    assert [place for place, answer in places if answer in place] == []


def test_articles_fit() -> None:
    """ "a orange cup": a slot that follows "a" must not be filled with a word that begins with a vowel."""
    lists = {
        "object": things.OBJECTS, "object1": things.OBJECTS, "object2": things.OBJECTS,
        "colour1": things.COLOURS, "colour2": things.COLOURS, "praise": people.PRAISE,
    }  # fmt: skip
    after_a = {
        (family.name, slot)
        for family in families().values()
        for split in SPLITS
        for template in family.templates[split]
        for slot in re.findall(r"\ba \{(\w+)\}", template.text, flags=re.IGNORECASE)
    }
    assert {slot for _, slot in after_a} <= set(lists), "a new slot after an article: list its words here"
    wrong = {word for _, slot in after_a for word in lists[slot].entries if word[0] in "aeiou"}
    assert not wrong


def test_public_names_are_not_hidden_by_folders_of_the_same_name() -> None:
    """Importing a submodule sets its name on the package: a folder `words` would replace the function `words`."""
    import assay.data

    families()
    hidden = [name for name in assay.data.__all__ if isinstance(getattr(assay.data, name), ModuleType)]
    assert not hidden
