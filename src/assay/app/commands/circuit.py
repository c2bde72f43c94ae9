"""`assay circuit`: find one with any method that scores edges or nodes, and evaluate one from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.app.commands.model_options import AsJson, Device, Dtype, ModelName, Revision, load_model

if TYPE_CHECKING:
    from assay.data.pairs import Pairs
    from assay.engine.model import Model

circuit = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Find circuits, and measure how faithful they are."
)

Task = Annotated[str | None, typer.Option(help="A task family, such as ioi or greater_than.")]
PairsFile = Annotated[
    Path | None, typer.Option("--pairs", help="Contrast pairs of your own, as JSON lines (see docs/data.md).")
]
Count = Annotated[int, typer.Option("-n", min=2, help="How many prompts of the task.")]
Seed = Annotated[int, typer.Option(help="Which prompts are drawn.")]
Ablation = Annotated[
    str, typer.Option(help="What cut edges carry: counterfactual, mean, resample, zero, or JSON with all details.")
]
Metric = Annotated[str, typer.Option(help="What is measured: logit_diff, prob, ..., or JSON with all details.")]
Picture = Annotated[Path | None, typer.Option("--svg", help="Write a drawing to this file.")]


@circuit.command("find")
def find(
    method: Annotated[str, typer.Argument(help="A method that gives scores; `assay circuit methods` lists them.")],
    out: Annotated[Path, typer.Option(help="The file that the circuit is written to (JSON).")],
    fraction: Annotated[float, typer.Option(help="How many of all scored edges or nodes are taken.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the method, NAME=VALUE; again for each.")
    ] = None,
    absolute: Annotated[
        bool, typer.Option("--absolute/--signed", help="Rank by the size of a score, or what helps most first.")
    ] = True,
    greedy: Annotated[bool, typer.Option("--greedy", help="Take edges from the logits backwards.")] = False,
    task: Task = None,
    pairs: PairsFile = None,
    n: Count = 32,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
    seed: Seed = 0,
    model: ModelName = None,
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Score edges or nodes with a method, and keep the best as a circuit.

    Find on one split and evaluate on another: measured on the prompts it was chosen on, a circuit looks better than it is.

    \b
    Examples:
      assay circuit find head_weight_norms --task ioi --fraction 0.2 --out heads.json
      assay circuit find attribution_patching --task ioi --fraction 0.1 --out ioi.json --svg ioi.svg \\
        --set granularity=head --set ablation=counterfactual --set direction=noise --set metric=logit_diff
    """
    from assay.app.circuit_display import show_found, written
    from assay.core import registry

    found = registry.find(method)
    _scoring(found)
    asked = found.validated(_settings(settings or []))
    loaded = load_model(model, revision=revision, dtype=dtype, device=device)
    prompts = _prompts(loaded, task, pairs, n, split, seed)
    scores = found.run(loaded, prompts, asked)
    choice = {"fraction": fraction, "absolute": absolute, "select": "greedy" if greedy else "top"}
    made = registry.find("choose_circuit").run(loaded, prompts, choice, scores=scores)
    made.save(out)
    show_found(made, str(out), written(picture, made.svg), as_json=as_json)


@circuit.command("evaluate")
def evaluate(
    file: Annotated[Path, typer.Argument(help="A circuit: assay's JSON, or MIB's .json or .pt.")],
    task: Task = None,
    pairs: PairsFile = None,
    n: Count = 32,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    seed: Seed = 0,
    ablation: Ablation = "counterfactual",
    metric: Metric = "logit_diff",
    curve: Annotated[
        bool, typer.Option("--curve", help="Measure circuits of all sizes by the file's scores too: CPR, CMD.")
    ] = False,
    model: ModelName = None,
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    out: Annotated[Path | None, typer.Option(help="A file for the result, such as result.npz.")] = None,
    picture: Annotated[
        Path | None, typer.Option("--svg", help="Write a drawing: of the curve with --curve, else of the circuit.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what a circuit recovers of the behaviour, with intervals, beside random circuits.

    \b
    Examples:
      assay circuit evaluate ioi.json --task ioi
      assay circuit evaluate importances.pt --model gpt2 --task ioi --curve --svg curve.svg
    """
    from assay.app.circuit_display import show, written
    from assay.core import registry
    from assay.core.errors import DataError

    loaded = load_model(model, revision=revision, dtype=dtype, device=device)
    prompts = _prompts(loaded, task, pairs, n, split, seed)
    read = registry.find("read_circuit").run(loaded, prompts, {"path": str(file)})
    if curve and read.scores is None:
        raise DataError(
            f"{file} holds no scores, so circuits of other sizes can't be taken from it: leave out --curve."
        )
    asked = {"ablation": _value(ablation), "metric": _value(metric)}
    result = registry.find("evaluate_circuit").run(loaded, prompts, asked, circuit=read)
    curves = registry.find("circuit_curves").run(loaded, prompts, asked, scores=read.scores) if curve else None
    saved = str((curves or result).save(out)) if out else None
    title = f"What circuits recover: {prompts.task}"
    drawn = written(picture, (lambda: read.curve_svg(curves.data, title=title)) if curves else read.svg)
    show(result, curves, saved=saved, drawn=drawn, as_json=as_json)


@circuit.command("methods")
def list_methods(as_json: AsJson = False) -> None:
    """List the methods that give scores without earlier ones: what `assay circuit find` can run.

    \b
    Example:
      assay circuit methods
    """
    from assay.app.circuit_display import scoring
    from assay.core.registry import methods

    rows = {name: each.summary for name, each in methods().items() if scoring(each)}
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        width = max(map(len, rows))
        typer.echo("\n".join(f"{name:<{width}}  {text}" for name, text in rows.items()))


def _scoring(found: Any) -> None:
    from assay.app.circuit_display import scoring
    from assay.core.errors import SettingsError

    if not scoring(found):
        raise SettingsError(f"{found.name} gives no scores of its own: `assay circuit methods` lists those that do.")


def _settings(given: list[str]) -> dict[str, Any]:
    from assay.core.errors import SettingsError

    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise SettingsError(f"--set {each}: expected NAME=VALUE, such as ablation=counterfactual.")
        found[name.strip()] = _value(value)
    return found


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _prompts(model: Model, task: str | None, file: Path | None, n: int, split: str, seed: int) -> Pairs:
    from assay.core.errors import DataError
    from assay.data import Pairs
    from assay.data import task as make_task

    if (task is None) == (file is None):
        raise DataError("Say on which prompts: either --task NAME or --pairs FILE.")
    if file is not None:
        return Pairs.from_jsonl(file).align(None if model.tokenizer is None else model)
    return make_task(task or "", n=n, split=split, seed=seed, tokenizer=model)
