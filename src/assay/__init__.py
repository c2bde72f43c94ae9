"""assay: a workbench for mechanistic interpretability.

Names here are loaded when they are first used, so that `import assay` and `assay --help` stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay import data
    from assay.core.errors import AssayError
    from assay.core.result import Result
    from assay.engine.harvest import Harvest
    from assay.engine.model import Model, load
    from assay.engine.run_result import RunResult
    from assay.experiments import capture, edit, metric
    from assay.experiments.experiment import Experiment
    from assay.experiments.runs import Run
    from assay.experiments.sweep import sweep

__version__ = "0.1.0"

_WHERE: dict[str, str] = {
    "AssayError": "assay.core.errors",
    "Experiment": "assay.experiments.experiment",
    "Harvest": "assay.engine.harvest",
    "Model": "assay.engine.model",
    "Result": "assay.core.result",
    "Run": "assay.experiments.runs",
    "RunResult": "assay.engine.run_result",
    "load": "assay.engine.model",
    "sweep": "assay.experiments.sweep",
}
_MODULES = {
    "capture": "assay.experiments.capture",
    "data": "assay.data",
    "edit": "assay.experiments.edit",
    "metric": "assay.experiments.metric",
}

__all__ = [
    "AssayError", "Experiment", "Harvest", "Model", "Result", "Run", "RunResult", "__version__", "capture", "data",
    "edit", "load", "metric", "sweep",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _WHERE:
        raise AttributeError(f"module 'assay' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE, *_MODULES])
