"""The expression language: what it computes, and that nothing else can be written in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.circuits.abstraction.expression import Expression
from assay.core.errors import DataError

KNOWN = {"a": 3, "b": 4, "word": "cat", "table": {"cat": "meows", 3: "three", (1, 2): "pair"}, "yes": True}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a == b", False),
        ("a < b < 5", True),
        ("a < b > 5", False),
        ("(a + b) % 5", 2),
        ("a - -b * 2", 11),
        ("7 // 2 + 1 / 4", 3.25),
        ("'big' if a > b else 'small'", "small"),
        ("table[word]", "meows"),
        ("table[1, 2]", "pair"),
        ("table[a] + '!'", "three!"),
        ("word[0] + word[-1]", "ct"),
        ("word == 'cat' and not yes", False),
        ("a in (1, 2, 3) or b", True),
        ("max(a, b) - min(a, b) + abs(-1) + len(word)", 5),
        ("(a, b)", (3, 4)),
    ],
)
def test_values(text: str, value: object) -> None:
    found = Expression.parse(text).value(KNOWN)
    assert found == value and type(found) is type(value)


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 50))
def test_arithmetic_is_python_s(a: int, b: int, c: int) -> None:
    known = {"a": a, "b": b, "c": c}
    text = "(a * b - c) // c + a % c if a < b or a == c else b - a"
    assert Expression.parse(text).value(known) == ((a * b - c) // c + a % c if a < b or a == c else b - a)


def test_a_branch_that_is_not_taken_is_not_looked_at() -> None:
    assert Expression.parse("1 / a if a != 0 else 0").value({"a": 0}) == 0
    assert Expression.parse("a != 0 and 1 / a > 2").value({"a": 0}) is False


def test_names_are_variables_and_tables_but_not_functions() -> None:
    assert Expression.parse("max(a, table[b]) + a").names == ("a", "table", "b")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "a.__class__", "(lambda: a)()", "[x for x in a]", "open('file')", "f'{a}'",
        "a ** b", "a << b", "a @ b", "max(*a)", "max(a, key=b)", "a := 1", "word[0:2]", "{1: 2}", "[1, 2]", "{1}", "b'x'",
        "None", "...", "1j", "a; b", "yield a", "await a", "a if", "", "x = 1", "a is b", "~a", "getattr(a, 'b')",
    ],
)  # fmt: skip
def test_what_is_not_in_the_language_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(DataError) as error:
        Expression.parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a + word", "int and str can't be combined"),
        ("word * a", "str and int can't be combined"),
        ("'%9999999s' % a", "can't be combined"),
        ("table[b]", "there is no entry 4"),
        ("a / (b - 4)", "division by zero"),
        ("word[9]", "index out of range"),
        ("a[0]", "has no entries"),
        ("a < word", "not supported"),
        ("table", "a dict is not a value"),
        ("9007199254740992 * 9007199254740992", "larger than"),
    ],
)
def test_what_has_no_value_says_why_with_the_values(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Expression.parse(text).value(KNOWN)


@pytest.mark.parametrize("text", ["1" * 3000, "-" * 400 + "a", "1e999", "'" + "x" * 2500 + "'"])
def test_what_is_too_large_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        Expression.parse(text)


def test_a_growing_text_stops() -> None:
    known = {"w": "x" * 1500}
    with pytest.raises(DataError, match="at most 2000"):
        Expression.parse("w + w").value(known)
