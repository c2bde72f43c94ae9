"""Where a result comes from and what it cost: recorded with every number."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field


class Provenance(BaseModel):
    """What made a result."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    model_fingerprint: str | None = None
    """Hash of the model's configuration and weights."""
    model_source: str | None = None
    """What the model was loaded from."""
    experiment_hash: str | None = None
    """Hash of the experiment; None when it holds Python functions."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of assay, torch, transformers, numpy and Python."""
    created: str = ""
    """When, in UTC, as ISO 8601."""
    seed: int | None = None
    """The seed, where there was one."""
    facts: tuple[str, ...] = ()
    """Everything that was done on the way and might matter: casts, added tokens, dequantisation, the engine."""

    @classmethod
    def now(
        cls,
        *,
        model_fingerprint: str | None = None,
        model_source: str | None = None,
        experiment_hash: str | None = None,
        seed: int | None = None,
        facts: Iterable[str] = (),
    ) -> Self:
        """Provenance of something made now, with this environment's versions."""
        return cls(
            model_fingerprint=model_fingerprint,
            model_source=model_source,
            experiment_hash=experiment_hash,
            seed=seed,
            facts=tuple(facts),
            versions=dict(versions()),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def with_facts(self, *facts: str) -> Self:
        """The same with further facts; one that is there already is not repeated."""
        return self.model_copy(update={"facts": tuple(dict.fromkeys((*self.facts, *facts)))})


class Estimate(BaseModel):
    """What should be computed, as it was planned before the first variant."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    token_layers: int
    """Tokens times layers over all passes."""
    flops: float
    """Floating-point operations."""
    seconds: float
    """Time in passes on this machine, from its measured speed."""
    peak_bytes: int
    """Memory beside the model's own."""

    def __add__(self, other: Estimate) -> Estimate:
        """Both together, one after the other."""
        return Estimate(
            token_layers=self.token_layers + other.token_layers,
            flops=self.flops + other.flops,
            seconds=self.seconds + other.seconds,
            peak_bytes=max(self.peak_bytes, other.peak_bytes),
        )


class Cost(BaseModel):
    """What was computed. None is "not measured"."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    passes: int = 0
    """Forward passes."""
    rows: int = 0
    """Examples over all passes."""
    token_layers: int = 0
    """Tokens times layers over all passes."""
    seconds: float = 0.0
    """Wall-clock time."""
    backward_passes: int = 0
    """Backward passes."""
    flops: float | None = None
    """Floating-point operations, counted from what the passes covered."""
    peak_bytes: int | None = None
    """Most memory in use beside what was in use before."""
    estimate: Estimate | None = None
    """What was planned; None where nothing was."""

    def __add__(self, other: Cost) -> Cost:
        """Both together, one after the other: counts add up, of the peaks the higher stays."""
        values = {name: (getattr(self, name), getattr(other, name)) for name in type(self).model_fields}
        return Cost(**{name: _together(name, *pair) for name, pair in values.items()})


def _together(name: str, one: Any, other: Any) -> Any:
    if one is None or other is None:
        return None
    return max(one, other) if name == "peak_bytes" else one + other


@cache
def versions() -> tuple[tuple[str, str], ...]:
    """Versions of what numbers depend on, by name."""
    found = [("python", platform.python_version())]
    for name in ("assay", "torch", "transformers", "numpy"):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "unknown"))
    return tuple(found)
