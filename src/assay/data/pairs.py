"""Contrast pairs: clean and counterfactual prompts that line up token by token, with answers and named positions.

What circuit methods take. A Pairs is immutable; every selection gives a new one. Without a tokenizer it holds texts
only; `align` adds the tokens and refuses (or drops) what doesn't line up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, overload

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from assay.core.codec import digest
from assay.core.errors import DataError, nearest
from assay.data.alignment import Tokens, align
from assay.data.example import Example, Side
from assay.data.jsonl import Header, read_examples, write_examples
from assay.data.side_by_side import side_by_side
from assay.data.vocabulary import Tokenizer, fingerprint, tokenizer_of
from assay.experiments.inputs import Input, as_input


@dataclass(frozen=True)
class Pairs:
    """Examples of one task, and their tokens once aligned."""

    examples: tuple[Example, ...]
    task: str = "own"
    seed: int | None = None
    facts: tuple[str, ...] = ()
    tokens: tuple[Tokens, ...] | None = field(default=None, repr=False)
    tokenizer: str | None = field(default=None, repr=False)

    def align(
        self, tokenizer: object, *, on_mismatch: Literal["refuse", "drop"] = "refuse", single_token: bool = True
    ) -> Pairs:
        """These pairs with tokens. An example that doesn't align is an error, or left out and counted in `facts`."""
        only_ids = all(isinstance(example.clean, tuple) for example in self.examples)
        found: Tokenizer | None = None if tokenizer is None and only_ids else tokenizer_of(tokenizer)
        mark = fingerprint(found) if found is not None else None
        if self.tokens is not None and mark == self.tokenizer:
            return self
        aligned = align(self.examples, found, single_token=single_token)
        bad = [(i, reason) for i, reason in enumerate(aligned.reasons) if reason is not None]
        if bad and on_mismatch == "refuse":
            raise DataError(f"Example {bad[0][0]} of {len(self)} can't be used ({len(bad)} such). {bad[0][1]}")
        if bad and len(bad) == len(self):
            raise DataError(f"None of the {len(self)} examples can be used. The first: {bad[0][1]}")
        kept = [(e, t) for e, t in zip(self.examples, aligned.tokens, strict=True) if t is not None]
        dropped = [f"{len(bad)} of {len(self)} examples dropped: they did not align"] if bad else []
        facts = tuple(dict.fromkeys((*self.facts, *aligned.facts, *dropped)))
        examples, tokens = tuple(e for e, _ in kept), tuple(t for _, t in kept)
        return replace(self, examples=examples, tokens=tokens, tokenizer=mark, facts=facts)

    def refuse_model(self, model: object) -> None:
        """Raise DataError where these tokens are another tokenizer's than the model's: its ids mean other tokens."""
        tokenizer = getattr(model, "tokenizer", None)
        if self.tokenizer is None or not isinstance(tokenizer, Tokenizer) or fingerprint(tokenizer) == self.tokenizer:
            return
        raise DataError(
            "these pairs were aligned with another tokenizer than this model's, so their token ids mean other tokens here: "
            "call pairs.align(model)."
        )

    # -- size, access, selection --------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """How many examples."""
        return len(self.examples)

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Pairs: ...
    def __getitem__(self, index: int | slice) -> Example | Pairs:
        return self.examples[index] if isinstance(index, int) else self.take(range(len(self))[index])

    def take(self, indices: Iterable[int]) -> Pairs:
        """The examples at these indices, in this order; an index may come twice."""
        chosen = list(indices)
        tokens = None if self.tokens is None else tuple(self.tokens[i] for i in chosen)
        return replace(self, examples=tuple(self.examples[i] for i in chosen), tokens=tokens)

    def filter(
        self,
        where: Callable[[Example], bool] | None = None,
        *,
        template: str | Sequence[str] | None = None,
        split: str | None = None,
    ) -> Pairs:
        """The examples of one template (or several), of one split, or for which `where` is true."""
        names = None if template is None else {template} if isinstance(template, str) else set(template)
        for name in sorted(names or ()):
            if name not in self.templates:
                raise DataError(f"No example has template '{name}'.{nearest(name, self.templates)}")
        fits = [
            i
            for i, e in enumerate(self.examples)
            if (names is None or e.template in names)
            and (split is None or e.split == split)
            and (where is None or where(e))
        ]
        return self.take(fits)

    def shuffled(self, seed: int) -> Pairs:
        """All examples in a random order."""
        return self.sample(len(self), seed)

    def sample(self, k: int, seed: int) -> Pairs:
        """k different examples in a random order."""
        if k > len(self):
            raise DataError(f"Asked for {k} examples out of {len(self)}. Ask for fewer, or make more.")
        return self.take(random.Random(seed).sample(range(len(self)), k))

    def bootstrap(self, seed: int) -> Pairs:
        """As many examples, drawn with replacement."""
        return self.take(random.Random(seed).choices(range(len(self)), k=len(self)))

    def swapped(self) -> Pairs:
        """Clean and counterfactual exchanged: what was noising is denoising."""
        tokens = None if self.tokens is None else tuple(_swapped_tokens(t) for t in self.tokens)
        return replace(self, examples=tuple(e.swapped() for e in self.examples), tokens=tokens)

    @property
    def templates(self) -> tuple[str, ...]:
        """The templates in use, in order of appearance."""
        return tuple(dict.fromkeys(example.template for example in self.examples))

    # -- tokens -------------------------------------------------------------------------------------------------------

    @property
    def clean_tokens(self) -> Int[Tensor, "batch pos"]:
        """Token ids of the clean prompts; they must all have one length (see `by_length`)."""
        return self._stacked("clean")

    @property
    def corrupt_tokens(self) -> Int[Tensor, "batch pos"]:
        """Token ids of the counterfactual prompts."""
        return self._stacked("corrupt")

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of tokens of each example."""
        return tuple(len(t.clean) for t in self.aligned_tokens())

    @property
    def answer_ids(self) -> Int[Tensor, " batch"]:
        """The first token of each example's usual right answer."""
        return torch.tensor([ids[0] for ids in self._first("answers")])

    @property
    def wrong_ids(self) -> Int[Tensor, " batch"]:
        """The first token of each example's contrast: its first wrong answer."""
        return torch.tensor([ids[0] for ids in self._first("wrong")])

    @property
    def all_wrong(self) -> list[list[int]]:
        """The first tokens of every wrong answer of each example, as `metric.accuracy(wrong=...)` takes them."""
        return [[ids[0] for ids in tokens.wrong] for tokens in self.aligned_tokens()]

    def as_inputs(self) -> dict[str, Input]:
        """Inputs `clean` and `corrupt` of an experiment: token ids, the positions that all examples have, answers.

        Both carry the clean prompt's answers, so that a metric is the same quantity on both.
        """
        tokens = self.aligned_tokens()
        positions = {name: tuple(self.position(name)) for name in self.position_names()}
        asked = bool(tokens[0].answers and tokens[0].wrong)
        answers = {part: self._first(part) for part in ("answers", "wrong")} if asked else {}
        return {
            side: as_input([t.clean if side == "clean" else t.corrupt for t in tokens], positions=positions, **answers)
            for side in ("clean", "corrupt")
        }

    def by_length(self) -> dict[int, Pairs]:
        """The examples grouped by number of tokens, shortest first: each group stacks without padding."""
        groups: dict[int, list[int]] = {}
        for index, length in enumerate(self.lengths):
            groups.setdefault(length, []).append(index)
        return {length: self.take(groups[length]) for length in sorted(groups)}

    def position(self, name: str) -> list[int]:
        """The token index of a named position in each example: the last token where the name covers several."""
        return [self._range(t, name)[1] - 1 for t in self.aligned_tokens()]

    def position_names(self) -> tuple[str, ...]:
        """The positions that every example has."""
        shared = [set(t.positions) for t in self.aligned_tokens()]
        return tuple(name for name in self.aligned_tokens()[0].positions if all(name in names for names in shared))

    def aligned_tokens(self) -> tuple[Tokens, ...]:
        """The tokens, or an error that says how to get them."""
        if self.tokens is None:
            raise DataError(
                "These pairs are text only: call .align(model) first, or pass tokenizer= where they are made."
            )
        if not self.tokens:
            raise DataError("There are no examples.")
        return self.tokens

    def _range(self, tokens: Tokens, name: str) -> tuple[int, int]:
        if name not in tokens.positions:
            raise DataError(
                f"No position '{name}'.{nearest(name, tokens.positions)} Known: {', '.join(tokens.positions)}."
            )
        return tokens.positions[name]

    def _first(self, part: str) -> tuple[tuple[int, ...], ...]:
        """The tokens of each example's first answer."""
        found: list[tuple[tuple[int, ...], ...]] = [getattr(tokens, part) for tokens in self.aligned_tokens()]
        if not all(found):
            raise DataError(f"Task '{self.task}' has examples without {part}: it is for probing, by its labels.")
        return tuple(answers[0] for answers in found)

    def _stacked(self, side: Side) -> Int[Tensor, "batch pos"]:
        if len(set(self.lengths)) > 1:
            found = ", ".join(f"{length} ({len(group)})" for length, group in self.by_length().items())
            raise DataError(f"Prompts have different lengths: {found} tokens. Take one group of .by_length().")
        return torch.tensor([t.clean if side == "clean" else t.corrupt for t in self.aligned_tokens()])

    # -- what is it, and keeping it -----------------------------------------------------------------------------------

    @property
    def hash(self) -> str:
        """The same for the same examples in the same order under the same tokenizer."""
        return digest([self.task, self.tokenizer, [example.model_dump(mode="json") for example in self.examples]])

    def describe(self) -> pd.DataFrame:
        """One row for each template: how many examples, how long, and one of them."""
        return pd.DataFrame([self._row(template) for template in self.templates]).set_index("template")

    def _row(self, template: str) -> dict[str, object]:
        chosen = self.filter(template=template)
        lengths = chosen.lengths if chosen.tokens else ()
        first = chosen[0]
        return {
            "template": template,
            "split": first.split,
            "n": len(chosen),
            "tokens": f"{min(lengths)}-{max(lengths)}" if lengths else "",
            "clean": first.clean,
            "corrupt": first.corrupt,
            "answer": first.answers[0] if first.answers else first.label,
            "wrong": first.wrong[0] if first.wrong else first.corrupt_label,
        }

    def to_jsonl(self, path: str | Path) -> Path:
        """Write a header line and one line for each example, atomically."""
        return write_examples(Path(path), Header(task=self.task, seed=self.seed, facts=self.facts), self.examples)

    @staticmethod
    def from_prompts(clean: object, corrupt: object, *, tokenizer: object = None, **fields: Any) -> Pairs:
        """From lists side by side: prompts (texts or token ids), and fields of `Example`, one for all or one for each."""
        pairs = Pairs(side_by_side(clean, corrupt, **fields))
        return pairs if tokenizer is None and isinstance(pairs[0].clean, str) else pairs.align(tokenizer)

    @staticmethod
    def from_jsonl(
        path: str | Path,
        tokenizer: object = None,
        *,
        on_mismatch: Literal["refuse", "drop"] = "refuse",
        single_token: bool = True,
    ) -> Pairs:
        """Read pairs: those of `to_jsonl`, or your own with one JSON object for each line (see docs/data.md)."""
        header, examples = read_examples(Path(path))
        pairs = Pairs(examples, header.task, header.seed, header.facts)
        if tokenizer is None:
            return pairs
        return pairs.align(tokenizer, on_mismatch=on_mismatch, single_token=single_token)


def _swapped_tokens(tokens: Tokens) -> Tokens:
    return Tokens(
        tokens.corrupt,
        tokens.clean,
        tokens.positions,
        tokens.corrupt_answers,
        tokens.corrupt_wrong,
        tokens.answers,
        tokens.wrong,
    )
