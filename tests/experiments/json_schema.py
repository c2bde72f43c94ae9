"""Enough of JSON Schema to say whether an experiment's JSON is what `docs/experiment.schema.json` describes."""

from __future__ import annotations

import re
from typing import Any

TYPES = {"object": dict, "array": list, "string": str, "null": type(None), "boolean": bool}
KNOWN = {
    "$ref", "$defs", "$schema", "additionalProperties", "anyOf", "const", "default", "description", "discriminator",
    "enum", "items", "maximum", "minimum", "minItems", "minProperties", "oneOf", "pattern", "patternProperties",
    "properties", "required", "title", "type", "minLength", "exclusiveMinimum", "exclusiveMaximum", "prefixItems", "maxItems",
}  # fmt: skip


def unfitting(value: Any, schema: dict[str, Any], root: dict[str, Any], place: str = "") -> list[str]:
    """Where and why a value is not as the schema says; empty if it is."""
    assert set(schema) <= KNOWN, f"the schema uses {set(schema) - KNOWN}, which this check does not know"
    found = []
    if "$ref" in schema:
        found += unfitting(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, place)
    for key, enough in (("anyOf", lambda n: n >= 1), ("oneOf", lambda n: n == 1)):
        if key in schema:
            fitting = [each for each in schema[key] if not unfitting(value, each, root, place)]
            if not enough(len(fitting)):
                found.append(f"{place}: {len(fitting)} of {key} fit")
    if "type" in schema and not _is(value, schema["type"]):
        return [*found, f"{place}: not {schema['type']}"]
    if "const" in schema and value != schema["const"]:
        found.append(f"{place}: not {schema['const']}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place}: not one of {schema['enum']}")
    if isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{place}: out of range")
    if isinstance(value, int | float) and not (
        schema.get("exclusiveMinimum", value - 1) < value < schema.get("exclusiveMaximum", value + 1)
    ):
        found.append(f"{place}: out of range")
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        found.append(f"{place}: too short")
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{place}: not like {schema['pattern']}")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            found.append(f"{place}: too short")
        if len(value) > schema.get("maxItems", len(value)):
            found.append(f"{place}: too long")
        first, rest = schema.get("prefixItems", []), schema.get("items", {})
        for i, item in enumerate(value):
            found += unfitting(item, first[i] if i < len(first) else rest, root, f"{place}.{i}")
    if isinstance(value, dict):
        found += _object(value, schema, root, place)
    return found


def _object(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], place: str) -> list[str]:
    found = [f"{place}: {name} is missing" for name in schema.get("required", []) if name not in value]
    if len(value) < schema.get("minProperties", 0):
        found.append(f"{place}: too few")
    own, patterns, more = (
        schema.get("properties", {}),
        schema.get("patternProperties", {}),
        schema.get("additionalProperties", True),
    )
    for name, item in value.items():
        inner = own.get(name) or next((each for p, each in patterns.items() if re.search(p, name)), None)
        if inner is None and more is False:
            found.append(f"{place}: {name} is not known")
        else:
            inner = inner if inner is not None else more if isinstance(more, dict) else {}
            found += unfitting(item, inner, root, f"{place}.{name}")
    return found


def _is(value: Any, kind: str) -> bool:
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])
