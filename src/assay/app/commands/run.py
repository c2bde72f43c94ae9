"""`assay run EXPERIMENT.json`: run it, show its numbers, and keep the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from assay.app.commands.model_options import (
    AsJson,
    Batch,
    Device,
    Dtype,
    EngineName,
    Memory,
    ModelName,
    Revision,
    load_model,
)


def run(
    experiment: Annotated[Path, typer.Argument(help="The experiment, as `Experiment.save` wrote it.")],
    model: ModelName = None,
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for result.npz and a copy of the experiment; by default nothing is kept."),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="A folder where results are kept by what made them: `assay store ls --store FOLDER`."),
    ] = None,
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    engine: EngineName = "scheduled",
    memory: Memory = None,
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Run an experiment, show what it measured, and save the result.

    The table has a line for each metric and capture: its value, or over a sweep its lowest and its highest and where
    they are. `Result.load("FOLDER/result.npz")` gives the whole.

    \b
    Examples:
      assay run ioi.json
      assay run ioi.json --model ./my-model --out runs/ioi --json
      assay run ioi.json --store results --memory 4GiB
    """
    from assay.app.result_display import bar, show, summary
    from assay.app.result_folder import check_folder, write_folder
    from assay.core.progress import listening
    from assay.experiments.experiment import Experiment

    asked = Experiment.load(experiment)
    if out is not None:
        check_folder(out, asked)
    loaded = load_model(model, revision=revision, dtype=dtype, device=device)
    with bar(quiet=as_json) as advance, listening(advance):
        result = loaded.measure(asked, engine=engine, batch=batch, memory=memory, store=store)
    saved = None if out is None else write_folder(out, asked, result)
    if as_json:
        typer.echo(json.dumps({**summary(result), "saved": saved and str(saved)}, indent=2, ensure_ascii=False))
    else:
        show(result, saved)
