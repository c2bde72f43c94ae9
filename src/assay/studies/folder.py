"""The run folder: every step's numbers as one tidy Parquet file, what happened as a log, prompts as JSON lines.

    study.yaml                the study in force
    plan.json                 every plan that was frozen, oldest first, with its hash: `plan.read_plan`
    environment.json          {versions, distributions, system, machine, vectors, cpus, threads, accelerator, model: {...}}
    log.jsonl                 {time, event, ...}: plan, estimate (step, seconds, token_layers, bytes: at least), step (step,
                              reused, seconds), interrupted, budget (reason), judged
    prompts/<data>.jsonl      one pair a line: `data.pairs.Pairs.from_jsonl`
    prompts/<data>.all.jsonl  of own prompts, where a rule left some out: all that were taken
    results/<step>.parquet    one row for each number: `RunFolder(root).load(step)`
    kept/<step>/              the files of a result that later steps take and that is more than numbers: a dictionary
    conclusion.json           verdicts, limitations, cost: `conclusion.read_conclusion`
    report.html               made from all of these, and from nothing else

A results file has the columns `variable`, one for each dimension, and `value`, so that DuckDB or pandas read it without
assay. What the rows can't say is in the schema's metadata, under `assay`, as JSON: step, method, its settings and card
(summary, cites, cost, assumes, fails_when), examples (the name of the data set), facts (those that begin with
`core.caveats.MARK` are limitations), provenance, cost, controls (the result beside them), seconds, and the layout. `load`
gives all of it as a StepResult, with `data` an xarray.Dataset. What methods give `Scores` has the one variable `score`
(component, example).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr

from assay.core import codec
from assay.core.errors import StorageError
from assay.core.files import atomic_file, write_text
from assay.studies.environment import now

FORMAT = 1
_KEY = b"assay"


@dataclass(frozen=True)
class StepResult:
    """What a step gave, and what it took to get it."""

    step: str
    key: str
    method: str
    settings: dict[str, Any]
    examples: str
    gives: str
    seconds: float
    created: str
    data: xr.Dataset = field(repr=False)
    facts: tuple[str, ...] = ()
    card: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    controls: dict[str, Any] = field(default_factory=dict)
    """The result beside its controls, as `stats.controls.Comparison.to_json` writes it; empty where none were made."""


@dataclass(frozen=True)
class RunFolder:
    """A run folder on disk."""

    root: Path

    def result_path(self, step: str) -> Path:
        """Where a step's numbers are."""
        return self.root / "results" / f"{step}.parquet"

    def kept_path(self, step: str) -> Path:
        """Where the files are of a step whose result is more than numbers, such as a dictionary's tensors."""
        return self.root / "kept" / step

    def prompts_path(self, data: str) -> Path:
        """Where the prompts of a data set are."""
        return self.root / "prompts" / f"{data}.jsonl"

    def save(self, result: StepResult) -> None:
        """Write a step's result, whole or not at all."""
        meta = {each.name: getattr(result, each.name) for each in fields(result) if each.name != "data"}
        meta |= {"format": FORMAT, "layout": _layout(result.data), "attrs": _plain(result.data.attrs)}
        table = pa.Table.from_pandas(_rows(result.data), preserve_index=False)
        table = table.replace_schema_metadata({_KEY: codec.canonical(_plain(meta)).encode()})
        with atomic_file(self.result_path(result.step)) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def load(self, step: str) -> StepResult:
        """A step's result.

        Raises:
            StorageError: the file is missing, damaged, or from a newer version.
        """
        path = self.result_path(step)
        try:
            table = pq.read_table(path, partitioning=None)
        except (OSError, pa.ArrowInvalid) as error:
            raise StorageError(f"{path} can't be read ({error}). Delete it: the next run makes it again.") from None
        meta = _meta(table.schema, path)
        data = _dataset(table, meta.pop("layout"), meta.pop("attrs"))
        return StepResult(**{**meta, "facts": tuple(meta["facts"]), "data": data})

    def has(self, step: str, key: str) -> bool:
        """Whether the stored result of a step was made from exactly this."""
        path = self.result_path(step)
        if not path.exists():
            return False
        try:
            return bool(_meta(pq.read_schema(path), path)["key"] == key)
        except (OSError, pa.ArrowInvalid, StorageError):
            return False

    def log(self, event: str, **details: Any) -> None:
        """Append a line to the log."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": now(), "event": event, **details}, sort_keys=True) + "\n")

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file."""
        write_text(self.root / name, codec.pretty(content))

    def read_json(self, name: str) -> Any:
        """Read a JSON file.

        Raises:
            StorageError: it is not there.
        """
        try:
            return codec.parse((self.root / name).read_text(encoding="utf-8"), what=str(self.root / name))
        except FileNotFoundError:
            raise StorageError(f"{self.root} has no {name}: run the study first.") from None


def _meta(schema: pa.Schema, path: Path) -> dict[str, Any]:
    if not schema.metadata or _KEY not in schema.metadata:
        raise StorageError(f"{path} was not written by a study run. Move it away: the next run makes it again.")
    meta: dict[str, Any] = codec.parse(schema.metadata[_KEY], what=str(path))
    if meta.pop("format") > FORMAT:
        raise StorageError(f"{path} is from a newer assay: upgrade assay, or run the study again elsewhere.")
    return meta


def _rows(data: xr.Dataset) -> pd.DataFrame:
    """One row for each number of each variable, in the order of its dimensions."""
    frames = []
    for name, array in data.data_vars.items():
        grid = np.indices(array.shape).reshape(array.ndim, array.size)
        columns = {str(dim): _labels(data, str(dim))[grid[axis]] for axis, dim in enumerate(array.dims)}
        values = array.values.astype(float).reshape(-1)
        frames.append(pd.DataFrame({"variable": str(name), **columns, "value": values}))
    table = pd.concat(frames, ignore_index=True)
    names = [name for name in table.columns if name != "value"]
    whole = [dim for dim in map(str, data.sizes) if _labels(data, dim).dtype.kind in "iu" and dim in names]
    return table.astype(dict.fromkeys(whole, "Int64"))[[*names, "value"]]


def _labels(data: xr.Dataset, dim: str) -> np.ndarray:
    return np.asarray(data[dim].values if dim in data.coords else np.arange(data.sizes[dim]))


def _layout(data: xr.Dataset) -> dict[str, Any]:
    return {
        "dims": {str(dim): _plain(_labels(data, str(dim)).tolist()) for dim in data.sizes},
        "along": {
            str(name): {"dims": [str(dim) for dim in coord.dims], "values": _plain(coord.values.tolist())}
            for name, coord in data.coords.items()
            if name not in data.sizes
        },
        "variables": {
            str(name): {"dims": [str(dim) for dim in array.dims], "boolean": array.dtype == bool}
            for name, array in data.data_vars.items()
        },
    }


def _dataset(table: pa.Table, layout: dict[str, Any], attrs: dict[str, Any]) -> xr.Dataset:
    dims = layout["dims"]
    values, names = table.column("value").to_numpy(), np.asarray(table.column("variable").to_pylist())
    variables = {}
    for name, kind in layout["variables"].items():
        shape = tuple(len(dims[dim]) for dim in kind["dims"])
        array = values[names == name].reshape(shape)
        variables[name] = (tuple(kind["dims"]), array.astype(bool) if kind["boolean"] else array)
    along = {name: (tuple(each["dims"]), each["values"]) for name, each in layout["along"].items()}
    return xr.Dataset(variables, coords={**dims, **along}, attrs=attrs)


def _plain(value: Any) -> Any:
    """The same content with numpy's numbers and tuples as JSON has them; NaN, as a missing cost, becomes None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and value != value else value
