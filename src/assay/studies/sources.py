"""Where a run's model and prompts come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from assay.data import Pairs, task
from assay.engine.model import load
from assay.studies.exclusions import without_excluded
from assay.studies.own_prompts import own_prompts
from assay.studies.schema import DataSpec, ModelSpec


@dataclass(frozen=True)
class Sources:
    """Where models and prompts come from."""

    model: Callable[[ModelSpec], Any]
    data: Callable[[DataSpec, Any], Any]


def default_sources() -> Sources:
    """Models from `assay.load`, prompts from the task families and the study's own files."""
    return Sources(load_model, make_prompts)


def load_model(spec: ModelSpec) -> Any:
    """The model that a study names."""
    options = {key: value for key in ("revision", "dtype") if (value := getattr(spec, key)) is not None}
    return load(spec.name, **options)


def make_prompts(spec: DataSpec, model: Any) -> Any:
    """The prompts that a study names, in the model's tokens."""
    found = own_prompts(spec).align(model.tokenizer) if spec.task is None else _of_task(spec, spec.task, model)
    return without_excluded(found, spec, model) if spec.exclude else found


def _of_task(spec: DataSpec, name: str, model: Any) -> Pairs:
    return task(
        name,
        n=spec.n,
        seed=spec.seed,
        split=spec.split,
        tokenizer=model.tokenizer,
        templates=spec.templates,
        variant=spec.variant,
    )


def about(model: Any) -> dict[str, Any]:
    """What a reader must know of the model; of a local folder or file only the last part of its path."""
    names = ("fingerprint", "n_layers", "n_heads", "d_model")
    found = {name: getattr(model, name) for name in names if hasattr(model, name)}
    source = getattr(getattr(model, "network", None), "source", None)
    if source is not None:
        found |= {"name": source.name, "kind": source.kind, "revision": source.revision, "facts": list(source.facts)}
        found |= {"dtype": source.dtype, "class": type(model.native).__name__}
    return found
