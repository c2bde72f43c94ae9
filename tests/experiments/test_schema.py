"""The published schema: not stale, and a true description of what is written."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from tests.experiments.json_schema import unfitting
from tests.experiments.strategies import experiments, sweeps

from assay.core.codec import pretty
from assay.experiments.experiment import Experiment
from assay.experiments.schema import PATH, schema

ROOT = Path(__file__).parent.parent.parent
SCHEMA = schema()


def test_the_file_is_what_the_models_say() -> None:
    stale = "docs/experiment.schema.json is stale: python -m assay.experiments.schema"
    assert (ROOT / PATH).read_text(encoding="utf-8") == pretty(SCHEMA), stale


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(experiments() | sweeps())
def test_what_is_written_fits_it(one: Experiment) -> None:
    assert unfitting(json.loads(one.to_json()), SCHEMA, SCHEMA) == []


def test_what_is_refused_does_not_fit_it() -> None:
    good = {"inputs": {"a": {"kind": "texts", "texts": ["b"]}}, "main": "a"}
    assert unfitting(good, SCHEMA, SCHEMA) == []
    for wrong in (
        {"version": 2},
        {"metircs": []},
        {"main": None},
        {"inputs": {}},
        {"metrics": [{"kind": "call"}]},
        {"runs": {"r": {"input": "a", "edits": [{"op": "call", "site": "L0.z", "name": "f"}]}}},
        {"runs": {"r": {"input": "a", "edits": [{"site": "L0.z"}]}}},
    ):
        assert unfitting({**good, **wrong}, SCHEMA, SCHEMA), wrong


def test_every_field_is_described() -> None:
    for name, definition in SCHEMA["$defs"].items():
        for field, each in definition.get("properties", {}).items():
            named_by_its_tag = field in ("op", "kind")
            inner = name in ("Attachment", "ModelInputs") or "$ref" in each
            assert named_by_its_tag or inner or each.get("description"), f"{name}.{field}"
