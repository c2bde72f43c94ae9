"""The JSON schema of experiments, generated from the models: `python -m assay.experiments.schema [PATH]`.

It is kept in `docs/experiment.schema.json`, and a test fails when that file is not what the models say. It describes the
form that is written. Reading also takes short forms (a text in place of an input, a site's name in place of a capture).
Edits and metrics that hold a Python function are left out: they are never written.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from assay.core.attachments import Attachment
from assay.core.codec import pretty
from assay.core.files import write_text
from assay.experiments.answers import Answers
from assay.experiments.experiment import VERSION, Experiment
from assay.experiments.positions import Indices, Pos

PATH = Path("docs/experiment.schema.json")
"""Where the schema is kept, seen from the root of the repository."""

_LOCAL = ("Call", "CallMetric")
_SHARED: dict[str, Any] = {"Attachment": Attachment, "Answers": Answers | None, "Pos": Pos, "Indices": Indices}
"""Types that occur in many places, by the name under which they are defined once."""


def schema() -> dict[str, Any]:
    """The schema, as JSON Schema 2020-12."""
    made = Experiment.model_json_schema()
    definitions = {name: each for name, each in made.pop("$defs").items() if name not in _LOCAL}
    shared = {name: _plain(TypeAdapter(kind).json_schema(), {}) for name, kind in _SHARED.items()}
    for each in shared.values():
        each.pop("$defs", None)
    choices = {name: each["anyOf"] for name, each in shared.items() if "anyOf" in each}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An experiment of assay",
        **_plain(made, choices),
        "$defs": {name: _tagged(_plain(each, choices)) for name, each in definitions.items()} | shared,
    }
    whole["properties"]["version"]["maximum"] = VERSION
    return whole


def _plain(value: Any, choices: dict[str, Any]) -> Any:
    """The same without titles and without what is never written, shared types by reference."""
    if isinstance(value, list):
        return [_plain(item, choices) for item in value if not _is_local(item)]
    if not isinstance(value, dict):
        return value
    if value.get("title") == "Attachment" and choices:
        return {"$ref": "#/$defs/Attachment"}
    found = {key: _plain(item, choices) for key, item in value.items() if not _is_local(item) and key != "title"}
    for name, anything in choices.items():
        if found.get("anyOf") == anything:
            del found["anyOf"]
            found["$ref"] = f"#/$defs/{name}"
    return found


def _is_local(value: Any) -> bool:
    reference = value.get("$ref") if isinstance(value, dict) else value
    return reference in [f"#/$defs/{name}" for name in _LOCAL]


def _tagged(definition: dict[str, Any]) -> dict[str, Any]:
    """The tag that tells kinds apart is not left out, though each kind has only one."""
    tags = [name for name, each in definition.get("properties", {}).items() if "const" in each]
    return {**definition, "required": [*tags, *definition.get("required", [])]} if tags else definition


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PATH
    write_text(target, pretty(schema()))
    sys.stdout.write(f"{target}\n")
