"""`assay study`: write, check and run a study file, make its report again, and hand it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from assay.app.commands.replication import bundle, compare, verify
from assay.app.commands.study_report import claims, figures, report
from assay.app.commands.study_run import run

study = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Ask a question with hypotheses, and answer it.")


study.command("run")(run)
study.command("report")(report)
study.command("figures")(figures)
study.command("claims")(claims)
study.command("bundle")(bundle)
study.command("verify")(verify)
study.command("compare")(compare)


@study.command("new")
def new(
    path: Annotated[Path, typer.Argument(help="Where to write the study file.")],
    template: Annotated[
        str, typer.Option(help="circuit, replication, negative, probe, monitor, dictionary or steering.")
    ] = "circuit",
    title: Annotated[str | None, typer.Option(help="A short title.")] = None,
    question: Annotated[str | None, typer.Option(help="The question, in words.")] = None,
    task: Annotated[str | None, typer.Option(help="The task family, such as ioi (docs/tasks.md lists them).")] = None,
    n: Annotated[int | None, typer.Option(min=8, help="Examples on which the hypotheses are judged.")] = None,
    seed: Annotated[int, typer.Option(help="Which examples.")] = 0,
    model: Annotated[
        str | None, typer.Option(help="A hub id, a folder or a .gguf file; the embedded one if not.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: defaults for what is not given.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the file's path as JSON; asks nothing.")] = False,
) -> None:
    """Write a study that runs as it stands, and that you then make your own. Asks for what is not given.

    \b
    Examples:
      assay study new studies/agreement.yaml --task agreement
      assay study new studies/absent.yaml --template negative --task greater-than --yes
    """
    from assay.studies.new import QUESTIONS, TASKS, new_study, starter_text

    starter_text(template)  # an unknown starter is refused before anything is asked
    if not (yes or as_json):
        question = question or typer.prompt("What is the question?", default=QUESTIONS[template])
        task = task or typer.prompt("Which task family?", default=TASKS.get(template, "ioi"))
        n = n or typer.prompt("How many held-out examples?", default=96, type=int)
    answers = {"title": title, "question": question, "task": task, "n": n, "model": model}
    given = {name: value for name, value in answers.items() if value is not None}
    new_study(template, path, overwrite=overwrite, seed=seed, **given)
    told = f"{path} is written. Change its predictions, then: assay study check {path}"
    typer.echo(json.dumps({"study": str(path)}) if as_json else told)


@study.command("check")
def check(
    path: Annotated[Path, typer.Argument(help="The study file (YAML, or Python with --python).")],
    python: Annotated[
        bool, typer.Option("--python", help="The file is a Python program: run it, and take what it calls `study`.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what a reviewer would, before anything is computed. Exit code 1 if anything makes a verdict worthless.

    Found are hypotheses in causal words that rest on steps which change nothing, parts that are judged where they were
    found, predictions that can't fail, no baseline, no correction, and too few examples for the smallest effect.

    \b
    Example:
      assay study check examples/ioi/study.yaml
    """
    from assay.app.python_study import study_in
    from assay.app.study_display import show_findings
    from assay.studies.lint import check_study

    findings = check_study(study_in(path, python=python))
    if as_json:
        typer.echo(json.dumps([each.model_dump() for each in findings], indent=2, ensure_ascii=False))
    else:
        show_findings(findings, path)
    if any(each.level == "error" for each in findings):
        raise typer.Exit(1)


@study.command("schema")
def schema(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("study.schema.json"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the file's path as JSON.")] = False,
) -> None:
    """Write the JSON schema of study files, for completion in editors.

    \b
    Example:
      assay study schema studies/study.schema.json
    """
    from assay.core.codec import pretty
    from assay.core.files import write_text
    from assay.studies.json_schema import study_schema

    write_text(path, pretty(study_schema()))
    typer.echo(json.dumps({"schema": str(path)}) if as_json else path)
