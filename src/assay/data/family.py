"""Task families: what one is, what it is given to make an example, and the table that they register in.

A family is one file in `families/`: word lists, templates for each split, and a function that makes one random
example from one template. Drawing n different ones, aligning them and refusing what can't be is done for all of them
in `generate`.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from assay.core.errors import DataError, nearest
from assay.data.example import Example
from assay.data.lexicon import Lexicon, Split
from assay.data.template import Template
from assay.data.vocabulary import Tokenizer, continuations, single_tokens


@dataclass
class Draw:
    """What a family may use to make an example: a seeded generator, and the words that it can use here."""

    family: str
    split: Split
    variant: str
    rng: random.Random
    tokenizer: Tokenizer | None
    vocabulary: int | None = None
    memory: dict[tuple[object, ...], Any] = field(default_factory=dict)
    """What was found once for this draw."""

    @property
    def gives_tokens(self) -> bool:
        """Whether examples can be aligned: there is a tokenizer, or they are made of token ids."""
        return self.tokenizer is not None or self.vocabulary is not None

    def words(self, lexicon: Lexicon[str], *, need: int = 1) -> tuple[str, ...]:
        """The words of this split that are one token after a space."""
        return tuple(
            row[0] for row in self.rows(Lexicon(lexicon.name, tuple((w,) for w in lexicon.entries)), need=need)
        )

    def rows(
        self, lexicon: Lexicon[tuple[str, ...]], *, single: tuple[int, ...] = (0,), need: int = 1
    ) -> tuple[tuple[str, ...], ...]:
        """The rows of this split of which the cells `single` are one token each."""
        key = (lexicon.name, single)
        if key not in self.memory:
            self.memory[key] = tuple(self._fitting(lexicon, single))
        found: tuple[tuple[str, ...], ...] = self.memory[key]
        if len(found) < need:
            raise DataError(
                f"{self.family}: only {len(found)} of the {len(lexicon.part(self.split))} {lexicon.name} of split "
                f"'{self.split}' are single tokens for this tokenizer; {need} are needed. Use another tokenizer."
            )
        return found

    def _fitting(self, lexicon: Lexicon[tuple[str, ...]], single: tuple[int, ...]) -> list[tuple[str, ...]]:
        rows = list(lexicon.part(self.split))
        if self.tokenizer is None:
            return rows
        allowed = set(single_tokens(self.tokenizer, sorted({row[cell] for row in rows for cell in single})))
        return [row for row in rows if all(row[cell] in allowed for cell in single)]

    def pick(self, lexicon: Lexicon[str]) -> str:
        """One word."""
        return self.rng.choice(self.words(lexicon))

    def sample(self, lexicon: Lexicon[str], k: int) -> list[str]:
        """k different words."""
        return self.rng.sample(self.words(lexicon, need=k), k)

    def two_rows(self, lexicon: Lexicon[tuple[str, ...]], *, single: tuple[int, ...] = (0,)) -> list[tuple[str, ...]]:
        """Two different rows."""
        return self.rng.sample(self.rows(lexicon, single=single, need=2), 2)

    def joining(self, text: str, options: tuple[str, ...]) -> tuple[str, ...]:
        """The options that are one token of their own after `text` (all of them when there is no tokenizer to ask)."""
        if self.tokenizer is None:
            return options
        key = ("joining", text, options)
        if key not in self.memory:
            found = continuations(self.tokenizer, [(text, option) for option in options])
            self.memory[key] = tuple(option for option in options if len(found[text, option] or ()) == 1)
        joined: tuple[str, ...] = self.memory[key]
        return joined


Make = Callable[[Template, Draw], Example | None]


@dataclass(frozen=True)
class Family:
    """One kind of task."""

    name: str
    summary: str
    templates: Mapping[Split, tuple[Template, ...]]
    make: Make
    use: Literal["completion", "probing"] = "completion"
    variants: tuple[str, ...] = ("default",)
    source: str = ""
    judge: tuple[str, str, str] | None = None
    """For probing: a question to append, the answer that means true, the answer that means false."""


_FAMILIES: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Add a family to the table."""
    if family.name in _FAMILIES:
        raise DataError(f"Two task families are named '{family.name}'. Rename one.")
    _FAMILIES[family.name] = family
    return family


def families() -> dict[str, Family]:
    """Every family by name: each file in `families/` is imported once."""
    from assay.data import families as folder

    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")
    return dict(sorted(_FAMILIES.items()))


def family(name: str) -> Family:
    """One family, or an error with the nearest names."""
    known = families()
    if name not in known:
        raise DataError(f"No task family '{name}'.{nearest(name, known)} Families: {', '.join(known)}.")
    return known[name]
