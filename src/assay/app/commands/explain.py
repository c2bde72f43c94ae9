"""`assay explain EXPERIMENT.json`: what would running it cost, and is there anything wrong with it?"""

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
    Memory,
    ModelName,
    PlannedEngine,
    Revision,
    load_model,
)


def explain(
    experiment: Annotated[Path, typer.Argument(help="The experiment, as `Experiment.save` wrote it.")],
    model: ModelName = None,
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    engine: PlannedEngine = "scheduled",
    memory: Memory = None,
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Show what running an experiment will do: its passes, token-layers, operations, seconds here and memory.

    Everything is checked that can be known before: sites, positions, shapes, answers. Of the model no more than a small
    trial of the schedule is run.

    \b
    Examples:
      assay explain ioi.json
      assay explain ioi.json --model ./my-model --json
    """
    from assay.experiments.experiment import Experiment

    asked = Experiment.load(experiment)
    loaded = load_model(model, revision=revision, dtype=dtype, device=device)
    plan = loaded.explain(asked, engine=engine, memory=memory, batch=batch)
    typer.echo(json.dumps(plan.as_data(), indent=2, ensure_ascii=False) if as_json else str(plan).rstrip())
