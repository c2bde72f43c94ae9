"""Text that is on the machine already."""

from __future__ import annotations

from typing import Any

import pytest

from assay.core.errors import DataError
from assay.data import corpus


def test_texts_come_in_the_same_order_without_repeats() -> None:
    texts = corpus("stdlib", max_tokens=20_000)
    assert texts == corpus("stdlib", max_tokens=20_000)
    assert len(set(texts)) == len(texts)
    assert sum(map(len, texts)) == 80_000
    assert all(len(text) >= 200 for text in texts[:-1])


def test_token_ids_and_chunks(embedded: Any) -> None:
    rows = corpus("topics", max_tokens=3000, tokenizer=embedded)
    assert sum(map(len, rows)) == 3000
    assert embedded.decode(rows[0]) == corpus("topics", max_tokens=3000)[0][: len(embedded.decode(rows[0]))]
    chunks = corpus("topics", max_tokens=3000, tokenizer=embedded, chunk=64)
    assert {len(chunk) for chunk in chunks[:-1]} == {64}


def test_licences_are_there() -> None:
    assert any("Apache" in text for text in corpus("licences", max_tokens=400_000))


def test_mistakes(embedded: Any) -> None:
    with pytest.raises(DataError, match=r"No corpus 'stdlb'\. Nearest: stdlib"):
        corpus("stdlb")
    with pytest.raises(DataError, match="chunk= cuts token ids: pass tokenizer="):
        corpus("topics", chunk=5)
    with pytest.raises(DataError, match="chunk=0: expected a positive number"):
        corpus("topics", tokenizer=embedded, chunk=0)
