"""Workers and what they are doing: hands out tasks, takes results in, replaces workers that died.

A worker that dies (killed, out of memory, its machine gone) is replaced by a new one, and its task is run again, up to
`retries` times. An error that a task raises is no death: it is raised here, as it would have been without a cluster.
Closing the pool ends every worker whatever it is doing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from types import ModuleType
from typing import TYPE_CHECKING, Any

from assay.core.errors import AssayError, ExperimentError
from assay.engine.memory import SHARE
from assay.engine.ray.parcel import Parcel
from assay.engine.ray.worker import Worker
from assay.models.network import Network

if TYPE_CHECKING:
    from assay.engine.ray.cluster import Ray

THREADS = 4
"""Processors of a worker without a GPU: more add little to one forward pass."""

EVERY = 1.0
"""Seconds after which waiting looks up, so that Ctrl-C is heard."""


@dataclass(frozen=True)
class Task:
    """A call of a worker's method. `what` names it in errors."""

    method: str
    arguments: tuple[Any, ...]
    what: str


@dataclass(eq=False)
class _Hand:
    """A worker, and whether it has its model or is opening it."""

    actor: Any
    ready: bool = False
    opening: Any = None


@dataclass
class Pool:
    """Workers with one model."""

    ray: ModuleType
    asked: Ray
    started: bool
    """Whether closing the pool also ends the connection."""
    facts: list[str] = field(default_factory=list)
    """What happened since workers were last asked for, and might matter."""
    hands: list[_Hand] = field(default_factory=list, repr=False)
    parcel: Any = None
    """The model in the object store."""
    fingerprint: str = ""
    by_source: bool = False
    """Whether workers load the model themselves."""
    deaths: int = 0

    def hire(self, network: Network, *, most: int) -> int:
        """Have workers with this model, `most` at most; gives their number."""
        self.facts, self.deaths, self.network = [], 0, network
        parcel = Parcel.by_source(network) or Parcel.from_memory(network)
        if parcel.fingerprint != self.fingerprint:
            self.parcel, self.fingerprint = self.ray.put(parcel), parcel.fingerprint
            self.by_source = parcel.native is None
            for hand in self.hands:  # a worker does what it is told in order, so what it is opening now is closed again
                hand.ready, hand.opening = False, None
        while len(self.hands) < min(self.size[0], most):
            self.hands.append(self._new())
        return len(self.hands)

    @property
    def size(self) -> tuple[int, int, float]:
        """Workers, and the processors and GPUs of each.

        Raises:
            ExperimentError: a worker that is larger than the cluster.
        """
        asked, there = self.asked, self.ray.cluster_resources()
        have_cpus, have_gpus = int(there.get("CPU", 0)), float(there.get("GPU", 0))
        gpus = asked.gpus if asked.gpus is not None else float(min(1, have_gpus))
        workers = asked.workers or (int(have_gpus // gpus) if gpus else ceil(have_cpus / THREADS)) or 1
        cpus = asked.cpus or max(1, min(THREADS, have_cpus // workers))
        if self.started and (cpus > have_cpus or gpus > have_gpus):
            raise ExperimentError(
                f"a worker of {cpus} processors and {gpus:g} GPUs was asked for, and the cluster has {have_cpus} and "
                f"{have_gpus:g}: ask for less, or name a larger cluster with address=."
            )
        return workers, cpus, gpus

    @property
    def share(self) -> float | None:
        """The part of what is free of a machine's memory that each worker may take; None where it has a GPU's."""
        workers, _, gpus = self.size
        machines = sum(1 for node in self.ray.nodes() if node["Alive"])
        return None if gpus else SHARE / ceil(workers / machines)

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Any]]:
        """The number and the result of each task, as they come.

        Raises:
            AssayError: what a task raised; or the workers of a task died again and again.
        """
        waiting, deaths, left = deque(range(len(tasks))), Counter[int](), len(tasks)
        busy: dict[Any, tuple[_Hand, int | None]] = {h.opening: (h, None) for h in self.hands if h.opening is not None}
        idle = [hand for hand in self.hands if hand.opening is None]
        while left:
            while idle and waiting:
                hand = idle.pop()
                if hand.ready:
                    number = waiting.popleft()
                    call = getattr(hand.actor, tasks[number].method)
                    busy[call.remote(*tasks[number].arguments)] = hand, number
                else:
                    hand.opening = hand.actor.load.remote(self.parcel)
                    busy[hand.opening] = hand, None
            for future in self.ray.wait(list(busy), num_returns=1, timeout=EVERY)[0]:
                hand, at = busy.pop(future)
                try:
                    found = self._taken(future)
                except self._death as error:
                    idle.append(self._replaced(hand))
                    if at is None:
                        self._refuse_more("opening the model", self.deaths, error)
                    else:
                        waiting.appendleft(at)
                        deaths[at] += 1
                        self._refuse_more(tasks[at].what, deaths[at], error)
                    continue
                idle.append(hand)
                if at is None:
                    self._opened(hand, found)
                else:
                    left -= 1
                    yield at, found

    def close(self) -> None:
        """End every worker, and the connection if it was made for this."""
        self._dismiss()
        if self.started:
            self.ray.shutdown()

    def _dismiss(self) -> None:
        while self.hands:
            self.ray.kill(self.hands.pop().actor, no_restart=True)

    def _new(self) -> _Hand:
        _, cpus, gpus = self.size
        actor = self.ray.remote(Worker).options(num_cpus=cpus, num_gpus=gpus, max_restarts=0)
        return _Hand(actor.remote(cpus))

    def _taken(self, future: Any) -> Any:
        """A result. An error of the task is raised as itself."""
        try:
            return self.ray.get(future)
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, AssayError):
                raise error.cause from None
            raise

    @property
    def _death(self) -> tuple[type[Exception], ...]:
        """What says that a worker is no more."""
        names = ("RayActorError", "WorkerCrashedError", "NodeDiedError", "ObjectLostError", "OutOfMemoryError")
        return tuple(getattr(self.ray.exceptions, name) for name in names)

    def _opened(self, hand: _Hand, why_not: str | None) -> None:
        """A worker has its model, or can't load it from its source: then it gets it from here."""
        hand.opening, hand.ready = None, why_not is None
        if why_not is not None and self.by_source:
            self.parcel, self.by_source = self.ray.put(Parcel.from_memory(self.network)), False
            self.facts.append(f"the model was sent to the workers from memory: {why_not}")

    def _replaced(self, hand: _Hand) -> _Hand:
        self.deaths += 1
        new = _Hand(None)
        self.hands[self.hands.index(hand)] = new
        self.ray.kill(hand.actor, no_restart=True)
        new.actor = self._new().actor
        return new

    def _refuse_more(self, what: str, times: int, error: Exception) -> None:
        if times > self.asked.retries:
            raise ExperimentError(
                f"workers died {times} times while {what}: {str(error).splitlines()[0]} Most often memory ran out: make "
                "parts smaller (batch=, or Ray(parts=...)), or have fewer workers on a machine."
            ) from None
