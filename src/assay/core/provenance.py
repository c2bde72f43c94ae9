"""Where a result comes from and what it cost: recorded with every number."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Self

from pydantic import BaseModel, ConfigDict


class Provenance(BaseModel):
    """What made a result."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    model_fingerprint: str | None = None
    """Hash of the model's configuration and weights."""
    model_source: str | None = None
    """What the model was loaded from."""
    experiment_hash: str | None = None
    """Hash of the experiment; None when it holds Python functions."""
    versions: dict[str, str] = {}
    """Versions of assay, torch, transformers and Python."""
    created: str = ""
    """When, in UTC."""
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
        facts: tuple[str, ...] = (),
    ) -> Self:
        """Provenance of something made now, with this environment's versions."""
        return cls(
            model_fingerprint=model_fingerprint,
            model_source=model_source,
            experiment_hash=experiment_hash,
            seed=seed,
            facts=facts,
            versions=versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )


class Cost(BaseModel):
    """What was computed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    passes: int = 0
    """Forward passes."""
    rows: int = 0
    """Examples over all passes."""
    token_layers: int = 0
    """Tokens times layers over all passes."""
    seconds: float = 0.0
    """Wall-clock time."""


def versions() -> dict[str, str]:
    """Versions of what numbers depend on."""
    found = {"python": platform.python_version()}
    for name in ("assay", "torch", "transformers", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
