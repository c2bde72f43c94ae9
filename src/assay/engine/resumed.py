"""Passes that begin at a site: the rest of the network is run again and again on values that training chooses.

What comes before the site is run once for a batch. Every module that is done by then gives its remembered output in later
passes instead of computing it, so a pass costs what comes after the site, forwards and backwards; weights are at rest, so
gradients flow to the new value alone. Nothing is known of the architecture: a plain module of the user's own will do.
What only skipped modules read is not kept at all: it is replaced by NaN, and if one trial shows that native code reads it
elsewhere, everything is kept.

Memory: about two of the site's tensors for each example. Modules that were called more than once, and those around the
site, are run as ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.core.errors import ExperimentError, SiteError
from assay.engine.changes import Where, parts_of
from assay.engine.followed import followed
from assay.engine.passes import Kept, forward
from assay.engine.prepared import Prepared
from assay.engine.rows import own_rows
from assay.engine.select import Part
from assay.experiments.sourced_edits import Patch
from assay.models.network import Network
from assay.models.ports import Port
from assay.models.structure import Site

BASE = "base"


@dataclass(frozen=True)
class Resumed:
    """One batch of examples, from one place on: its value in the base run and in every source run.

    `base` and `sources` are the place's part of the site's tensor, `[example, …, d]`; `read` runs what comes after.
    """

    rows: tuple[int, ...]
    base: Float[Tensor, "example *any d"]
    sources: Mapping[str, Float[Tensor, "example *any d"]]
    _network: Network = field(repr=False)
    _inputs: Mapping[str, Any] = field(repr=False)
    _whole: Tensor = field(repr=False)
    _part: Part = field(repr=False)
    _sites: tuple[Site, Site | None] = field(repr=False)
    _done: Mapping[str, Any] = field(repr=False)

    def read(self, new: Float[Tensor, "example *any d"]) -> Float[Tensor, "example value"]:
        """The logits after the prompt (or what is at the site that is read), with `new` at the place.

        Differentiable in `new`, where gradients are enabled. Cost: the pass from the site on.
        """
        return _read(self._pass(new), self._sites[1])

    def _pass(self, new: Tensor) -> Kept:
        site, read = self._sites
        changed = self._part.put(self._whole, new)
        keep = [] if read is None else [read]
        gradients = torch.is_grad_enabled()
        with skipping(self._network.native, self._done):
            if gradients:
                return followed(self._network, self._inputs, [(site, lambda _: changed)], keep, ends=bool(keep))
            return forward(self._network, self._inputs, [(site, lambda _: changed)], keep)


def resumed(
    network: Network,
    base: Any,
    sources: Mapping[str, Any],
    *,
    place: Patch,
    batches: Sequence[Sequence[int]] | None = None,
    read: str | None = None,
) -> list[Resumed]:
    """Batches of examples, each ready to be run from `place` on.

    `place` says where by its site, positions and head; it must mean as many positions in each example. `batches` are
    example numbers, None is all examples; one that holds prompts of several lengths is taken apart. `read` is a site to
    read instead of the logits after the prompt.

    Raises:
        SiteError: the place's site is not one site, or can't be changed.
        ExperimentError: the model has no logits, or `place` means different numbers of positions.
    """
    found = network.sites_named(place.site)
    if len(found) != 1:
        raise SiteError(f"{place.site!r} means {len(found)} sites: name the layer of one.")
    if not found[0].writable:
        raise SiteError(f"{place.site!r} can be read and not changed in this model. Choose a writable site.")
    probes = [place.model_copy(update={"source": name}) for name in sources]
    prepared = Prepared.of(network, base, probe=probes, sources=sources)
    read_site = None if read is None else network.site(read)
    wanted = [list(batch) for batch in batches or [[row for rows in prepared.groups() for row in rows]]]
    made = []
    for rows in prepared.groups():
        some = set(rows)
        for batch in wanted:
            if here := [row for row in batch if row in some]:
                made.append(_prepare(prepared, here, place, probes, (found[0], read_site)))
    return made


def _prepare(
    prepared: Prepared, rows: Sequence[int], place: Patch, probes: Sequence[Patch], sites: tuple[Site, Site | None]
) -> Resumed:
    network, (site, read) = prepared.network, sites
    runner = prepared.runner(rows)
    prompts = runner.prompts[prepared.run.input]
    inputs = dict(prompts.inputs(own_rows(prompts, rows)))
    if read is None and network.takes("logits_to_keep"):
        inputs["logits_to_keep"] = 1  # only what is read is unembedded
    recorder = _Recorder(network.native, site.tap.port, site.tap.needs)
    with recorder:
        kept = forward(network, inputs, keep=[site, *([] if read is None else [read])], once=True)
    whole, scope = kept.sites[site], runner.scope(prepared.run)
    parts = parts_of(place, site, whole, scope)
    if len(parts) != 1 or len(parts[0].batch) != len(rows):
        raise ExperimentError(f"{place}: means different numbers of positions in different examples.")
    values = {
        probe.source: Where(parts[0], 0, site, whole, scope, runner).source(probe).clone().detach() for probe in probes
    }
    base = parts[0].get(whole).clone()
    plain = _read(kept, read)
    for done in (recorder.without_inner(), recorder.done):
        made = Resumed(tuple(rows), base, values, network, inputs, whole, parts[0], sites, done)
        if _same(made, plain):
            return made
    return Resumed(tuple(rows), base, values, network, inputs, whole, parts[0], sites, {})


def _same(made: Resumed, plain: Tensor) -> bool:
    """Whether a resumed pass with the base's own value is the plain pass."""
    try:
        with torch.no_grad():
            again = made.read(made.base)
    except RuntimeError:  # native code writes into a tensor that was not kept
        return False
    return again.shape == plain.shape and bool(torch.equal(again, plain))


def _read(kept: Kept, read: Site | None) -> Tensor:
    value = kept.output if read is None else kept.sites[read]
    if value is None or value.ndim not in (2, 3):
        shape = "none" if value is None else str(list(value.shape))
        raise ExperimentError(f"logits after the prompt are wanted, and there are {shape}: name the site that is read.")
    return value if value.ndim == 2 else value[:, -1]


class _Recorder:
    """Hears which modules are done before a port is passed, with what they gave; the outermost ones only."""

    def __init__(self, native: nn.Module, port: Port, needs: Sequence[Port]) -> None:
        self.native, self.port = native, port
        self.around = {path for p in (port, *needs) for path in _ancestors(p.module)}
        self.calls: dict[str, int] = {}
        self.given: dict[str, Any] = {}
        self.versions: dict[str, list[int]] = {}
        self.readers: dict[int, set[str]] = {}
        self.reached = False
        self.handles: list[Any] = []

    def __enter__(self) -> None:
        for path, module in self.native.named_modules():
            if path and not isinstance(module, torch.jit.ScriptModule):
                self.handles.append(module.register_forward_pre_hook(self._before(path), with_kwargs=True))
                self.handles.append(module.register_forward_hook(self._after(path)))

    def __exit__(self, *_: object) -> None:
        while self.handles:
            self.handles.pop().remove()

    def _before(self, path: str) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self.calls[path] = self.calls.get(path, 0) + 1
            for value in (*args, *kwargs.values()):
                if isinstance(value, Tensor):
                    self.readers.setdefault(id(value), set()).add(path)
            if self.port.side != "out" and path == self.port.module:
                self.reached = True

        return hook

    def _after(self, path: str) -> Any:
        def hook(_: nn.Module, args: Any, out: Any) -> None:
            if not self.reached and _rememberable(out):
                self.given[path] = out
                self.versions[path] = _versions(out)
            if self.port.side == "out" and path == self.port.module:
                self.reached = True

        return hook

    @property
    def done(self) -> dict[str, Any]:
        """Outputs of the outermost modules that were done, called once, and do not hold what is tapped.

        What native code has written into since is not what the module gave, and is left out.
        """
        free = {
            path: out
            for path, out in self.given.items()
            if self.calls[path] == 1 and path not in self.around and _versions(out) == self.versions[path]
        }
        return {p: out for p, out in free.items() if not any(a in free for a in _ancestors(p))}

    def without_inner(self) -> dict[str, Any]:
        """The same, with NaN for tensors that only other modules of `done` have read."""
        done = self.done

        def inner(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            readers = self.readers.get(id(value), set())
            if not readers or not all(reader in done or _inside(reader, done) for reader in readers):
                return value
            return torch.full((), float("nan"), dtype=value.dtype, device=value.device).expand(value.shape)

        def each(out: Any) -> Any:
            return inner(out) if isinstance(out, Tensor) else type(out)(inner(value) for value in out)

        return {path: each(out) for path, out in done.items()}


@contextmanager
def skipping(native: nn.Module, done: Mapping[str, Any]) -> Iterator[None]:
    """In this context those modules give what is remembered of them. Their hooks are called as ever."""
    replaced: list[tuple[nn.Module, Any]] = []
    try:
        for path, out in done.items():
            module = native.get_submodule(path)
            replaced.append((module, module.__dict__.get("forward")))
            module.__dict__["forward"] = _giving(out)
        yield
    finally:
        for module, own in replaced:
            if own is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = own


def _giving(out: Any) -> Any:
    """A forward that gives what is remembered. Native code doesn't write into it: `done` has looked."""

    def forward(*_: Any, **__: Any) -> Any:
        return out

    return forward


def _versions(out: Any) -> list[int]:
    """How often the tensors of an output have been written into."""
    return [value._version for value in ([out] if isinstance(out, Tensor) else out) if value is not None]


def _rememberable(out: Any) -> bool:
    plain = type(out) in (tuple, list) and all(value is None or isinstance(value, Tensor) for value in out)
    floating = isinstance(out, Tensor) and out.is_floating_point()
    return floating or (plain and all(value is None or value.is_floating_point() for value in out))


def _ancestors(path: str) -> list[str]:
    names = path.split(".")
    return [".".join(names[:i]) for i in range(1, len(names))]


def _inside(path: str, done: Mapping[str, Any]) -> bool:
    return any(ancestor in done for ancestor in _ancestors(path))
