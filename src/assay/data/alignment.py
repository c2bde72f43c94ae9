"""Token by token: do a prompt and its counterfactual line up, and where are the named positions and the answers?

Patching copies the value at position p of one prompt to position p of the other, so both must have the same number of
tokens and every named position must be at the same place. An answer's tokens are those it adds to its own prompt, not
those that it has alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from assay.core.errors import DataError
from assay.data.example import Answer, Example, Place, Prompt, Side, Span
from assay.data.vocabulary import Encoded, Tokenizer, continuations, encode
from assay.experiments.alignment import parting, where_they_part

Ids = tuple[int, ...]
Continuations = Mapping[tuple[str, str], Ids | None]


@dataclass(frozen=True)
class Tokens:
    """One aligned example in token ids. Positions are half-open token ranges, the same in both prompts."""

    clean: Ids
    corrupt: Ids
    positions: Mapping[str, Span]
    answers: tuple[Ids, ...] = ()
    wrong: tuple[Ids, ...] = ()
    corrupt_answers: tuple[Ids, ...] = ()
    corrupt_wrong: tuple[Ids, ...] = ()


@dataclass(frozen=True)
class Aligned:
    """What came of aligning: the tokens of each example, or why it can't be used."""

    tokens: tuple[Tokens | None, ...]
    reasons: tuple[str | None, ...]
    facts: tuple[str, ...] = ()


def align(examples: Sequence[Example], tokenizer: Tokenizer | None, *, single_token: bool = True) -> Aligned:
    """Align every example; never raises for one that doesn't fit, but says why."""
    clean = _encode_side(examples, "clean", tokenizer)
    corrupt = _encode_side(examples, "corrupt", tokenizer)
    known = continuations(tokenizer, _asked(examples)) if tokenizer is not None else {}
    tokens: list[Tokens | None] = []
    reasons: list[str | None] = []
    for example, first, second in zip(examples, clean, corrupt, strict=True):
        try:
            tokens.append(_align_one(example, first, second, (tokenizer, known, single_token)))
            reasons.append(None)
        except DataError as error:
            tokens.append(None)
            reasons.append(str(error))
    return Aligned(tuple(tokens), tuple(reasons), tuple(_within_words(examples)))


def _within_words(examples: Sequence[Example]) -> Iterator[str]:
    """Answers that would be written right onto the prompt's last word."""
    found = [
        f"{each.clean.split()[-1]}{each.answers[0]}"
        for each in examples
        if isinstance(each.clean, str)
        and each.answers
        and isinstance(each.answers[0], str)
        and _in_a_word(each.clean[-1:])
        and _in_a_word(each.answers[0][:1])
    ]
    if found:
        yield (
            f"{len(found)} of {len(examples)} answers go on within the prompt's last word ({found[0]!r}): a word of its own "
            "begins with a space"
        )


def _in_a_word(letter: str) -> bool:
    return letter.isascii() and letter.isalpha()


def _align_one(
    example: Example, clean: Encoded, corrupt: Encoded, context: tuple[Tokenizer | None, Continuations, bool]
) -> Tokens:
    tokenizer, known, single = context
    if len(clean.ids) != len(corrupt.ids):
        raise DataError(_unaligned(clean.ids, corrupt.ids, tokenizer))
    positions = {name: _range(name, place, clean, corrupt) for name, place in example.positions.items()}
    positions.setdefault("end", _end(clean))
    sides: list[tuple[Prompt, tuple[Answer, ...]]] = [
        (example.clean, example.answers),
        (example.clean, example.wrong),
        (example.corrupt, example.corrupt_answers),
        (example.corrupt, example.corrupt_wrong),
    ]
    right, wrong, corrupt_right, corrupt_wrong = (_answer_ids(prompt, each, known, single) for prompt, each in sides)
    return Tokens(clean.ids, corrupt.ids, positions, right, wrong, corrupt_right, corrupt_wrong)


def _unaligned(clean: Ids, corrupt: Ids, tokenizer: Tokenizer | None) -> str:
    """What is wrong and what to do in one line; below it both tokenisations, marked where they part."""
    first, second = ([_show(token, tokenizer) for token in ids] for ids in (clean, corrupt))
    return (
        f"Clean has {len(clean)} tokens and corrupt {len(corrupt)}: {where_they_part(first, second)}. Prompts must align token "
        "by token: choose words with the same number of tokens, or drop such examples with on_mismatch='drop'.\n"
        f"{parting(('clean', first), ('corrupt', second))}"
    )


def _show(token: int, tokenizer: Tokenizer | None) -> str:
    return str(token) if tokenizer is None else tokenizer.decode([token])


def _encode_side(examples: Sequence[Example], side: Side, tokenizer: Tokenizer | None) -> list[Encoded]:
    prompts = [example.prompt(side) for example in examples]
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    if texts and tokenizer is None:
        raise DataError("The prompts are text: a tokenizer is needed to align them. Pass a tokenizer or a model.")
    encoded = iter(encode(tokenizer, texts) if tokenizer is not None else [])
    return [next(encoded) if isinstance(prompt, str) else _bare(prompt) for prompt in prompts]


def _bare(ids: Ids) -> Encoded:
    return Encoded(ids, tuple((i, i + 1) for i in range(len(ids))))


def _end(encoded: Encoded) -> Span:
    """The last token that stands for text."""
    last = max((i for i, (start, stop) in enumerate(encoded.offsets) if stop > start), default=len(encoded.ids) - 1)
    return (last, last + 1)


def _range(name: str, place: int | Place, clean: Encoded, corrupt: Encoded) -> Span:
    if isinstance(place, int):
        index = place + len(clean.ids) if place < 0 else place
        if not 0 <= index < len(clean.ids):
            raise DataError(f"Position '{name}' is token {place}, but the prompts have {len(clean.ids)} tokens.")
        return (index, index + 1)
    first, second = _covering(name, place.clean, clean), _covering(name, place.corrupt, corrupt)
    if first != second:
        raise DataError(
            f"Position '{name}' is at tokens {_range_text(first)} of clean but {_range_text(second)} of corrupt. "
            "A named position must be at the same tokens in both prompts: use words with the same number of tokens."
        )
    return first


def _covering(name: str, span: Span, encoded: Encoded) -> Span:
    hit = [i for i, (a, b) in enumerate(encoded.offsets) if a < span[1] and b > span[0] and b > a]
    if not hit:
        raise DataError(f"Position '{name}' is at {span[0]}:{span[1]}, where the prompt has no token.")
    return (hit[0], hit[-1] + 1)


def _range_text(span: Span) -> str:
    return str(span[0]) if span[1] - span[0] == 1 else f"{span[0]}-{span[1] - 1}"


def _stem(prompt: str) -> str:
    """The prompt's last words: enough to see how a continuation joins, and shared by many prompts."""
    cut = len(prompt)
    for _ in range(2):
        cut = max(prompt.rfind(" ", 0, cut), 0)
    return prompt[cut:].lstrip(" ") or prompt


def _asked(examples: Sequence[Example]) -> list[tuple[str, str]]:
    asked = []
    for example in examples:
        for prompt, answers in (
            (example.clean, example.answers + example.wrong),
            (example.corrupt, example.corrupt_answers + example.corrupt_wrong),
        ):
            if isinstance(prompt, str):
                asked += [(_stem(prompt), answer) for answer in answers if isinstance(answer, str)]
    return asked


def _answer_ids(prompt: Prompt, answers: tuple[Answer, ...], known: Continuations, single: bool) -> tuple[Ids, ...]:
    return tuple(_one_answer(prompt, answer, known, single) for answer in answers)


def _one_answer(prompt: Prompt, answer: Answer, known: Continuations, single: bool) -> Ids:
    if isinstance(answer, int):
        return (answer,)
    if not isinstance(prompt, str):
        raise DataError(f"The prompt is token ids, so its answer {answer!r} must be a token id too.")
    ids = known[_stem(prompt), answer]
    if ids is None:
        raise DataError(
            f"The answer {answer!r} has no tokens of its own after {prompt[-20:]!r}: it merges with the prompt's last "
            "token or is unknown to the tokenizer. Choose another answer, or end the prompt elsewhere."
        )
    if single and len(ids) != 1:
        raise DataError(
            f"The answer {answer!r} is {len(ids)} tokens {list(ids)}; one is expected (or single_token=False)."
        )
    return ids
