"""A study that needs no network: a pretended model, pretended prompts, and two small methods."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import pytest
from tests.studies.replicas import Place, finished

from assay.core import registry
from assay.core.protocols import Scores
from assay.studies.read import parse_study
from assay.studies.run import Sources
from assay.studies.schema import DataSpec, ModelSpec, Study

TEXT = """\
title: Pretended
question: Do the steps work?
data:
  test: {task: pretended, n: 20, split: test}
steps:
  first: {method: measure, data: test, settings: {mean: 2.0}}
  second: {method: double, data: test, needs: {scores: first}}
hypotheses:
  - id: large
    statement: The first part is large.
    quantity: {step: first, coords: {component: L0.H0}}
    prediction: ">= 1"
    smallest_effect: 0.5
    baselines:
      - {name: the other part, quantity: {step: first, coords: {component: L0.H1}}}
  - id: small
    statement: The doubled part is small.
    quantity: {step: second, coords: {component: L0.H0}}
    prediction: "< 1"
    smallest_effect: 0.5
analysis: {control_time: 0}
"""


@dataclass
class Lab:
    """What tests change, and what the methods were called with."""

    study: Study
    calls: list[str] = field(default_factory=list)
    fingerprint: str = "sha256:model"
    before: Callable[[str], None] = lambda name: None

    @property
    def sources(self) -> Sources:
        return Sources(self._model, self._data)

    def _model(self, spec: ModelSpec) -> Any:
        return SimpleNamespace(fingerprint=self.fingerprint, n_layers=1, n_heads=2, tokenizer=None)

    def _data(self, spec: DataSpec, model: Any) -> Any:
        return Prompts(spec.n, spec.seed)


@dataclass
class Prompts:
    n: int
    seed: int

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Any:
        return iter(SimpleNamespace(template=f"t{i % 2}") for i in range(self.n))

    @property
    def hash(self) -> str:
        return f"sha256:{self.n}-{self.seed}"

    def to_jsonl(self, path: Path) -> Path:
        mark = f" of {self.seed}" if self.seed else ""
        lines = [
            {"clean": f"prompt {i}{mark}", "corrupt": f"other {i}", "template": f"t{i % 2}"} for i in range(self.n)
        ]
        path.write_text("\n".join(json.dumps(line) for line in lines))
        return path


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(registry, "_REGISTRY", {})
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    made = Lab(parse_study(TEXT))
    card: dict[str, Any] = {
        "gives": Scores, "cites": "doi:1", "cost": "none", "assumes": "nothing", "fails_when": "asked too much",
    }  # fmt: skip

    @registry.method(**card)
    def measure(model: Any, data: Any, *, mean: Annotated[float, "of the first part"] = 1.0) -> Scores:
        """Measure two parts."""
        made.calls.append("measure")
        made.before("measure")
        rows = np.random.default_rng(data.seed).normal([[mean], [0.0]], 0.5, size=(2, len(data)))
        return Scores.over_examples(["L0.H0", "L0.H1"], rows, "size", facts=["pretended"])

    @registry.method(**card)
    def double(model: Any, data: Any, *, scores: Scores) -> Scores:
        """Double the scores."""
        made.calls.append("double")
        made.before("double")
        assert scores.per_example is not None
        return Scores.over_examples(scores.components, 2 * scores.per_example, "size")

    return made


@pytest.fixture(scope="session")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A finished run of a real, small model, and its bundle."""
    return finished(tmp_path_factory.mktemp("replica"))
