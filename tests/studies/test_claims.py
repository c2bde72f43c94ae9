"""The claim linter: strong words are found, weak and denied ones are not, and what stands behind a sentence counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.core.errors import StudyError
from assay.studies.conclusion import Conclusion, read_conclusion
from assay.studies.lint.claims import claims_in_file, claims_of_run, macro_name
from assay.studies.lint.prose import sentences, sentences_of
from assay.studies.lint.strong import strong_words
from assay.studies.run import run_study

from .conftest import Lab

STRONG = [
    ("The model knows who is given the drink.", "mind", "knows"),
    ("GPT-2 really understands negation.", "mind", "understands"),
    ("The model's beliefs are stored in layer 5.", "mind", "beliefs"),
    ("Its behaviour is human-like.", "mind", "human-like"),
    ("This proves that heads copy names.", "certain", "proves"),
    ("The answer is always right.", "certain", "always"),
    ("It works on every prompt.", "certain", "on every prompt"),
    ("Head L5.H1 causes the answer.", "cause", "causes"),
    ("These heads are needed.", "cause", "are needed"),
    ("We found the circuit for greater-than.", "unique", "the circuit"),
    ("L3.N7 is the neuron that represents France.", "unique", "the neuron"),
    ("We show that language models copy names.", "general", "language models"),
    ("The MLP plays no role.", "absent", "plays no role"),
    ("The model grasps the syntax of the sentence.", "mind", "grasps"),
    ("The model plans ahead before it answers.", "mind", "plans"),
    ("The network has learned the concept of gender.", "mind", "has learned the concept"),
    ("The probe reveals what the model is thinking.", "mind", "is thinking"),
    ("The model's internal beliefs can be read off.", "mind", "beliefs"),
    ("This demonstrates beyond doubt that head 5.1 copies.", "certain", "beyond doubt"),
    ("The circuit perfectly explains greater-than.", "certain", "perfectly explains"),
    ("The head has nothing to do with the answer.", "absent", "has nothing to do"),
    ("Removing the head has zero effect.", "absent", "has zero effect"),
    ("L7 determines the answer.", "cause", "determines"),
    ("Heads in layer 5 are essential for the task.", "cause", "essential"),
    ("Head 5.1 gives rise to the answer.", "cause", "gives rise to"),
]
WEAK = [
    "Does the model know who is given the drink?",
    "This does not prove that heads copy names.",
    "We test whether the model knows the answer.",
    "Head L5.H1 may cause the answer.",
    "MLPs are never ablated.",
    "One might say “the model knows”.",
    "LLMs are widely used.",
    "Everyone knows that results depend on the seed.",
    "We control for length and make no use of labels.",
    "Patching L5.H1 moves the logit difference by 0.8 [0.7, 0.9].",
    "The circuit that was chosen on other prompts recovers 0.8.",
    "The subject is the last token of every prompt.",
    "A circuit of 26 heads keeps 0.8 of the behaviour.",
    "We train the model on all examples of the training split.",
    "Results for every prompt are in the appendix.",
    "The circuit for comparison is taken from the original paper.",
    "The direction for steering is the difference of means.",
    "The layer norm makes the scale comparable.",
    "To prove the lemma, expand the product.",
    "The only difference between the two prompts is a name.",
    "The seed determines which prompts are drawn.",
    "It is crucial to fix the seed.",
]


@pytest.mark.parametrize(("sentence", "kind", "word"), STRONG)
def test_strong_words_are_found(sentence: str, kind: str, word: str) -> None:
    assert (kind, word) in [(each.kind, each.text) for each in strong_words(sentence, loose=False)]


@pytest.mark.parametrize("sentence", WEAK)
def test_what_is_asked_denied_hedged_or_quoted_passes(sentence: str) -> None:
    assert list(strong_words(sentence, loose=False)) == []


@pytest.fixture
def finished(lab: Lab, tmp_path: Path) -> tuple[Lab, Conclusion]:
    run_study(lab.study, tmp_path, sources=lab.sources)
    return lab, read_conclusion(tmp_path)


def check(finished: tuple[Lab, Conclusion], path: Path, text: str, **cards: Any) -> list[tuple[str, str]]:
    path.write_text(text, encoding="utf-8")
    lab, conclusion = finished
    given = {"first": {"intervenes": False}, "second": {"intervenes": False}} | cards
    found = claims_in_file(path, study=lab.study, conclusion=conclusion, cards=given)
    return [(each.rule, each.level) for each in found]


def test_a_cause_is_well_said_of_what_was_changed(finished: Any, tmp_path: Path) -> None:
    text = "The first head causes the answer (`large`)."
    assert check(finished, tmp_path / "a.md", text) == [("claim: cause", "error")]
    assert check(finished, tmp_path / "a.md", text, first={"intervenes": True}) == []
    other = check(finished, tmp_path / "a.md", text, second={"intervenes": True})
    assert other == [("claim: cause", "error")]  # another hypothesis' step is no excuse


def test_without_a_run_a_cause_is_only_asked_about(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Head L5.H1 causes the answer.")
    (found,) = claims_in_file(tmp_path / "a.txt")
    assert (found.rule, found.level) == ("claim: cause", "warning")


def test_a_sentence_about_what_was_not_supported_must_say_so(finished: Any, tmp_path: Path) -> None:
    outcomes = {each.id: each.outcome for each in finished[1].judgements}
    assert outcomes == {"large": "supported", "small": "refuted"}
    assert check(finished, tmp_path / "a.tex", r"It is small (\numSmall{}).") == [("claim: verdict", "error")]
    assert check(finished, tmp_path / "a.tex", r"That it is small (\numSmallValue) was refuted.") == []
    assert check(finished, tmp_path / "a.tex", r"It is large (\numLarge{}).") == []


def test_an_exploratory_hypothesis_must_be_called_so(finished: Any, tmp_path: Path) -> None:
    lab, conclusion = finished
    later = tuple(each.model_copy(update={"exploratory": True}) for each in conclusion.judgements)
    changed = (lab, conclusion.model_copy(update={"judgements": later}))
    assert check(changed, tmp_path / "a.md", "It is `large`.") == [("claim: exploratory", "warning")]
    assert check(changed, tmp_path / "a.md", "In an exploratory analysis it is `large`.") == []


def test_the_studys_own_text_is_marked(finished: Any) -> None:
    lab, conclusion = finished
    judged = [each.model_copy(update={"statement": "The model knows it."}) for each in conclusion.judgements]
    study = lab.study.model_copy(update={"title": "The circuit for names", "limitations": ("This is clearly weak.",)})
    found = claims_of_run(study, conclusion.model_copy(update={"judgements": tuple(judged)}), {})
    assert [(each.where, each.rule) for each in found] == [
        ("title", "claim: unique"),
        ("hypotheses.large.statement", "claim: mind"),
        ("hypotheses.small.statement", "claim: mind"),
        ("limitations.0", "claim: certain"),
    ]
    assert conclusion.judgements[0].number.text in found[1].problem


def test_code_formulas_comments_and_citations_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("```\nproves\n```\nSee `always` and <!-- never --> [x](proves).\n\nIt proves it.\n")
    lines = ["% proves", "See \\cite{proves} and $always$.", "\\begin{verbatim}never\\end{verbatim}", "It proves it."]
    (tmp_path / "a.tex").write_text("\n".join(lines))
    for name, line in (("a.md", 6), ("a.tex", 4)):
        (found,) = claims_in_file(tmp_path / name)
        assert (found.rule, found.where) == ("claim: certain", f"{name}:{line}")


def test_sentences_know_their_lines_and_marks() -> None:
    first, second = sentences("One is\nhere. And `few_heads` there.\n")
    assert (first.line, first.text, second.line) == (1, "One is here.", 2)
    assert second.codes == {"few_heads"}


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="export it"):
        sentences_of(tmp_path / "a.docx")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(StudyError, match="can't be read as text"):
        sentences_of(tmp_path / "a.txt")


def test_macros_hold_letters_only() -> None:
    assert [macro_name(each) for each in ("few_heads", "h1", "enters_at_s2")] == [
        "numFewHeads",
        "numHOne",
        "numEntersAtSTwo",
    ]
