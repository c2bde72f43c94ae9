"""What each edit does to the selected part of a site's tensor. One function per operation, in the edits' own order.

A change never writes in place, and gives back the very tensor when it changes nothing, so that no-ops stay no-ops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from assay.core.errors import ExperimentError
from assay.core.seeds import generator
from assay.engine.dictionary import read_dictionary
from assay.engine.hooks import Change
from assay.engine.masking import leaving_a_key, masks_keys
from assay.engine.select import Part, Scope, edit_parts, edited_examples, position_axis
from assay.experiments.edits import Edit
from assay.experiments.given_edits import Add, Call, Clamp, Feature, Noise, ProjectOut, Scale, Set
from assay.experiments.sourced_edits import Mean, Patch, Resample, Swap, SwapFeatures
from assay.models.structure import Site


class Sources(Protocol):
    """Values of other runs."""

    def value(self, run: str, site: Site) -> Tensor:
        """The site's tensor in another run, for the examples of this pass."""

    def mean(self, run: str, site: Site, *, per_position: bool) -> Tensor:
        """The mean over all examples of another run: [...] or [pos, ...]."""

    def site(self, name: str) -> Site:
        """A site by name."""

    def scope_of(self, run: str) -> Scope:
        """The examples and positions of another run."""


def bind(edit: Edit, site: Site, scope: Scope, sources: Sources) -> Change:
    """The edit as a function of the site's tensor, in a pass with this scope."""
    if isinstance(edit, Call):
        return lambda value: _apply_parts(
            value, parts_of(edit, site, value, scope), lambda new, part: part.get(new), edit.function(value)
        )
    operation = OPERATIONS[edit.op]

    def change(value: Tensor) -> Tensor:
        for i, part in enumerate(parts_of(edit, site, value, scope)):
            new = operation(edit, part.get(value), Where(part, i, site, value, scope, sources))
            value = part.put(value, new)
        return value

    return change if not masks_keys(edit, site) else leaving_a_key(edit, change)


class Where:
    """Where an operation takes place: the part of the tensor, and how to see the same part of another run."""

    def __init__(self, part: Part, number: int, site: Site, value: Tensor, scope: Scope, sources: Sources) -> None:
        self.part, self.number, self.site, self.value = part, number, site, value
        self.scope, self.sources = scope, sources

    def source(self, edit: Any, *, order: Sequence[int] | None = None) -> Tensor:
        """The part of the source run's tensor that stands opposite this part; `order` are other examples to take."""
        name, pos = getattr(edit, "source_site", None), getattr(edit, "source_pos", None)
        site = self.site if name is None else self.sources.site(name)
        given = self.sources.value(edit.source, site).to(self.value.device)
        order = range(len(given)) if order is None else order
        given = given if order == range(len(given)) else given[list(order)]
        if self.part.index is None and pos is None:
            return given
        opposite = edit.model_copy(update={"examples": self.part.batch})
        parts = edit_parts(opposite, site.axes, given.shape, self._opposite(edit.source, order), pos)
        if len(parts) != 1:
            raise ExperimentError(f"{edit}: the source selects other numbers of positions than the target.")
        return parts[0].get(given)

    def _opposite(self, run: str, order: Sequence[int]) -> Scope:
        """The source's scope, with the examples numbered as in the batch. A name that it lacks is the target's place."""
        there, here = self.sources.scope_of(run), self.scope
        named = {name: [at[row] for row in here.rows] for name, at in here.named.items()}
        named |= {name: [at[there.rows[b]] for b in order] for name, at in there.named.items()}
        return Scope(tuple(range(len(order))), there.prompt, named, 0, there.prompt, len(order))


def parts_of(edit: Edit, site: Site, value: Tensor, scope: Scope) -> list[Part]:
    """The parts of a site's tensor that an edit means. A source has no tokens after the prompt, so nor has its part."""
    sourced = edit.per_position if isinstance(edit, Mean) else edit.source_run is not None
    if sourced and edit.pos is None and scope.offset + scope.tokens > scope.prompt and position_axis(site.axes):
        edit = edit.model_copy(update={"pos": tuple(range(scope.prompt))})
    return edit_parts(edit, site.axes, value.shape, scope)


def _apply_parts(value: Tensor, parts: list[Part], pick: Callable[[Tensor, Part], Tensor], new: Any) -> Tensor:
    if not isinstance(new, Tensor):
        raise ExperimentError(f"a function edit returned {type(new).__name__}: expected the site's new tensor.")
    if new.shape != value.shape:
        raise ExperimentError(f"a function edit returned shape {tuple(new.shape)}: expected {tuple(value.shape)}.")
    for part in parts:
        value = part.put(value, pick(new, part))
    return value


def fit(given: Tensor, part: Tensor, edit: Edit, where: Where) -> Tensor:
    """A value as the user gave it, broadcast to the selected part; axes selected by one index may be left out of it.

    Its first axis may run over the examples that the edit means; a pass has some of them.
    """
    given = given.to(device=part.device, dtype=part.dtype)
    axes = where.site.axes
    dropped = [i for i, axis in enumerate(axes) if _one_index(edit, axis)]
    kept = len(axes) - len(dropped)
    if 1 < given.ndim <= kept and dropped:
        given = given.reshape((1,) * (kept - given.ndim) + given.shape)
        for i in dropped:
            given = given.unsqueeze(i)
    if axes[0] == "batch" and given.ndim == len(axes) and given.shape[0] > 1:
        place = {example: i for i, example in enumerate(edited_examples(edit, where.scope))}
        given = given[[place[where.scope.rows[b]] for b in where.part.batch]]
    return given.expand(part.shape)


def _one_index(edit: Edit, axis: str) -> bool:
    value = {"pos": edit.pos, "query": edit.pos, "head": edit.head, "kv_head": edit.head}.get(axis)
    return isinstance(value, int | str)


def _set(edit: Set, part: Tensor, where: Where) -> Tensor:
    if edit.value is None:
        raise ExperimentError(f"{edit}: no value was given: expected a number or a tensor.")
    if isinstance(edit.value, float):
        return torch.full_like(part, edit.value)
    return fit(edit.value.tensor, part, edit, where)


def _add(edit: Add, part: Tensor, where: Where) -> Tensor:
    return part + edit.scale * fit(edit.vector.tensor, part, edit, where)


def _scale(edit: Scale, part: Tensor, where: Where) -> Tensor:
    return part * _given(edit, edit.factor, "factor")


def _clamp(edit: Clamp, part: Tensor, where: Where) -> Tensor:
    return part.clamp(edit.min, edit.max) if edit.min is not None or edit.max is not None else part


def _project_out(edit: ProjectOut, part: Tensor, where: Where) -> Tensor:
    basis = _orthonormal(edit.directions.tensor.reshape(-1, part.shape[-1]).T, part)
    return part - (part @ basis) @ basis.T


def _swap(edit: Swap, part: Tensor, where: Where) -> Tensor:
    basis = _orthonormal(edit.basis.tensor.reshape(part.shape[-1], -1), part)
    return part + ((where.source(edit) - part) @ basis) @ basis.T


def _orthonormal(columns: Tensor, like: Tensor) -> Tensor:
    """An orthonormal basis of the columns' span."""
    left, sizes, _ = torch.linalg.svd(columns.to(torch.float64), full_matrices=False)
    kept: Tensor = left[:, sizes > sizes.max() * 1e-10]
    return kept.to(device=like.device, dtype=like.dtype)


def _noise(edit: Noise, part: Tensor, where: Where) -> Tensor:
    """Drawn for each example by its number and for each position, so that it does not depend on what else is in the
    pass: the same in batches, in a selection of positions, and with a cache."""
    std = _given(edit, edit.std, "std")
    axis = position_axis(where.site.axes)
    value = where.value if axis is None else where.value.movedim(axis, 1)
    shape, at = (value.shape[1:], [""]) if axis is None else (value.shape[2:], range(value.shape[1]))
    drawn = torch.zeros(value.shape)
    for b in where.part.batch:
        names = [(str(where.scope.rows[b]), str(p if p == "" else where.scope.offset + int(p))) for p in at]
        each = [torch.randn(shape, generator=generator(edit.seed, str(where.site), *name)) for name in names]
        drawn[b] = each[0] if axis is None else torch.stack(each)
    return part + std * where.part.get(drawn if axis is None else drawn.movedim(1, axis)).to(part)


def _patch(edit: Patch, part: Tensor, where: Where) -> Tensor:
    return where.source(edit).to(part.dtype)


def _mean(edit: Mean, part: Tensor, where: Where) -> Tensor:
    mean = where.sources.mean(edit.over, where.site, per_position=edit.per_position).to(where.value)
    axis = position_axis(where.site.axes)
    if axis is not None and 1 < mean.shape[axis] < where.value.shape[axis]:  # tokens after the prompt: not selected
        missing = where.value.shape[axis] - mean.shape[axis]
        mean = torch.cat([mean, mean.narrow(axis, 0, 1).repeat_interleave(missing, axis)], axis)
    return where.part.get(mean.expand_as(where.value))


def _resample(edit: Resample, part: Tensor, where: Where) -> Tensor:
    n = len(where.scope.rows)
    if n < 2:
        raise ExperimentError(f"{edit}: no other example of the same length to draw from: expected at least two.")
    shift = torch.randint(1, n, (n,), generator=generator(edit.seed, str(where.site), "resample"))
    return where.source(edit, order=((torch.arange(n) + shift) % n).tolist()).to(part.dtype)


def _feature(edit: Feature, part: Tensor, where: Where) -> Tensor:
    return read_dictionary(edit.dictionary).edit(
        part, edit.values, scale=edit.scale, relative=edit.relative, keep_error=edit.keep_error
    )


def _swap_features(edit: SwapFeatures, part: Tensor, where: Where) -> Tensor:
    return read_dictionary(edit.dictionary).swap(part, where.source(edit).to(part), edit.features)


def _given(edit: Edit, value: float | None, name: str) -> float:
    if value is None:
        raise ExperimentError(f"{edit}: no {name} was given: expected a number.")
    return value


OPERATIONS: Mapping[str, Callable[[Any, Tensor, Where], Tensor]] = {
    "set": _set,
    "zero": lambda edit, part, where: torch.zeros_like(part),
    "add": _add,
    "scale": _scale,
    "clamp": _clamp,
    "project_out": _project_out,
    "noise": _noise,
    "feature": _feature,
    "mean": _mean,
    "patch": _patch,
    "freeze": _patch,
    "resample": _resample,
    "swap": _swap,
    "swap_features": _swap_features,
}
