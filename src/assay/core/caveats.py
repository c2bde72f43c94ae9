"""Facts that weaken a result: a method marks them where it measures them, and reports list them as limitations.

>>> facts = ("z of every head", caveat("two of eight templates fail"))
>>> caveats_in(facts), plain_facts(facts)
(('two of eight templates fail',), ('z of every head',))
"""

from __future__ import annotations

from collections.abc import Iterable

MARK = "caveat: "


def caveat(text: str) -> str:
    """A fact that limits what the result shows."""
    return MARK + text


def caveats_in(facts: Iterable[str]) -> tuple[str, ...]:
    """The texts of those facts that are caveats, each once."""
    return tuple(dict.fromkeys(fact.removeprefix(MARK) for fact in facts if fact.startswith(MARK)))


def plain_facts(facts: Iterable[str]) -> tuple[str, ...]:
    """The facts that are not caveats."""
    return tuple(fact for fact in facts if not fact.startswith(MARK))
