"""Text that has nothing to do with the prompts, one piece for each: what an edit costs where it is not wanted.

Pieces are the beginnings of different texts of a corpus that is on the machine already. On them a vector is added at every
position but the first, where many models have an attention sink.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from assay.core.codec import digest
from assay.core.errors import DataError, SettingsError
from assay.data import corpus
from assay.data.vocabulary import encode, tokenizer_of
from assay.engine.model import Model
from assay.experiments.positions import Slice

AFTER_FIRST = Slice(start=1)
CHARACTERS = 16
"""Of a text for each token that is asked for: enough for one of nearly any tokenizer."""
LENGTH = 300
"""Tokens of a usual text: how much of the corpus is read at first, twice as much when that is not enough."""


class UnrelatedText(BaseModel):
    """Which text, and how long its pieces are."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    corpus: str = "docstrings"
    """One of the corpora of `assay.data.corpus`."""
    tokens: int = Field(default=24, ge=2)
    """The length of a piece."""


UNRELATED = UnrelatedText()
ON_TEXT = "unrelated text on which the cost is measured; None measures none"


def pieces(text: UnrelatedText, model: Model, n: int) -> tuple[list[list[int]], tuple[str, ...]]:
    """`n` pieces in tokens, and what they are.

    Raises:
        SettingsError: the model has no tokenizer.
        DataError: the corpus has not so many texts that are long enough.
    """
    if model.tokenizer is None:
        raise SettingsError("this model has no tokenizer, so there is no text for it: say text=None to measure none.")
    tokenizer, size = tokenizer_of(model), n * LENGTH
    found, texts, before = list[list[int]](), list[str](), -1
    while len(found) < n:
        texts, before = corpus(text.corpus, max_tokens=size), len(texts)
        if len(texts) == before:
            raise DataError(
                f"corpus {text.corpus!r} has {len(found)} texts of {text.tokens} tokens; {n} were asked for."
            )
        ids = [list(each.ids) for each in encode(tokenizer, [each[: CHARACTERS * text.tokens] for each in texts])]
        found, size = [each[: text.tokens] for each in ids if len(each) >= text.tokens], 2 * size
    kept = found[:n]
    return kept, (f"unrelated text: {n} pieces of {text.tokens} tokens of {text.corpus}, {digest(kept)[:19]}",)
