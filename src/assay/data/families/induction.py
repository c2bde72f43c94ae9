"""Induction: a random sequence of tokens, then the same again up to some place; the answer is what came next before.

Counterfactual `target`: the token that would be copied is another one, so the answer flips with one token changed;
`half`: the first half is unrelated, so there is nothing to copy. Prompts are token ids: no words, no grammar, nothing
else to predict from. Tokens are whole words where the vocabulary has enough. Works without a tokenizer when given a
vocabulary size. Source: Olsson et al. 2022, arXiv:2209.11895.
"""

from __future__ import annotations

from assay.core.errors import DataError
from assay.data.example import Example, Place, Span
from assay.data.family import Draw, Family, register
from assay.data.lexicon import PATTERN, SPLITS
from assay.data.template import Template
from assay.data.vocabulary import special_ids

ENOUGH = 400
LENGTHS = {"train": (12, 20, 32), "validation": (16, 26), "test": (14, 22, 30)}


def make(template: Template, draw: Draw) -> Example:
    """One pair of prompts of the length that the template names."""
    length = int(template.text)
    lead, pool = _tokens(draw)
    if len(pool) < 2 * length + 1:
        raise DataError(f"induction: {len(pool)} plain tokens in split '{draw.split}'; {2 * length + 1} are needed.")
    drawn = draw.rng.sample(pool, 2 * length + 1)
    half, other = drawn[:length], drawn[length]
    at = draw.rng.randrange(length // 2, length)
    clean = [*lead, *half, *half[:at]]
    changed = [*half[:at], other, *half[at + 1 :]] if draw.variant == "target" else drawn[length + 1 :]
    corrupt = [*lead, *changed, *half[:at]]
    flips = draw.variant == "target"
    rest = tuple(token for token in half if token != half[at])
    return Example(
        clean=tuple(clean),
        corrupt=tuple(corrupt),
        positions={"previous": _at(len(lead) + at - 1), "target": _at(len(lead) + at)},
        answers=(half[at],),
        wrong=(other, *rest),
        corrupt_answers=(other,) if flips else (),
        corrupt_wrong=(half[at], *rest) if flips else (),
    )


def _at(index: int) -> Place:
    span: Span = (index, index + 1)
    return Place(clean=span, corrupt=span)


def _tokens(draw: Draw) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokens that every prompt begins with, and those that may be drawn in this split."""
    if ("pool",) not in draw.memory:
        draw.memory["pool",] = _find_tokens(draw)
    lead, pool = draw.memory["pool",]
    return lead, pool


def _find_tokens(draw: Draw) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if draw.tokenizer is None:
        if draw.vocabulary is None:
            raise DataError(
                "induction is made of token ids: pass tokenizer= (a tokenizer, a model, or a vocabulary size)."
            )
        return (), tuple(i for i in range(draw.vocabulary) if PATTERN[i % 4] == draw.split)
    special = special_ids(draw.tokenizer)
    first = draw.tokenizer("a")["input_ids"][0]
    vocabulary = {index: text for text, index in draw.tokenizer.get_vocab().items() if index not in special}
    plain = sorted(index for index, text in vocabulary.items() if _is_word(text))
    allowed = plain if len(plain) >= ENOUGH else sorted(vocabulary)
    return (first,) if first in special else (), tuple(i for i in allowed if PATTERN[i % 4] == draw.split)


def _is_word(token: str) -> bool:
    """A whole word or the start of one: marks of a leading space are those of the usual tokenizers."""
    return token[:1] in "Ġ▁ " and len(token) > 3 and token[1:].isascii() and token[1:].isalpha()


register(
    Family(
        name="induction",
        summary="the token that followed last time, in a repeated sequence of random tokens",
        templates={s: tuple(Template(f"{s}-{n}", str(n)) for n in LENGTHS[s]) for s in SPLITS},
        make=make,
        variants=("target", "half"),
        source="arXiv:2209.11895",
    )
)
