"""`task`: n different examples of a family, aligned for a tokenizer, the same for the same arguments.

Candidates are drawn one at a time, templates taking turns; those that repeat a prompt or don't align are left out.
Cost: about a second per thousand examples, nearly all of it tokenisation.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Container, Sequence

from assay.core.errors import DataError, nearest
from assay.data.alignment import Aligned, Tokens, align
from assay.data.example import Example, Prompt
from assay.data.family import Draw, Family, families, family
from assay.data.lexicon import Split, known_split
from assay.data.measurement import standing
from assay.data.pairs import Pairs
from assay.data.template import Template
from assay.data.vocabulary import fingerprint, tokenizer_of

DEFAULT_N = 200
PATIENCE = 300


def tasks() -> tuple[str, ...]:
    """The names of the task families."""
    return tuple(families())


def task(
    name: str,
    *,
    n: int | None = None,
    seed: int = 0,
    split: str = "train",
    tokenizer: object = None,
    templates: Sequence[str] | None = None,
    variant: str | None = None,
) -> Pairs:
    """Contrast pairs of one family.

    n: how many different examples; by default 200, or all that the split gives when those are fewer (a fact says so).
    tokenizer: a tokenizer or a model. Without one, the pairs are text, to be aligned later with `Pairs.align`.
    templates: names of the wordings to use; all of the split's by default. variant: how the counterfactual is made.
    """
    chosen = family(name)
    part = known_split(split)
    wordings = _wordings(chosen, part, templates)
    draw = _draw(chosen, part, seed, _variant(chosen, variant), tokenizer)
    examples, tokens, first_problem = _collect(chosen, wordings, draw, DEFAULT_N if n is None else n)
    if not examples or (n is not None and len(examples) < n):
        raise DataError(_too_few(chosen, part, n, len(examples), first_problem))
    facts = (
        [] if n is not None or len(examples) == DEFAULT_N else [f"all {len(examples)} examples that the split gives"]
    )
    mark = fingerprint(draw.tokenizer) if draw.tokenizer is not None else None
    facts += standing(name, mark)
    return Pairs(tuple(examples), name, seed, tuple(facts), tuple(tokens) if draw.gives_tokens else None, mark)


def _wordings(chosen: Family, split: Split, names: Sequence[str] | None) -> tuple[Template, ...]:
    known = {template.id: template for template in chosen.templates[split]}
    for name in names or ():
        if name not in known:
            raise DataError(
                f"{chosen.name} has no template '{name}' in split '{split}'.{nearest(name, known)} "
                f"Templates: {', '.join(known)}."
            )
    return tuple(known[name] for name in names) if names else tuple(known.values())


def _variant(chosen: Family, variant: str | None) -> str:
    if variant is not None and variant not in chosen.variants:
        raise DataError(f"{chosen.name} has no variant '{variant}'. Variants: {', '.join(chosen.variants)}.")
    return variant or chosen.variants[0]


def _draw(chosen: Family, split: Split, seed: int, variant: str, source: object) -> Draw:
    text = f"{chosen.name}|{split}|{variant}|{seed}"
    rng = random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
    if isinstance(source, int):
        return Draw(chosen.name, split, variant, rng, None, source)
    return Draw(chosen.name, split, variant, rng, None if source is None else tokenizer_of(source))


def _collect(
    chosen: Family, wordings: tuple[Template, ...], draw: Draw, n: int
) -> tuple[list[Example], list[Tokens], str]:
    """Up to n examples; fewer when PATIENCE rounds over the templates bring nothing new. And the first problem met."""
    found: dict[Prompt, tuple[Example, Tokens | None]] = {}
    problem, fruitless = "", 0
    while len(found) < n and fruitless < PATIENCE:
        batch = _new(chosen, wordings, draw, found)
        aligned = (
            align(batch, draw.tokenizer) if draw.gives_tokens else Aligned((None,) * len(batch), ("",) * len(batch))
        )
        for example, tokens, reason in zip(batch, aligned.tokens, aligned.reasons, strict=True):
            if tokens is not None or not draw.gives_tokens:
                found.setdefault(example.clean, (example, tokens))
                fruitless = -1
            problem = problem or reason or ""
        fruitless += 1
    kept = list(found.values())[:n]
    return [example for example, _ in kept], [tokens for _, tokens in kept if tokens is not None], problem


def _new(chosen: Family, wordings: tuple[Template, ...], draw: Draw, seen: Container[Prompt]) -> list[Example]:
    """One round: a candidate from each template, without clean prompts seen before."""
    made = [(template, chosen.make(template, draw)) for template in wordings]
    return [
        example.model_copy(update={"template": template.id, "split": draw.split})
        for template, example in made
        if example is not None and example.clean not in seen
    ]


def _too_few(chosen: Family, split: Split, n: int | None, found: int, problem: str) -> str:
    if not found:
        return f"{chosen.name} can't be made in split '{split}' for this tokenizer. {problem}".rstrip()
    return (
        f"{chosen.name} has only {found} different examples in split '{split}' for this tokenizer; {n} were asked for. "
        "Ask for fewer, or leave n out to take all."
    )
