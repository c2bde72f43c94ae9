"""What of a contrast pair is a label: for probes, monitors, and the classifiers of texts that stand beside them.

    label        each prompt's own label, as families for probing give one (`truth-cities`, `sentiment-statements`)
    answer       the usual right answer, where prompts share a few: the number of a verb, the gender of a pronoun
    side         clean or counterfactual: whatever tells the two apart, which may be no property that has a name
    auto         label if all prompts have one, else answer

Methods that are told which of these to read call the setting `label`; controls that make labels of their own go by that.
"""

from __future__ import annotations

from typing import Literal, get_args

from assay.core.errors import DataError, SettingsError
from assay.data.example import Example
from assay.data.pairs import Pairs

What = Literal["auto", "label", "answer", "side"]
SIDES = ("clean", "counterfactual")


def relabelled(pairs: Pairs, what: What = "auto") -> Pairs:
    """The same pairs, each prompt with a label in words; a counterfactual prompt of which nothing is said has none.

    Raises:
        SettingsError: no such kind of label.
        DataError: a clean prompt has none of that kind.
    """
    kind = kind_of(pairs, what)
    said = [_said(example, kind) for example in pairs]
    if missing := [i for i, (label, _) in enumerate(said) if label is None]:
        raise DataError(
            f"Example {missing[0]} of task {pairs.task!r} has no {kind} ({len(missing)} such): give it one, "
            "or choose another kind of label."
        )
    update = [{"label": label, "corrupt_label": other} for label, other in said]
    examples = tuple(each.model_copy(update=new) for each, new in zip(pairs.examples, update, strict=True))
    return Pairs(examples, pairs.task, pairs.seed, pairs.facts, pairs.tokens, pairs.tokenizer)


def kind_of(pairs: Pairs, what: What) -> What:
    """What `auto` means for these pairs.

    Raises:
        SettingsError: no such kind.
    """
    if what not in get_args(What):
        raise SettingsError(f"{what!r} is no kind of label: expected {', '.join(get_args(What))}.")
    if what != "auto":
        return what
    return "label" if all(example.label is not None for example in pairs) else "answer"


def _said(example: Example, kind: What) -> tuple[str | None, str | None]:
    match kind:
        case "label":
            return _text(example.label), _text(example.corrupt_label)
        case "answer":
            first, other = (each[0] if each else None for each in (example.answers, example.corrupt_answers))
            return _text(first), _text(other)
        case _:
            return SIDES


def _text(value: bool | str | int | None) -> str | None:
    return None if value is None else str(value).strip()


def told_apart(given: object) -> What | None:
    """A setting `label` as the kind of label that it names; None where it names none."""
    return next((kind for kind in get_args(What) if kind == given), None)
