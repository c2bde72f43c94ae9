"""Canonical JSON: one text for one content, and nothing written that would read back as something else."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.codec import canonical, digest, digest_bytes, parse, pretty
from assay.core.errors import StorageError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_canonical_and_pretty_text_read_back_to_the_same_content(value: object) -> None:
    assert parse(canonical(value)) == value
    assert parse(pretty(value).encode("utf-8")) == value


@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=5))
def test_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    backwards = dict(reversed(value.items()))
    assert list(backwards) != list(value)
    assert canonical(backwards) == canonical(value)
    assert digest(backwards) == digest(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_every_bit(value: float) -> None:
    read = parse(canonical(value))
    assert read == value and math.copysign(1, read) == math.copysign(1, value)


def test_known_text_and_hash() -> None:
    assert canonical({"b": [1, 1.0], "a": "é"}) == r'{"a":"\u00e9","b":[1,1.0]}'
    assert digest({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert digest_bytes(b"{", b"}") == digest({})


def test_order_of_a_list_matters() -> None:
    assert digest([1, 2]) != digest([2, 1])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [0.0, float("nan")]}, "nan at a[1] has no JSON form: expected a finite number."),
        ({"a": {"b": float("inf")}}, "inf at a.b has no JSON form: expected a finite number."),
        ({"a": {1: 2}}, "the key 1 at a is not a string, as JSON keys are."),
        (
            {1, 2},
            "set at the top has no JSON form: expected dicts, lists, strings, numbers, booleans or None. "
            "Tensors go in as an Attachment.",
        ),
    ],
)
def test_what_has_no_json_form_is_refused_with_its_place(value: object, message: str) -> None:
    with pytest.raises(StorageError) as caught:
        canonical(value)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1, "a": 2}', "{", "-Infinity", '{"a": 1} x', "[" * 100_000])
def test_text_that_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(StorageError, match=r"^exp\.json is not valid JSON: .* Check the file, or write it again\.$"):
        parse(text, what="exp.json")


def test_bytes_that_are_not_text_are_refused() -> None:
    with pytest.raises(StorageError, match="is not valid JSON"):
        parse(b"\xff\xfe{")


def test_pretty_keeps_letters_and_escapes_only_what_utf8_cannot_hold() -> None:
    assert '"é"' in pretty(["é"])
    assert json.loads(pretty(["\ud800"]).encode("utf-8")) == ["\ud800"]
