"""`assay explain EXPERIMENT.json`: what would running it cost, and is there anything wrong with it?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from assay.app.commands.model_options import AsJson, Batch, Device, Dtype, ModelName, Revision, load_model


def explain(
    experiment: Annotated[Path, typer.Argument(help="The experiment, as `Experiment.save` wrote it.")],
    model: ModelName = None,
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Show what running an experiment will do: passes, rows and token-layers of each run.

    Nothing is run, but everything is checked that can be known before: sites, positions, shapes, answers.

    \b
    Examples:
      assay explain ioi.json
      assay explain ioi.json --model ./my-model --json
    """
    from assay.experiments.experiment import Experiment

    asked = Experiment.load(experiment)
    plan = load_model(model, revision=revision, dtype=dtype, device=device).explain(asked, batch=batch)
    typer.echo(json.dumps(plan.as_data(), indent=2, ensure_ascii=False) if as_json else str(plan).rstrip())
