"""Studies that a Python program makes: the same as from YAML, and never run unasked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.studies.small import model_folder

from assay.app.cli import run
from assay.app.python_study import study_in
from assay.core.errors import StudyError
from assay.studies.conclusion import read_conclusion
from assay.studies.plan import content_of, read_plan
from assay.studies.read import parse_study, read_study

PROGRAM = """\
from pathlib import Path

from assay.studies import Condition, DataSpec, Hypothesis, ModelSpec, Selector, StepSpec, Study

HERE = Path(__file__).parent
(HERE / "ran").touch()
study = Study(
    title="Made",
    question="Is a study from Python the same?",
    model=ModelSpec(name=str(HERE / "model")),
    data={"test": DataSpec(task="ioi", split="test", n=5)},
    steps={"accuracy": StepSpec(method="task_accuracy", data="test")},
    hypotheses=tuple(
        Hypothesis(
            id=f"below_{bound}",
            statement=f"It is right on less than {bound} of ten prompts.",
            quantity=Selector(step="accuracy", variable="correct"),
            prediction=Condition.parse(f"< {bound / 10}"),
            smallest_effect=0.1,
        )
        for bound in (3, 9)
    ),
)
if __name__ == "__main__":
    from assay.studies.report import write_report
    from assay.studies.run import run_study

    (HERE / "main").touch()
    run_study(study, HERE / "run")
    print(write_report(HERE / "run"))
"""
YAML = """\
title: Made
question: Is a study from Python the same?
model: {name: PLACE/model}
data: {test: {task: ioi, split: test, n: 5}}
steps: {accuracy: {method: task_accuracy, data: test}}
hypotheses:
  - id: below_3
    statement: It is right on less than 3 of ten prompts.
    quantity: {step: accuracy, variable: correct}
    prediction: "< 0.3"
    smallest_effect: 0.1
  - id: below_9
    statement: It is right on less than 9 of ten prompts.
    quantity: {step: accuracy, variable: correct}
    prediction: "< 0.9"
    smallest_effect: 0.1
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program beside a model."""
    model_folder(tmp_path / "model")
    path = tmp_path / "made.py"
    path.write_text(PROGRAM)
    return path


@pytest.mark.parametrize("command", ["check", "run"])
def test_without_being_asked_no_command_runs_it(
    command: str, program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["study", command, str(program)]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert "is a Python program" in said and "--python" in said and f"python {program}" in said
    assert not (program.parent / "ran").exists()


def test_it_is_the_study_that_yaml_makes(program: Path) -> None:
    made = study_in(program, python=True)
    written = parse_study(YAML.replace("PLACE", str(program.parent)))
    assert made == written and content_of(made) == content_of(written)
    assert (program.parent / "ran").exists() and not (program.parent / "main").exists()


def test_started_by_itself_it_freezes_reports_and_goes_on(program: Path) -> None:
    """The folder that `python made.py` wrote is gone on with by the command, from the program and from its own study file."""
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    folder = program.parent / "run"
    assert done.stdout.strip() == str(folder / "report.html") and (folder / "report.html").exists()
    first = read_conclusion(folder)
    assert read_plan(folder).hash == first.plan
    assert run(["study", "run", str(program), "--python", "--out", str(folder), "--json"]) == 0
    log = (folder / "log.jsonl").read_text()
    assert log.count('"reused": true') == 1 and log.count('"reused": false') == 1
    assert read_conclusion(folder).judgements == first.judgements
    assert content_of(read_study(folder / "study.yaml")) == content_of(study_in(program, python=True))


def test_what_it_does_wrong_is_said(program: Path) -> None:
    with pytest.raises(StudyError, match="--python is for programs"):
        study_in(program.with_suffix(".yaml"), python=True)
    with pytest.raises(StudyError, match="no such file"):
        study_in(program.with_name("other.py"), python=True)
    program.write_text("study = {'title': 'x'}")
    with pytest.raises(StudyError, match="calls a dict `study`"):
        study_in(program, python=True)
    program.write_text("")
    with pytest.raises(StudyError, match="calls nothing `study`"):
        study_in(program, python=True)
    program.write_text(PROGRAM.replace('f"< {bound / 10}"', '"small"'))
    with pytest.raises(StudyError, match="'small' holds no number"):
        study_in(program, python=True)
    program.write_text(PROGRAM.replace("n=5", "n=0"))
    with pytest.raises(StudyError, match=r"made\.py: n: Input should be greater than 0"):
        study_in(program, python=True)


def test_an_error_of_the_program_keeps_its_place(program: Path) -> None:
    program.write_text("study = 1 / 0")
    with pytest.raises(ZeroDivisionError):
        study_in(program, python=True)
