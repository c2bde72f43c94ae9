"""Options that say on which model a command works, for commands that take one as `--model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from assay.engine.model import Model

ModelName = Annotated[
    str | None,
    typer.Option("--model", help="A hub id, a folder, or a .gguf file; by default the embedded SmolLM2-135M-Instruct."),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub repository.")]
Dtype = Annotated[str | None, typer.Option(help="Cast to float32, bfloat16, ...; by default as stored.")]
Device = Annotated[str | None, typer.Option(help="Where to put it: cpu, cuda, cuda:1, mps.")]
Batch = Annotated[int | None, typer.Option(min=1, help="The most examples in one pass; by default all of one length.")]
EngineName = Annotated[
    Literal["scheduled", "naive", "ray"],
    typer.Option(help="Which engine; the naive one makes a pass for each variant."),
]
PlannedEngine = Annotated[Literal["scheduled", "naive"], typer.Option(help="Which engine's plan to show.")]
Memory = Annotated[
    str | None, typer.Option(help="What batches of variants may take, such as 4GiB; by default half of what is free.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load_model(name: str | None, *, revision: str | None, dtype: str | None, device: str | None) -> Model:
    """The model that the options ask for; only a hub id needs a network."""
    from assay.engine.model import load

    return load(name, revision=revision, dtype=dtype, device=device)
