"""What data needs of a tokenizer: token ids with character offsets, the tokens of a continuation, a stable fingerprint.

A tokenizer is anything that behaves like a Hugging Face one; a Model is accepted wherever a tokenizer is, and stands
for its tokenizer. Cost: a few milliseconds per thousand short texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable
from weakref import WeakKeyDictionary

from assay.core.codec import digest
from assay.core.errors import DataError
from assay.data.example import Span


@runtime_checkable
class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is used here."""

    def __call__(self, text: Any, **settings: Any) -> Any:
        """Token ids of one text or of several, under `input_ids`."""
        ...

    def get_vocab(self) -> dict[str, int]:
        """Every token with its id."""
        ...

    def decode(self, token_ids: Any, **settings: Any) -> str:
        """The text of token ids."""
        ...


@dataclass(frozen=True)
class Encoded:
    """Token ids of one text and the characters that each one covers (empty span: a special token)."""

    ids: tuple[int, ...]
    offsets: tuple[Span, ...]


def tokenizer_of(source: object) -> Tokenizer:
    """The tokenizer itself, or that of a model (or processor) that has one."""
    if isinstance(source, Tokenizer):
        return source
    inner = getattr(source, "tokenizer", None)
    if isinstance(inner, Tokenizer):
        return inner
    what = (
        f"{type(source).__name__} has no tokenizer" if hasattr(source, "tokenizer") else f"got {type(source).__name__}"
    )
    raise DataError(
        f"A tokenizer is needed to turn text into tokens, but {what}. Pass a tokenizer or a model with one."
    )


def encode(tokenizer: Tokenizer, texts: Sequence[str], *, special: bool = True) -> list[Encoded]:
    """Token ids and character offsets of each text, without padding."""
    if not texts:
        return []
    if not getattr(tokenizer, "is_fast", False):
        return [_encode_slowly(tokenizer, text, special) for text in texts]
    batch = tokenizer(list(texts), add_special_tokens=special, return_offsets_mapping=True)
    rows = zip(batch["input_ids"], batch["offset_mapping"], strict=True)
    return [Encoded(tuple(ids), tuple((int(a), int(b)) for a, b in spans)) for ids, spans in rows]


def _encode_slowly(tokenizer: Tokenizer, text: str, special: bool) -> Encoded:
    """For tokenizers without offsets: a token ends where the text that gives it as last token ends."""
    ids = tuple(tokenizer(text, add_special_tokens=special)["input_ids"])
    bare = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
    lead = next((i for i in range(len(ids) - len(bare) + 1) if ids[i : i + len(bare)] == bare), 0)
    ends = [_end_of(tokenizer, text, bare, k) for k in range(1, len(bare) + 1)]
    spans = [(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    pad: list[Span] = [(0, 0)]
    return Encoded(ids, tuple(pad * lead + spans + pad * (len(ids) - lead - len(bare))))


def _end_of(tokenizer: Tokenizer, text: str, ids: tuple[int, ...], count: int) -> int:
    for end in range(1, len(text) + 1):
        if tuple(tokenizer(text[:end], add_special_tokens=False)["input_ids"]) == ids[:count]:
            return end
    return len(text)


def continuations(
    tokenizer: Tokenizer, asked: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], tuple[int, ...] | None]:
    """The tokens that each (text, continuation) adds to the text.

    None where the two merge into other tokens, or where the vocabulary has no token for it.
    """
    pairs = list(dict.fromkeys(asked))
    unknown = getattr(tokenizer, "unk_token_id", None)
    stems = list(dict.fromkeys(stem for stem, _ in pairs))
    stem_ids = dict(zip(stems, (e.ids for e in encode(tokenizer, stems, special=False)), strict=True))
    whole = encode(tokenizer, [stem + more for stem, more in pairs], special=False)
    return {pair: _rest(stem_ids[pair[0]], e.ids, unknown) for pair, e in zip(pairs, whole, strict=True)}


def _rest(stem: tuple[int, ...], whole: tuple[int, ...], unknown: int | None) -> tuple[int, ...] | None:
    rest = whole[len(stem) :]
    return rest if rest and whole[: len(stem)] == stem and unknown not in rest else None


def single_tokens(tokenizer: Tokenizer, words: Sequence[str], *, stem: str = "a") -> list[str]:
    """The words that are one known token when they follow other text after a space."""
    found = continuations(tokenizer, [(stem, f" {word}") for word in words])
    return [word for word in words if len(found[stem, f" {word}"] or ()) == 1]


def special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids that stand for no text."""
    return frozenset(cast(Iterable[int], getattr(tokenizer, "all_special_ids", ())))


def fingerprint(tokenizer: Tokenizer) -> str:
    """The same for two tokenizers with the same vocabulary that split a probe text alike.

    Cost: a sort of the vocabulary, once for each tokenizer and number of tokens.
    """
    if not isinstance(tokenizer, Sized):
        return _fingerprint(tokenizer)
    before = _fingerprints.get(tokenizer)
    if before is None or before[0] != len(tokenizer):  # tokens may have been added
        before = _fingerprints[tokenizer] = len(tokenizer), _fingerprint(tokenizer)
    return before[1]


_fingerprints: WeakKeyDictionary[Sized, tuple[int, str]] = WeakKeyDictionary()


def _fingerprint(tokenizer: Tokenizer) -> str:
    probe = "When Mary and John went to the 1743 café, they'd\n\tsaid: def f(x): naïve"
    tokens, ids = zip(*sorted(tokenizer.get_vocab().items()), strict=True)
    return digest(["\0".join(tokens), "\0".join(map(str, ids)), encode(tokenizer, [probe])[0].ids])
