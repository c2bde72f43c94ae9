"""Controls of a prediction: what is right without a model, and what the model says when it is simply asked.

They stand beside a result whose variable counts examples as right or wrong (a probe's or a monitor's accuracy, the task's).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from assay.core.calls import Call
from assay.core.errors import SettingsError
from assay.data.example import Example, Place, Span
from assay.data.family import families
from assay.data.pairs import Pairs
from assay.data.relabel import relabelled, told_apart
from assay.engine.model import Model
from assay.experiments import metric
from assay.stats.controls import texts
from assay.stats.controls.cells import one_cell
from assay.stats.controls.control import Asking, Measure, control
from assay.stats.controls.learned import first_learned
from assay.stats.controls.texts import Labelled, Scorer, labelled
from assay.stats.controls.vectors import directions_in, with_changed

SEPARATOR = "\n"


@control("constant", "one label for all, chosen blindly", varies=False)
def constant(asking: Asking, seed: int) -> Measure:
    """The first label in a fixed order."""
    return _predicted(asking, texts.constant, seed)


@control("majority", "the most frequent label", varies=False)
def majority(asking: Asking, seed: int) -> Measure:
    """The most frequent label of the other folds."""
    return _predicted(asking, texts.majority, seed)


@control("bag_of_words", "a classifier of the texts' words")
def bag_of_words(asking: Asking, seed: int) -> Measure:
    """A ridge classifier on words, cross-validated."""
    return _predicted(asking, texts.ngrams(1), seed)


@control("ngram", "a classifier of the texts' n-grams")
def ngram(asking: Asking, seed: int) -> Measure:
    """A ridge classifier on up to three words in a row, cross-validated."""
    return _predicted(asking, texts.ngrams(3), seed)


@control("prompt_only", "words in the prompt in place of the intervention or the probe", reruns=True, varies=False)
def prompt_only(asking: Asking, seed: int) -> Measure:
    """With `instruction`: the method with these words before each prompt, and its directions set to zero.

    With `question` and `choices`: how often the model itself names the label when asked after each text. Where neither is
    said, the question that the task's family has for it, or the answers that complete its prompts.
    """
    instruction, question = asking.options.get("instruction"), asking.options.get("question")
    choices = asking.options.get("choices")
    if instruction is None and question is None and asking.about.kind == "monitor":
        question, choices = _own_question(_said(asking.needed_call()))
    if question is not None:
        if not choices:
            raise SettingsError("prompt_only with a question needs choices: the answer that stands for each label")
        data = _labelled(asking.needed_call())
        return _beside(asking, answered(asking.model, data, question=question, choices=choices))
    if instruction is None:
        raise SettingsError("prompt_only needs instruction= (words instead of an edit) or question= and choices=")
    call = asking.needed_call()
    silent = with_changed(asking, np.zeros_like) if directions_in(call) else {}
    return asking.again(data=instructed(call.data, instruction, asking.model), **silent)


def _own_question(data: Any) -> tuple[str | None, Mapping[Any, str] | None]:
    """The question that a task asks about its prompts, and the answer that stands for each label, as far as they are known."""
    if not isinstance(data, Pairs):
        return None, None
    known = families()
    judge = known[data.task].judge if data.task in known else None
    labels = {label for each in data for label in (each.label, each.corrupt_label) if label is not None}
    if judge is not None:
        return judge[0], {label: judge[1] if str(label) in ("True", "positive") else judge[2] for label in labels}
    answers = {each.label: str(each.answers[0]) for each in data if each.answers and each.label is not None}
    return ("", answers) if answers else (None, None)


def answered(model: Model, data: Labelled, *, question: str, choices: Mapping[Any, str]) -> Float[np.ndarray, " text"]:
    """Which labels a model names when asked: of all choices, the answer with the highest logit. One pass of all texts."""
    missing = [label for label in data.known if label not in choices]
    if missing:
        raise SettingsError(f"there is no choice for the label {missing[0]!r}")
    if not all(isinstance(text, str) for text in data.texts):
        raise SettingsError("a model is asked in words: these prompts are token ids")
    asked = [f"{text}{question}" for text in data.texts]
    metrics = [metric.logit(answer, name=f"choice{i}") for i, answer in enumerate(choices.values())]
    found = model.run(asked, metrics=metrics).metrics
    logits = np.stack([found[f"choice{i}"].double().cpu().numpy() for i in range(len(choices))], axis=1)
    names = list(choices)
    own = logits[np.arange(len(asked)), [names.index(label) for label in data.labels]]
    return np.asarray(own >= logits.max(1), dtype=float)


def instructed(data: Any, instruction: str, model: Any = None) -> Any:
    """The same prompts after an instruction: of Pairs, or of a dataclass with the field `texts`.

    Raises:
        SettingsError: the prompts are not texts.
    """
    before = instruction + SEPARATOR
    if isinstance(data, Pairs):
        examples = tuple(_instructed(example, before) for example in data.examples)
        plain = replace(data, examples=examples, tokens=None, facts=(*data.facts, f"after the words {instruction!r}"))
        return plain if data.tokens is None else plain.align(model)
    names = {field.name for field in fields(data)} if is_dataclass(data) and not isinstance(data, type) else set()
    if "texts" not in names:
        raise SettingsError(f"data of type {type(data).__name__} have no texts to put words before")
    return replace(data, texts=type(data.texts)(before + text for text in data.texts))


def _instructed(example: Example, before: str) -> Example:
    if not isinstance(example.clean, str) or not isinstance(example.corrupt, str):
        raise SettingsError("words can't be put before token ids")
    places: dict[str, int | Place] = {}
    for name, place in example.positions.items():
        if isinstance(place, int) and place >= 0:
            raise SettingsError(f"position {name!r} is a token's index: give it as characters, or from the end")
        places[name] = place if isinstance(place, int) else _moved(place, len(before))
    changed = {"clean": before + example.clean, "corrupt": before + example.corrupt, "positions": places}
    return example.model_copy(update=changed)


def _moved(place: Place, by: int) -> Place:
    def moved(span: Span) -> Span:
        return span[0] + by, span[1] + by

    return Place(clean=moved(place.clean), corrupt=moved(place.corrupt))


def _predicted(asking: Asking, scorer: Scorer, seed: int) -> Measure:
    """Learned from the texts that the method's direction was learned from, else from the other folds of its own."""
    call = asking.needed_call()
    first = first_learned(call)
    if first is None:
        return _beside(asking, texts.right(_labelled(call), scorer, seed=seed))
    return _beside(asking, texts.transferred(_labelled(first), _labelled(call), scorer))


def _labelled(call: Call) -> Labelled:
    """The texts of a call with what it was told to take for labels."""
    return labelled(_said(call))


def _said(call: Call) -> Any:
    what = told_apart(call.given.get("label"))
    return relabelled(call.data, what) if isinstance(call.data, Pairs) and what is not None else call.data


def _beside(asking: Asking, correct: Float[np.ndarray, " text"]) -> Measure:
    """What is right on the result's own examples: of a pair both texts, or the clean ones, which come first."""
    values = asking.cells.rows
    if values is None or not np.isin(values, (0, 0.5, 1) if asking.about.pairs else (0, 1)).all():
        raise SettingsError("a prediction is compared with a variable that counts each example as right or wrong")
    n = values.shape[1]
    if asking.about.pairs and len(correct) == 2 * n:
        return Measure(one_cell("right", (correct[:n] + correct[n:]) / 2))
    return Measure(one_cell("right", correct[:n] if len(correct) > n else correct))
