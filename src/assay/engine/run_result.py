"""What `model.run` gives back: logits, captured tensors, metrics, and how it came about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import InputError, SiteError, nearest
from assay.engine.prepare import checked, prompts_of
from assay.engine.reads import Reads
from assay.engine.rows import groups, in_order, merge
from assay.engine.runner import Runner, executed, needed_sites
from assay.engine.select import Scope, head_axis, position_axis
from assay.engine.source_means import source_means
from assay.experiments.captures import Capture, GradCapture
from assay.experiments.edits import in_layer, without_layer
from assay.experiments.experiment import Experiment
from assay.experiments.inputs import as_input
from assay.experiments.positions import resolve, resolve_indices
from assay.experiments.runs import Run
from assay.models.network import Network
from assay.models.prompts import Prompts
from assay.models.structure import Site


@dataclass(frozen=True)
class RunResult:
    """A finished run. Index it with a site name or a capture's name."""

    tokens: Prompts
    output: Float[Tensor, "batch pos vocab"] | None
    captured: Mapping[str, Tensor]
    metrics: Mapping[str, Tensor]
    network: Network = field(repr=False)
    facts: tuple[str, ...] = ()
    asked: bool = True
    """Whether its output was asked for."""

    def __repr__(self) -> str:
        length = ", ".join(map(str, sorted(set(self.tokens.lengths))))
        lines = [f"RunResult of {len(self.tokens)} prompt{'s' * (len(self.tokens) > 1)} ({length} tokens)"]
        for name, value in [("output", self.output), *self.captured.items(), *self.metrics.items()]:
            if value is not None:
                number = f" = {value.item():.4g}" if value.numel() == 1 else ""
                lines.append(f"  {name} {list(value.shape)} {str(value.dtype).removeprefix('torch.')}{number}")
        return "\n".join([*lines, *(f"  note: {fact}" for fact in self.facts)])

    @property
    def logits(self) -> Float[Tensor, "batch pos vocab"]:
        """The model's logits (for a model without an output head: its last hidden state)."""
        if not self.asked:
            raise InputError("this run was made with output=False, so that it has no logits: run it without.")
        if self.output is None:
            raise SiteError("this model returned no tensor as its main output: capture a native site instead.")
        return self.output

    def __getitem__(self, name: str | tuple[str, int]) -> Tensor:
        """A captured tensor by its name, `run["L5.resid_post"]`, or by site and layer, `run["resid_post", 5]`."""
        if isinstance(name, tuple):
            name = _in_layer(name)
        if name in self.captured:
            return self.captured[name]
        try:
            canonical = str(self.network.site(name))
        except SiteError:
            canonical = name
        if canonical in self.captured:
            return self.captured[canonical]
        if several := self._in_every_layer(name):
            raise SiteError(
                f"{name!r} was captured in {len(several)} layers: name one, {several[0]!r}, or run.stack({name!r})."
            )
        raise SiteError(
            f"{name!r} was not captured in this run.{nearest(name, self.captured)} Add it to capture=[...]."
        )

    def __contains__(self, name: object) -> bool:
        return name in self.captured

    def __iter__(self) -> Iterator[str]:
        return iter(self.captured)

    def stack(self, name: str) -> Tensor:
        """A site in every layer in which it was captured, as one tensor [layer, batch, …]."""
        several = self._in_every_layer(name)
        if not several:
            raise SiteError(f"{name!r} was captured in no layer of this run.{nearest(name, self.captured)}")
        return torch.stack([self.captured[each] for each in several])

    def _in_every_layer(self, name: str) -> list[str]:
        try:
            sites = self.network.sites_named(name) if without_layer(name) else []
        except SiteError:
            return []
        return [str(site) for site in sites if str(site) in self.captured]

    def top(self, k: int = 5, *, pos: int = -1, row: int = 0) -> list[tuple[str, float]]:
        """The k most probable next tokens at a position of one prompt, with their probabilities."""
        row = resolve_indices(row, size=len(self.tokens), axis="prompt")[0]
        lengths = self.tokens.positions
        at = resolve(pos, length=self.logits.shape[1] if lengths is None else lengths[row])[0]
        if self.tokens.padded is not None and at in self.tokens.padded[row]:
            raise InputError(
                f"position {at} of prompt {row} is padding: its attention_mask is 0 there. Choose another."
            )
        probabilities = torch.softmax(self.logits[row, at].float(), -1)
        best = probabilities.topk(k)
        decode = self.network.tokenizer.decode if self.network.tokenizer else lambda ids: str(ids[0])
        return [(str(decode([int(i)])), float(p)) for p, i in zip(best.values, best.indices, strict=True)]


def _in_layer(given: tuple[object, ...]) -> str:
    """`("resid_post", 5)` → "L5.resid_post"."""
    if len(given) != 2 or not isinstance(given[0], str) or not isinstance(given[1], int):
        raise SiteError(
            f"{given!r} names no site: expected its name, 'L5.pattern', or its name and layer, 'pattern', 5."
        )
    return in_layer(given[0], given[1])


def run_once(
    network: Network,
    inputs: Any,
    *,
    capture: Any = (),
    edits: Any = (),
    metrics: Any = (),
    sources: Mapping[str, Any],
    positions: Mapping[str, Sequence[int]],
    reads: Callable[[Network, Experiment], Reads] | None = None,
    **following: Any,
) -> RunResult:
    """A run as an experiment of one variant. `following` says how gradients are taken, as in `execute`.

    `reads` tells what is computed of an output that nobody but metrics is to see; None is all of it, for the result too.
    """
    run = Run(input="input", edits=edits, captures=capture if not isinstance(capture, str | Capture) else (capture,))
    given = {
        "input": given_input(inputs, positions),
        **{name: given_input(value, {}) for name, value in sources.items()},
    }
    metrics = metrics if isinstance(metrics, Sequence) else (metrics,)
    experiment = Experiment(inputs=given, runs={"main": run}, metrics=metrics, main="main")
    prompts = prompts_of(network, experiment, {"input": inputs, **sources})
    checked(network, experiment, prompts)
    if reads is not None and not run.captures and not experiment.metrics:
        raise InputError(
            "output=False leaves this run nothing to return: capture a site, give a metric, or leave it out."
        )
    read = None if reads is None else reads(network, experiment)
    return execute(network, experiment, prompts, reads=read, **following)


def execute(
    network: Network,
    experiment: Experiment,
    prompts: Mapping[str, Prompts],
    *,
    reads: Reads | None = None,
    frozen: Sequence[str] = (),
    to_output: bool = True,
) -> RunResult:
    """Make all runs of an experiment without a sweep; what the main run kept, for all examples.

    Given `reads`, that is all that is computed of outputs, and the result has none.
    Gradients take what is `frozen` for constant; without `to_output` a pass ends where its gradients need no more.
    """
    order = executed(experiment)
    runs = {name: experiment.run(name) for name in order}
    needed = needed_sites(network, experiment, [runs])
    means = source_means(network, experiment, prompts, [runs])
    used = list(dict.fromkeys(run.input for run in runs.values()))
    outputs: list[tuple[Sequence[int], Tensor | None]] = []
    captured: list[tuple[Sequence[int], list[tuple[str, Site, Tensor]]]] = []
    measured: dict[str, list[tuple[Sequence[int], Tensor]]] = {}
    for rows in groups(prompts, used):
        runner = Runner(
            network, experiment, prompts, rows, means, needed,
            frozen=tuple(frozen), reads=reads or Reads(), to_output=to_output,
        )  # fmt: skip
        for name in order:
            runner.make(name, runs[name])
        main = runs[experiment.main]
        kept = runner.kept[experiment.main]
        outputs.append((rows, kept.output if reads is None else None))
        captured.append((rows, kept_by_captures(network, main, runner, experiment.main)))
        for metric in experiment.metrics:
            name = metric.run or experiment.main
            measured.setdefault(metric.name or metric.kind, []).append((rows, runner.measure(metric, name, runs[name])))
    there = [(rows, t) for rows, t in outputs if t is not None]
    whole = merge(there, ragged=(1,) if there[0][1].ndim > 2 else ()) if len(there) == len(outputs) else None
    tokens = prompts[runs[experiment.main].input]
    return RunResult(
        tokens,
        whole,
        _merged(captured),
        {name: merge(parts, ragged=tuple(range(1, parts[0][1].ndim))) for name, parts in measured.items()},
        network,
        (*network.facts, *tokens.facts),
        reads is None,
    )


def _merged(groups: Sequence[tuple[Sequence[int], list[tuple[str, Site, Tensor]]]]) -> dict[str, Tensor]:
    """What the captures kept of each group of examples, put together; every group has the same, in the same order."""
    if len(groups) == 1 and in_order(groups[0][0]):
        return {label: tensor for label, _, tensor in groups[0][1]}
    rows = [each for each, _ in groups]
    return {
        places[0][0]: merge(
            [(r, t) for r, (_, _, t) in zip(rows, places, strict=True)], ragged=ragged_axes(places[0][1])
        )
        for places in zip(*(kept for _, kept in groups), strict=True)
    }


def ragged_axes(site: Site) -> tuple[int, ...]:
    """The axes of a site along which examples of different length differ."""
    return tuple(i for i, axis in enumerate(site.axes) if axis in ("pos", "query", "key"))


def kept_by_captures(network: Network, run: Run, runner: Runner, name: str) -> list[tuple[str, Site, Tensor]]:
    """What the captures of a run that was made have kept: (label, site, tensor)."""

    def tensor(capture: Capture, site: Site) -> Tensor:
        return runner.grads[capture.label, site] if isinstance(capture, GradCapture) else runner.kept[name].sites[site]

    return captured(network, run, runner.scope(run), tensor)


def captured(
    network: Network, run: Run, scope: Scope, tensor: Callable[[Capture, Site], Tensor]
) -> list[tuple[str, Site, Tensor]]:
    """What a run's captures ask for of tensors that are there: (label, site, tensor)."""
    found = []
    for capture in run.captures:
        sites = network.sites_named(capture.site)
        named, grad = len(sites) == 1 and capture.name, isinstance(capture, GradCapture)
        for site in sites:
            label = capture.label if named else f"grad.{site}" if grad else str(site)
            found.append((label, site, selected(tensor(capture, site), capture, site, scope)))
    return found


def selected(tensor: Tensor, capture: Capture, site: Site, scope: Scope) -> Tensor:
    """The positions and heads that a capture asks for, in its dtype; one index keeps its axis."""
    if capture.pos is not None and (axis := position_axis(site.axes)) is not None:
        chosen = [scope.positions(capture.pos, row, tensor.shape[axis]) for row in scope.rows]
        tensor = torch.stack(
            [tensor[b].index_select(axis - 1, torch.tensor(p, device=tensor.device)) for b, p in enumerate(chosen)]
        )
    if capture.head is not None and (heads := head_axis(site.axes)) is not None:
        index = resolve_indices(capture.head, size=tensor.shape[heads], axis="head")
        tensor = tensor.index_select(heads, torch.tensor(index, device=tensor.device))
    return tensor if capture.dtype is None else tensor.to(getattr(torch, capture.dtype))


def given_input(value: Any, positions: Mapping[str, Sequence[int]]) -> Any:
    """An input as a person gives it, with its named positions."""
    if isinstance(value, Prompts):
        value = dict(value.tensors) if value.tensors is not None else [list(r) for r in value.rows]
    return as_input(value, **({"positions": {k: tuple(v) for k, v in positions.items()}} if positions else {}))
