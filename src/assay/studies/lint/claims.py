"""The claim linter: words stronger than the evidence, in a study's own text and in what people write about it.

What counts as too strong depends on what stands behind the sentence: whether a step that it rests on intervenes (the
method's card), the verdict, the interval, whether the hypothesis was added later. In a user's text a sentence rests on
those hypotheses that it names, by a macro of the LaTeX report (`\\numFewHeads`) or by id in code marks (`few_heads`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.studies.conclusion import Conclusion, Judgement
from assay.studies.lint.finding import Finding
from assay.studies.lint.prose import Sentence, sentences, sentences_of
from assay.studies.lint.strong import Kind, Word, strong_words
from assay.studies.quantity import selectors
from assay.studies.schema import Study

Cards = Mapping[str, Mapping[str, Any]]
_ADMITS = re.compile(
    r"\b(not|no|refut\w*|inconclusive|reject\w*|fail\w*|unclear|undecided|contrary|against|neither|nor|wrong)\b|n['’]t\b",
    re.I,
)
_LATER = re.compile(r"\b(explor\w*|post[- ]?hoc|afterwards|added later|hypothesis[- ]generating)\b", re.I)
ADVICE: dict[Kind, str] = {
    "mind": "Say what it does on which prompts, or which number was found.",
    "certain": "Give the number with its interval and the examples it is over.",
    "cause": "Judge it by a step that intervenes (patching, ablation), or say what is seen and no more.",
    "unique": "Write “a circuit”, “these heads”, or show that nothing else does as well.",
    "general": "Name the models and the task that were studied.",
    "absent": "Say how large an effect the interval rules out.",
}


@dataclass(frozen=True)
class Basis:
    """What stands behind a sentence; None: not known."""

    intervenes: bool | None = None
    methods: tuple[str, ...] = ()
    judged: tuple[Judgement, ...] = ()
    model: str | None = None

    @property
    def supported(self) -> bool:
        """Whether every hypothesis behind it is."""
        return bool(self.judged) and all(each.outcome == "supported" for each in self.judged)


def claims_of_run(study: Study, conclusion: Conclusion, cards: Cards) -> tuple[Finding, ...]:
    """Strong words in the title, the statements, the reasons and the authors' limitations of a finished run."""
    whole = _basis(study, conclusion.judgements, cards)
    found = list(_marked("title", study.title, whole))
    for judged in conclusion.judgements:
        basis = _basis(study, (judged,), cards)
        found += _marked(f"hypotheses.{judged.id}.statement", judged.statement, basis)
    for i, text in enumerate(study.limitations):
        found += [each for each in _marked(f"limitations.{i}", text, whole) if each.rule != "claim: cause"]
    return tuple(found)


def claims_in_file(
    path: Path, *, study: Study | None = None, conclusion: Conclusion | None = None, cards: Cards | None = None
) -> tuple[Finding, ...]:
    """Strong words in a text (.md, .tex, .txt), in the light of a run if one is given.

    Raises:
        StudyError: the file is of another kind, or can't be read.
    """
    judged = () if conclusion is None else conclusion.judgements
    found: list[Finding] = []
    for sentence in sentences_of(path):
        named = tuple(each for each in judged if _names(sentence, each.id))
        if study is None or cards is None:
            basis = Basis()
        elif named:
            basis = _basis(study, named, cards)
        else:
            basis = Basis(_any(cards, study.steps), (), (), str(study.model))
        where = f"{path.name}:{sentence.line}"
        found += [
            _finding(where, word, basis)
            for word in strong_words(sentence.text, loose=False)
            if _too_strong(word, basis)
        ]
        found += _against_the_verdict(where, sentence.text, named)
    return tuple(found)


def macro_name(hypothesis: str) -> str:
    """The name under which the LaTeX report gives a hypothesis' number: letters only."""
    digits = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    words = re.sub(r"\d", lambda match: f"_{digits[int(match[0])]}_", hypothesis).split("_")
    return "num" + "".join(word[:1].upper() + re.sub(r"[^A-Za-z]", "", word[1:]) for word in words if word)


def _basis(study: Study, judged: Sequence[Judgement], cards: Cards) -> Basis:
    ids = {each.id for each in judged}
    steps = [each.step for asked in study.hypotheses if asked.id in ids for each in selectors(asked.quantity)]
    names = list(dict.fromkeys(steps))
    methods = tuple(f"{name} ({study.steps[name].method})" for name in names)
    return Basis(_any(cards, names), methods, tuple(judged), str(study.model))


def _any(cards: Cards, steps: Any) -> bool | None:
    known = [cards[name]["intervenes"] for name in steps if "intervenes" in cards.get(name, {})]
    return any(known) if known else None


def _marked(where: str, text: str, basis: Basis) -> Iterator[Finding]:
    for sentence in sentences(text):
        for word in strong_words(sentence.text):
            if _too_strong(word, basis):
                yield _finding(where, word, basis)


def _too_strong(word: Word, basis: Basis) -> bool:
    """Causes are well said of what was changed; the absence of an effect, of what was judged so."""
    if word.kind == "cause":
        return basis.intervenes is not True
    return not (word.kind == "absent" and basis.supported)


def _finding(where: str, word: Word, basis: Basis) -> Finding:
    level = "error" if word.kind == "cause" and basis.intervenes is False else "warning"
    return Finding(
        rule=f"claim: {word.kind}",
        level="error" if level == "error" else "warning",
        where=where,
        problem=f"“{word.text}” {_reason(word.kind, basis)}",
        advice=ADVICE[word.kind],
    )


def _reason(kind: Kind, basis: Basis) -> str:
    rests = f" ({_numbers(basis.judged)})" if basis.judged and len(basis.judged) <= 2 else ""
    match kind:
        case "mind":
            return f"speaks of a mind; what is known is how often or how strongly something happened{rests}."
        case "certain":
            return f"leaves no doubt, but the evidence is an interval over examples{rests}."
        case "cause":
            if basis.intervenes is False:
                what = ", ".join(basis.methods) or "no step of the study"
                verb = "changes nothing" if basis.methods else "changes anything"
                return f"claims a cause, but {what} {verb} in the network."
            return "claims a cause; which intervention shows it is not known here."
        case "unique":
            return "says that there is no other; that one set was found does not show it."
        case "general":
            return f"speaks of all models; studied was {basis.model or 'what the text names'}."
        case "absent":
            return f"claims that something is not there; a number near zero shows that only within its interval{rests}."


def _numbers(judged: Sequence[Judgement]) -> str:
    return "; ".join(f"{each.id}: {each.number.text}, {each.outcome}" for each in judged)


def _names(sentence: Sentence, hypothesis: str) -> bool:
    return hypothesis in sentence.codes or any(name.startswith(macro_name(hypothesis)) for name in sentence.macros)


def _against_the_verdict(where: str, text: str, named: Sequence[Judgement]) -> Iterator[Finding]:
    """Sentences about hypotheses that do not say how they came out."""
    for each in named:
        if each.outcome != "supported" and not _ADMITS.search(text):
            yield Finding(
                rule="claim: verdict",
                level="error",
                where=where,
                problem=f"the sentence rests on {each.id}, which is {each.outcome} ({each.number.text}; predicted "
                f"{each.prediction}), and does not say so.",
                advice=f"Say that it was {each.outcome}.",
            )
        if each.exploratory and not _LATER.search(text):
            yield Finding(
                rule="claim: exploratory",
                level="warning",
                where=where,
                problem=f"{each.id} was added or changed after the plan was frozen, and the sentence does not say so.",
                advice="Call it exploratory.",
            )
