"""Names from a file, their spellings, and what is not taken for a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import InputError
from assay.studies.anonymity.folding import fold
from assay.studies.anonymity.names import Person, parse_names, read_names
from assay.studies.anonymity.persons import find_names
from assay.studies.anonymity.piece import Role


def test_kinds_of_lines() -> None:
    names = parse_names([
        "# us", "Jane Q. Doe", "Doe, María de la Cruz", "Ludwig van Beethoven", "Dr. Ann Lee, Jr.",
        "Ann Smith <ann.s@uni.edu>",
        "@jdoe", "https://github.com/jd-lab", "jdoe_99", "University of Examples", "text: Blue Bird",
        "name: Project Smith", "",
    ])  # fmt: skip
    assert [(p.given, p.surname) for p in names.people] == [
        (("Jane", "Q"), "Doe"), (("Maria", "de", "la", "Cruz"), "Doe"), (("Ludwig",), "van Beethoven"), (("Ann",), "Lee"),
        (("Ann",), "Smith"), (("Project",), "Smith"),
    ]  # fmt: skip
    assert names.accounts == ("jdoe", "jd-lab", "jdoe_99", "ann.s")
    assert names.addresses == ("ann.s@uni.edu",) and names.texts == ("University of Examples", "Blue Bird")


SPELLINGS = [
    "Jane Doe-Smith", "jane doe-smith", "JANE DOE SMITH", "Doe-Smith, Jane", "Jane Q. Doe-Smith", "J. Doe-Smith",
    "J. Q. Doe-Smith",
    "J.Q. Doe-Smith", "Doe-Smith, J.", "Jane\nDoe-Smith", "Jane Doe-\nSmith", "jane_doe_smith", "janedoesmith",
    "jane.doe-smith",
    "J Doe-Smith", r"Jane \textbf{Doe-Smith}", "Jane~Doe-Smith", "jdoesmith", "jqdoesmith", "doesmithj",
    "JaneDoeSmith", "@jdoesmith2",
    "Jane Q Doe-Smith",
]  # fmt: skip


@pytest.mark.parametrize("text", SPELLINGS)
def test_spellings(text: str) -> None:
    assert find_names(fold(f"x by {text} of").text, parse_names(["Jane Q. Doe-Smith"]), Role.PROSE), text


@pytest.mark.parametrize(
    "text",
    [
        "Janet Doe-Smithson",
        "the jane of all",
        "doe",
        "Smith et al. (2020)",
        "a Doe in the forest",
        "Q. Smith",
        "J. Smith",
    ],
)
def test_others(text: str) -> None:
    assert not find_names(fold(text).text, parse_names(["Jane Q. Doe-Smith"]), Role.PROSE)


def test_accents_and_umlauts() -> None:
    names = parse_names(["Jörg Müller-Łoś"])
    for text in (
        "Joerg Mueller-Los",
        "Jorg Muller-Los",
        "JÖRG MÜLLER-ŁOŚ",
        r"J\"org M\"{u}ller-{\L}o\'s",
        "J&ouml;rg M&#252;ller-Łoś",
    ):
        assert find_names(fold(text).text, names, Role.PROSE), text


def test_names_in_other_scripts() -> None:
    names = parse_names(["text: 王小明", "Иван Петренко"])
    assert find_names(fold("作者:王小明").text, names, Role.PROSE) and find_names("Петренко, Иван", names, Role.PROSE)


def test_common_words_need_their_capitals() -> None:
    names = parse_names(["Will Long"])
    assert find_names("said Will Long.", names, Role.PROSE)
    assert not find_names("will long prompts, Will long prompts. Will. Long prompts", names, Role.PROSE)


def test_handles_that_are_words_are_not_looked_for() -> None:
    assert "alone" not in Person(("Al",), "One").handles and "jdoe" in Person(("Jane",), "Doe").handles


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_names(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("# nobody\n")
    with pytest.raises(InputError, match="holds no names: write each author"):
        read_names(tmp_path / "empty.txt")
    (tmp_path / "junk.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(InputError, match="is not text in UTF-8"):
        read_names(tmp_path / "junk.txt")
    with pytest.raises(InputError, match="is not a first name and a surname"):
        parse_names(["name: Madonna"])


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_folding_leads_back(text: str) -> None:
    folded = fold(text)
    assert folded.back(0, len(folded.text))[1] <= len(text)
    for i, letter in enumerate(folded.text):
        start, _ = folded.back(i, i + 1)
        assert 0 <= start <= len(text)
        if letter.isascii() and letter == text[start : start + 1]:
            continue
        assert start <= len(text)


@given(
    st.text(alphabet="abc XYZ.,\n", max_size=40),
    st.sampled_from([r"\'{e}", "é", "&eacute;", r"{\"o}", "e\u0301", "\u200b"]),
    st.text(alphabet="abc XYZ", max_size=40),
)
def test_plain_letters_keep_their_places(before: str, accent: str, after: str) -> None:
    """Letters on both sides of an accent, however it is written, lead back to exactly where they stand."""
    text = f"{before}q{accent}k{after}|"
    folded = fold(text)
    for mark in "qk|":
        start, end = folded.back(folded.text.index(mark), folded.text.index(mark) + 1)
        assert text[start:end].rstrip("\u200b") == mark
