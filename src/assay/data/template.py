"""Wordings with slots. Every slot is a named position: `"When {IO} and {S1} went to the {place}, {S2} gave ... to"`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

from assay.core.errors import DataError
from assay.data.example import Place, Span


@dataclass(frozen=True)
class Template:
    """A wording and the name that examples made from it carry."""

    id: str
    text: str

    @property
    def slots(self) -> tuple[str, ...]:
        """Slot names in order."""
        return tuple(name for _, name, _, _ in Formatter().parse(self.text) if name is not None)


def templates(*texts: str, prefix: str) -> tuple[Template, ...]:
    """Templates named `prefix-0`, `prefix-1`, …"""
    return tuple(Template(f"{prefix}-{i}", text) for i, text in enumerate(texts))


def fill(template: Template, values: Mapping[str, str]) -> tuple[str, dict[str, Span]]:
    """The text, and the characters that each slot's value takes."""
    text, spans = "", {}
    for literal, name, _, _ in Formatter().parse(template.text):
        text += literal
        if name is None:
            continue
        if name not in values:
            raise DataError(f"Template '{template.id}' needs '{name}'; given: {', '.join(values)}.")
        spans[name] = (len(text), len(text) + len(values[name]))
        text += values[name]
    return text, {name: span for name, span in spans.items() if span[1] > span[0]}


def contrast(
    template: Template, clean: Mapping[str, str], corrupt: Mapping[str, str]
) -> tuple[str, str, dict[str, int | Place]]:
    """The two prompts and the places of the slots that both have."""
    first, clean_spans = fill(template, clean)
    second, corrupt_spans = fill(template, corrupt)
    shared = [name for name in clean_spans if name in corrupt_spans]
    return first, second, {name: Place(clean=clean_spans[name], corrupt=corrupt_spans[name]) for name in shared}
