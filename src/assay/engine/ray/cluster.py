"""Which cluster, and how many workers of what size: what a person says about Ray.

A cluster that is connected already (`ray.init(address=...)`) is used as it is. Without one, `address` or the variable
RAY_ADDRESS says which; without these a cluster of this machine alone is started, and stopped when the work is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Literal, Self

from assay.core.errors import SettingsError
from assay.core.extras import need

if TYPE_CHECKING:
    from assay.engine.ray.pool import Pool


@dataclass
class Ray:
    """Workers on a Ray cluster. As a context, workers keep their model from one experiment to the next.

    with Ray(workers=8) as cluster:
        for experiment in experiments:
            model.measure(experiment, engine=cluster)
    """

    engine: Literal["naive", "scheduled"] = "scheduled"
    """What each worker measures its parts with."""
    workers: int | None = None
    """How many; None is one for each GPU of the cluster, or for every four processors where there is none."""
    cpus: int | None = None
    """Processors of each worker; None is what there is for each, four at most."""
    gpus: float | None = None
    """GPUs of each worker; None is one, if the cluster has any. With several, load the model with a `device_map`."""
    parts: int = 4
    """Parts for each worker: more even out what takes longer, fewer repeat less."""
    retries: int = 3
    """How often a part is run again after its worker died."""
    address: str | None = None
    """The cluster, as `ray.init` takes it; None is the one that is connected, or this machine."""
    _pool: Pool | None = None
    _entered: bool = False

    def __post_init__(self) -> None:
        for name in ("workers", "cpus", "parts"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise SettingsError(f"{name}={value!r} makes no sense: expected a whole number, at least 1.")
        if self.engine not in ("naive", "scheduled"):
            raise SettingsError(f"workers have no engine {self.engine!r}: expected 'naive' or 'scheduled'.")

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        self._let_go()

    @contextmanager
    def pool(self) -> Iterator[Pool]:
        """The workers: new ones, or those of the context that was entered. An error or Ctrl-C ends them all."""
        from assay.engine.ray.pool import Pool

        if self._pool is None:
            ray, started = _connected(self.address)
            self._pool = Pool(ray, self, started=started)
        try:
            yield self._pool
        except BaseException:
            self._let_go()
            raise
        if not self._entered:
            self._let_go()

    def _let_go(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


def _connected(address: str | None) -> tuple[ModuleType, bool]:
    """Ray, connected; and whether that started it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    ray = need("ray", extra="ray", why='engine="ray"')
    if ray.is_initialized():
        return ray, False
    where = address or os.environ.get("RAY_ADDRESS")
    if where is None:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    else:
        ray.init(address=where, log_to_driver=False, logging_level="ERROR")
    return ray, True
