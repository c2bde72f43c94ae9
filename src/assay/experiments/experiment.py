"""An experiment: named runs over named inputs, what is measured on them, and perhaps a sweep. All of it data.

Two experiments with the same content have the same hash, whatever order it was written in. `save` writes readable JSON,
and the tensors beside it in `<path>.safetensors`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from assay.core.attachments import CONTEXT_KEY, attachments_in, pack, unpack
from assay.core.codec import canonical, digest, parse, pretty
from assay.core.errors import AssayError, ExperimentError, StorageError
from assay.core.files import write_bytes, write_text
from assay.experiments.axes import Sweep
from assay.experiments.graph import reaching, topological
from assay.experiments.inputs import AnyInput
from assay.experiments.metric import AnyMetric
from assay.experiments.record import Record
from assay.experiments.runs import Run
from assay.experiments.validation import check_parts, named_metrics

VERSION = 1
"""The version of the format that this assay writes, and the newest that it reads."""


class Experiment(Record):
    """What to run and what to measure."""

    version: int = Field(default=VERSION, ge=1)
    """The version of the format."""
    inputs: Annotated[dict[str, AnyInput], Field(min_length=1)]
    """The inputs by name. A name that an edit or a metric mentions and that is no run's is this input, run as it is."""
    runs: dict[str, Run] = Field(default_factory=dict)
    """The runs by name."""
    metrics: Annotated[tuple[AnyMetric, ...], BeforeValidator(lambda value: named_metrics(value))] = ()
    """What is measured, in order. Each has a name of its own."""
    main: str
    """The run (or input) that metrics read unless they name one, and that a sweep varies."""
    sweep: Sweep | None = None
    """Which coordinates of the edits are varied; None is a single variant."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        check_version(data.get("version", VERSION))
        named = data.get("main") is not None or not (data.get("runs") or data.get("inputs"))
        return data if named else {**data, "main": _main(data)}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_version(self.version)
        check_parts(self)
        self.order()
        return self

    def run(self, name: str) -> Run:
        """The run of that name; for an input's name, a run of it without edits."""
        return self.runs[name] if name in self.runs else Run(input=name)

    def sources(self, name: str) -> tuple[str, ...]:
        """The runs that the run `name` takes values from."""
        return self.run(name).needs

    def order(self) -> tuple[str, ...]:
        """The names of all runs that are needed, inputs run as they are included, each after its sources."""
        read = [name for metric in self.metrics for name in (metric.run, metric.other_run) if name is not None]
        return topological([self.main, *self.runs, *read], self.sources)

    def swept(self) -> tuple[str, ...]:
        """The runs whose edits the sweep fills in."""
        if self.sweep is None:
            return ()
        return self.sweep.runs or (self.main,)

    def varying(self) -> frozenset[str]:
        """The runs that differ between variants: those that are swept and those that take values from them."""
        return reaching(self.swept(), self.order(), self.sources)

    def with_runs(self, runs: Mapping[str, Run]) -> Experiment:
        """A single variant: these runs in place of those of the same names, and no sweep. Nothing is checked again."""
        return self.model_copy(update={"runs": {**self.runs, **runs}, "sweep": None})

    @property
    def local_only(self) -> bool:
        """True if it holds a Python function; then it can be run here, and neither saved nor sent."""
        return bool(self._functions())

    @property
    def hash(self) -> str:
        """`"sha256:..."` of the content."""
        return digest(self._data("hashed"))

    def to_json(self) -> str:
        """Canonical JSON: one line, keys sorted. Tensors are references; `tensors()` has them."""
        return canonical(self._data("written as JSON"))

    def tensors(self) -> dict[str, Tensor]:
        """The tensors inside, by the hash that refers to them in JSON."""
        return {key: found.tensor for key, found in attachments_in(self).items()}

    @classmethod
    def from_json(cls, text: str | bytes, tensors: Mapping[str, Tensor] | None = None) -> Self:
        """Read what `to_json` wrote, with the tensors that it refers to."""
        return cls._from_data(parse(text, what="the experiment"), tensors or {})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write readable JSON to `path` and the tensors to `<path>.safetensors`, each whole or not at all."""
        text, attachments, target = pretty(self._data("saved")), attachments_in(self), Path(path)
        if attachments:
            write_bytes(_beside(target), pack(attachments))
        write_text(target, text)
        if not attachments:
            _beside(target).unlink(missing_ok=True)
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            StorageError: a file is missing or damaged, or from a newer assay.
            ExperimentError: the content contradicts itself.
        """
        source = Path(path)
        try:
            text = source.read_bytes()
            tensors = _beside(source).read_bytes() if _beside(source).exists() else None
        except OSError as error:
            raise StorageError(f"cannot read the experiment {source}: {error.strerror or error}.") from error
        try:
            found = {} if tensors is None else unpack(tensors, what=_beside(source).name)
            return cls._from_data(parse(text, what="the file"), found)
        except AssayError as error:
            raise type(error)(f"{source}: {error}") from error

    @classmethod
    def _from_data(cls, data: Any, tensors: Mapping[str, Tensor]) -> Self:
        if not isinstance(data, dict):
            raise StorageError(f"an experiment is a JSON object, and this is a {type(data).__name__}.")
        return cls.model_validate(data, context={CONTEXT_KEY: tensors})

    def _data(self, done: str) -> dict[str, Any]:
        if functions := self._functions():
            raise ExperimentError(
                f"this experiment cannot be {done}: {' and '.join(functions)} hold a Python function, which is not "
                "data. Use operations that are data (edit.set, edit.patch, metric.logit_diff, …), or run it here."
            )
        return self.model_dump(mode="json")

    def _functions(self) -> list[str]:
        runs = [f"the run {name!r}" for name, run in self.runs.items() if run.local_only]
        return runs + [f"the metric {metric.name!r}" for metric in self.metrics if metric.local_only]


def check_version(version: object) -> None:
    """Refuse a format that is newer than ours."""
    if isinstance(version, int) and version > VERSION:
        raise StorageError(
            f"written by a newer assay: the experiment has format {version}, and this assay reads up to {VERSION}. "
            "Upgrade assay (pip install --upgrade assay)."
        )


def _main(data: Mapping[str, Any]) -> str:
    runs, inputs = list(data.get("runs") or {}), list(data.get("inputs") or {})
    if "main" in runs:
        return "main"
    candidates = runs or inputs
    if len(candidates) != 1:
        raise ExperimentError(
            f"which run is the main one? There are {', '.join(map(repr, candidates)) or 'none'}: give main=, the run "
            "that metrics read and that a sweep varies."
        )
    return str(candidates[0])


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".safetensors")
