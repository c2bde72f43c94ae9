"""One example of a contrast: a prompt, its counterfactual, and what should follow each.

This is the persisted form (one line of a JSONL file). Token ids are not part of it: they depend on the tokenizer and
are made by `alignment`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _several(value: Any) -> Any:
    """One answer is short for a list of one; tensors are lists."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return (value,) if isinstance(value, str | int) else value


Prompt = Annotated[str | tuple[int, ...], BeforeValidator(lambda value: getattr(value, "tolist", lambda: value)())]
Answer = str | int
Answers = Annotated[tuple[Answer, ...], BeforeValidator(_several)]
Span = tuple[int, int]
Side = Literal["clean", "corrupt"]
Label = bool | str


class Place(BaseModel):
    """Where a named position is in each of the two prompts, half-open.

    Characters when the prompt is text, tokens when the prompt is token ids.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    clean: Span
    """Start and stop in the clean prompt."""
    corrupt: Span
    """Start and stop in the counterfactual prompt."""


class Example(BaseModel):
    """A clean prompt and its counterfactual, with the answers to each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clean: Prompt
    """The prompt, as text or as token ids."""
    corrupt: Prompt
    """The counterfactual prompt, of the same kind and the same number of tokens."""
    answers: Answers = ()
    """Right continuations of the clean prompt, with their leading space; the first one is the usual one."""
    wrong: Answers = ()
    """Wrong continuations of the clean prompt; the first one is the contrast (often what the counterfactual wants)."""
    corrupt_answers: Answers = ()
    """Right continuations of the counterfactual prompt; empty when nothing is claimed about it."""
    corrupt_wrong: Answers = ()
    """Wrong continuations of the counterfactual prompt."""
    positions: dict[str, int | Place] = {}
    """Named positions: a place in each prompt, or one token index for both (negative: from the end)."""
    template: str = ""
    """Which wording the example was made from."""
    split: str = ""
    """train, validation or test."""
    names: tuple[str, ...] = ()
    """The names or entities in the example; no name is in two splits."""
    label: Label | None = None
    """For probing: what is true of the clean prompt."""
    corrupt_label: Label | None = None
    """For probing: what is true of the counterfactual prompt."""

    def prompt(self, side: Side) -> Prompt:
        """The prompt of one side."""
        return self.clean if side == "clean" else self.corrupt

    def swapped(self) -> Example:
        """The same example with clean and counterfactual exchanged."""
        places = {name: _swap(place) for name, place in self.positions.items()}
        return self.model_copy(
            update={
                "clean": self.corrupt,
                "corrupt": self.clean,
                "answers": self.corrupt_answers,
                "wrong": self.corrupt_wrong,
                "corrupt_answers": self.answers,
                "corrupt_wrong": self.wrong,
                "positions": places,
                "label": self.corrupt_label,
                "corrupt_label": self.label,
            }
        )


def _swap(place: int | Place) -> int | Place:
    return place if isinstance(place, int) else Place(clean=place.corrupt, corrupt=place.clean)
