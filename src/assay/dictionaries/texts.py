"""The texts of a dictionary: what it is trained on, and held-out pieces on which it is measured.

Of a corpus that is on the machine, every eighth document is held out; data that the caller brings are used whole, so that
held-out ones are the caller's to bring. A piece is measured whole: equally long pieces, or prompts as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from assay.core.errors import DataError
from assay.data.corpus import corpus
from assay.data.pairs import Pairs
from assay.data.vocabulary import encode, tokenizer_of
from assay.dictionaries.recipe import Texts
from assay.engine.model import Model

HELD_OUT = 8
"""One document of so many."""
MARGIN = 1.5
"""More text is read than four characters for a token would need."""
LEAST = 100_000
"""Tokens' worth of text that is read at least, so that there are documents to hold out."""

Ids = list[int]


def training_documents(model: Model, data: Any, texts: Texts) -> Iterator[Ids]:
    """Token ids of documents, until there are as many tokens as are asked for."""
    left = texts.tokens
    for document in _documents(model, data, texts.corpus, tokens=texts.tokens, held_out=False):
        if left <= 0:
            return
        yield document[:left]
        left -= len(document)


def held_out_pieces(model: Model, data: Any, name: str, *, pieces: int, length: int) -> tuple[list[Ids], int]:
    """Pieces of `length` tokens, from as many documents as there are in turn, and how many documents they are from.

    Of data that the caller brings, texts that are shorter are pieces too.

    Raises:
        DataError: there is none.
    """
    documents = _documents(model, data, name, tokens=pieces * length * HELD_OUT, held_out=True)
    parts = [_cut(document, length, whole=name == "data") for document in documents]
    turns = max((len(each) for each in parts), default=0)
    chosen = [(i, each[turn]) for turn in range(turns) for i, each in enumerate(parts) if turn < len(each)][:pieces]
    if not chosen:
        raise DataError(f"There is no held-out text of {length} tokens in {name}: ask for shorter pieces.")
    return [piece for _, piece in chosen], len({i for i, _ in chosen})


def _documents(model: Model, data: Any, name: str, *, tokens: int, held_out: bool) -> Iterator[Ids]:
    if name == "data":
        yield from _given(model, data)
        return
    source = tokenizer_of(model)
    for number, text in enumerate(_read(name, max(LEAST, int(MARGIN * tokens)))):
        if (number % HELD_OUT == HELD_OUT - 1) == held_out:
            yield list(encode(source, [text])[0].ids)


@lru_cache(maxsize=4)
def _read(name: str, tokens: int) -> tuple[str, ...]:
    """Reading the docstrings of the standard library takes seconds."""
    return tuple(corpus(name, max_tokens=tokens))


def _given(model: Model, data: Any) -> Iterator[Ids]:
    if isinstance(data, Pairs):
        prompts = (side for each in data.aligned_tokens() for side in (each.clean, each.corrupt))
        yield from (list(prompt) for prompt in dict.fromkeys(prompts))
        return
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise DataError(f"expected contrast pairs, texts or lists of token ids, not {type(data).__name__}.")
    for document in data:
        yield list(encode(tokenizer_of(model), [document])[0].ids) if isinstance(document, str) else _ids(document)


def _ids(document: Any) -> Ids:
    if not isinstance(document, Sequence) or not all(isinstance(token, int) for token in document):
        raise DataError(f"expected a text or a list of token ids, not {type(document).__name__}.")
    return list(document)


def _cut(document: Ids, length: int, *, whole: bool) -> list[Ids]:
    found = [document[start : start + length] for start in range(0, len(document) - length + 1, length)]
    return [document] if whole and not found and len(document) > 1 else found
