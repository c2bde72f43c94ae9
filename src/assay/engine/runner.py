"""All runs of one variant of an experiment, for one group of examples of equal length: one plain pass each.

This is the reference that faster schedules are compared with. Runs are made in the order of their sources; a run that
does not vary in a sweep is made once per group and its tensors are kept. Cost: one forward pass per run and variant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from assay.core.errors import ExperimentError
from assay.engine.answers import put_after, summed_logprob
from assay.engine.changes import bind
from assay.engine.edges.binding import attention_for, parted, rewire, sender_sites
from assay.engine.edges.rewire import Rewire
from assay.engine.followed import followed
from assay.engine.frozen import freezing
from assay.engine.hooks import Change
from assay.engine.measures import Measured, Places, compute, take
from assay.engine.narrowed import narrow
from assay.engine.passes import Kept, forward
from assay.engine.reads import Reads
from assay.engine.rows import own_rows
from assay.engine.select import Scope, position_axis
from assay.engine.tally import Tally
from assay.experiments.captures import GradCapture
from assay.experiments.edge_edits import Edges
from assay.experiments.edits import Edit
from assay.experiments.executed import executed as executed
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run
from assay.experiments.site_metrics import SiteMetric
from assay.experiments.sourced_edits import Mean, Patch
from assay.models.network import Network
from assay.models.prompts import Prompts
from assay.models.structure import Site

Means = Mapping[tuple[str, Site, bool], Tensor]


@dataclass
class Runner:
    """The runs of a group. `prompts` are the tokenised inputs by name."""

    network: Network
    experiment: Experiment
    prompts: Mapping[str, Prompts]
    rows: Sequence[int]
    means: Means = field(default_factory=dict)
    wanted: Mapping[str, Iterable[Site]] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    kept: dict[str, Kept] = field(default_factory=dict)
    grads: dict[tuple[str, Site], Tensor] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()
    """What gradients take for constants (`assay.engine.frozen`)."""
    reads: Reads = field(default_factory=Reads)
    """What of their output passes compute."""
    to_output: bool = True
    """Whether runs go on to their output when their gradients need none."""
    _scopes: dict[tuple[str, int], Scope] = field(default_factory=dict)

    def make(self, name: str, run: Run) -> Kept:
        """Make one run; its sources must have been made."""
        keep, attach = self.places(name, run)
        kept = self.kept[name] = self.forward(name, run, keep=keep, attach=attach)
        for metric, captures in _by_metric(run.gradients):
            places = [(c.label, site) for c in captures for site in self.network.sites_named(c.site)]
            found = self._backward(metric, name, run, [kept.sites[site] for _, site in places])
            for place, grad in zip(places, found, strict=True):
                self.grads[place] = torch.zeros_like(kept.sites[place[1]]) if grad is None else grad
        if attach:
            kept.sites = {site: value.detach() for site, value in kept.sites.items()}
            kept.output = None if kept.output is None else kept.output.detach()
        return kept

    def places(self, name: str, run: Run) -> tuple[list[Site], list[Site]]:
        """The sites that are kept of a run's pass, and those from which gradients are taken."""
        attach = [site for capture in run.gradients for site in self.network.sites_named(capture.site)]
        read = [self.site(capture.of.site) for capture in run.gradients if isinstance(capture.of, SiteMetric)]
        return [*self.wanted.get(name, ()), *read], attach

    def _backward(self, metric: Metric, name: str, run: Run, sites: list[Tensor]) -> Sequence[Tensor | None]:
        """Gradients of a metric's sum; None where it does not depend on a tensor."""
        with torch.enable_grad():
            total = self.measure_smooth(metric, name, run).sum()
        self.tally.backward += 1
        if not total.requires_grad:
            return [None] * len(sites)
        return torch.autograd.grad(total, sites, retain_graph=True, allow_unused=True)

    def measure_smooth(self, metric: Metric, name: str, run: Run) -> Tensor:
        """A metric on a run that was made, as something to take derivatives of: [example, …].

        Raises:
            ExperimentError: a metric that counts, or that scores an answer of several tokens.
        """
        if metric.kind in ("rank", "accuracy"):
            raise ExperimentError(f"the metric {metric.kind} counts, so it has no gradient: use logit_diff or logprob.")
        passes = self.tally.passes
        found = self.measure(metric, name, run)
        if self.tally.passes > passes:
            raise ExperimentError(
                f"the metric {metric.kind}: the gradient of an answer of several tokens is not there. Take its first "
                "token, or make the others part of the prompt."
            )
        return found

    def forward(
        self,
        name: str,
        run: Run,
        *,
        keep: Iterable[Site] = (),
        attach: Iterable[Site] = (),
        extra: Tensor | None = None,
    ) -> Kept:
        """One pass of a run; `extra` are further tokens after each prompt."""
        prompts = self.prompts[run.input]
        inputs = prompts.inputs(own_rows(prompts, self.rows))
        if extra is not None:
            inputs = put_after(inputs, extra)
        scope = self.scope(run, 0 if extra is None else extra.shape[1])
        attached, (changes, rewires) = list(attach), self._bound(run.edits, scope)
        self.tally.passes += 1
        self.tally.plain(len(self.rows), scope.tokens)
        keep = list(keep)
        until = self.reads.until(self.network, name, [*keep, *attached]) if extra is None else None
        make = partial(self._pass, run, inputs, changes, rewires, keep, attached, ends=until is not None)
        if until is not None:
            self.tally.ends(until, rows=len(self.rows), tokens=scope.tokens)
            self.tally.unread += len(self.rows) * scope.tokens
            return make()
        read = self.reads.at(name, self.scope_of) if extra is None else None
        self.tally.logits(read, tokens=len(self.rows) * scope.tokens, share=self.reads.share(self.network))
        return narrow(self.network, read, make, tokens=self.reads.tokens)

    def _pass(
        self,
        run: Run,
        inputs: Mapping[str, Tensor],
        changes: Sequence[tuple[Site, Change]],
        rewires: Sequence[Rewire],
        keep: Sequence[Site],
        attached: Sequence[Site],
        *,
        ends: bool,
    ) -> Kept:
        if not attached:
            with attention_for(self.network, rewires, [*keep, *(site for site, _ in changes)]):
                return forward(self.network, inputs, changes, keep, ends=ends)
        frozen = freezing(self.network, self.frozen, [site for site, _ in changes])
        ends |= not self.to_output and all(isinstance(capture.of, SiteMetric) for capture in run.gradients)
        return followed(self.network, inputs, changes, keep, attach=attached, frozen=frozen, ends=ends)

    def changes(self, edits: Iterable[Edit], scope: Scope) -> list[tuple[Site, Change]]:
        """Edits bound to this group, an edit without a layer at every layer that has its site."""
        return self._bound(edits, scope)[0]

    def _bound(self, edits: Iterable[Edit], scope: Scope) -> tuple[list[tuple[Site, Change]], list[Rewire]]:
        """Changes at sites; those that cut edges come last, so that they read what the others made."""
        own, of_edges = parted(edits)
        changes = [(s, bind(edit, s, scope, self)) for edit in own for s in self.network.sites_named(edit.site)]
        rewires = [rewire(self.network, edit, partial(self.value, edit.source)) for edit in of_edges]
        return [*changes, *(change for each in rewires for change in each.changes())], rewires

    def scope(self, run: Run, extra: int = 0) -> Scope:
        """Which examples and tokens a pass of this run covers."""
        if (run.input, extra) not in self._scopes:
            prompts = self.prompts[run.input]
            rows = own_rows(prompts, self.rows)
            length = prompts.lengths[rows[0]]
            named = self.experiment.inputs[run.input].positions
            self._scopes[run.input, extra] = Scope(tuple(rows), length, named, 0, length + extra, len(prompts))
        return self._scopes[run.input, extra]

    def scope_of(self, run: str) -> Scope:
        """The scope of a source's pass."""
        return self.scope(self.experiment.run(run))

    def value(self, run: str, site: Site) -> Tensor:
        """A source's tensor."""
        return self.kept[run].sites[site]

    def mean(self, run: str, site: Site, *, per_position: bool) -> Tensor:
        """A source's mean over all its examples."""
        return self.means[run, site, per_position]

    def site(self, name: str) -> Site:
        """A site by name."""
        return self.network.site(name)

    def measure(self, metric: Metric, name: str, run: Run) -> Tensor:
        """A metric on a run that was made: [example, …]."""
        prompts = self.prompts[run.input]
        ids = prompts.inputs(own_rows(prompts, self.rows)).get("input_ids")
        reading = _Whole(self, self.kept[name], ids, lambda answers: self._continued(name, run, answers))
        given = self.experiment.inputs[run.input]
        measured = Measured(
            reading, self.scope(run), given, self.network.tokenizer, self.site, self.kept[name], self.reads.tokens
        )
        return compute(metric, measured)

    def logits(self, run: str) -> Tensor:
        """The logits of a run that was made."""
        output = self.kept[run].output
        if output is None:
            raise ExperimentError(f"the run {run!r} has no logits to compare with.")
        return output

    def _continued(self, name: str, run: Run, answers: list[tuple[int, ...]]) -> Tensor:
        """Summed log-probability of answers, one pass for each length. Edits stay where they are in the prompt."""
        total = torch.zeros(len(self.rows), dtype=torch.float64)
        prompt = self.scope(run).prompt
        for length in sorted({len(a) for a in answers}):
            longest = [a + a[-1:] * (length - len(a)) for a in answers]  # rows of other lengths: computed, not used
            extra = torch.tensor([a[: length - 1] for a in longest]).reshape(len(answers), length - 1)
            kept = self.forward(name, run, extra=extra if length > 1 else None)
            if kept.output is None:
                raise ExperimentError("several-token answers need a model with logits.")
            scores = summed_logprob(kept.output[:, prompt - 1 :], [a[:length] for a in longest])
            for b, answer in enumerate(answers):
                if len(answer) == length:
                    total[b] = scores[b]
        return total


@dataclass(frozen=True)
class _Whole:
    """A run whose tensors are all there."""

    runner: Runner
    kept: Kept
    ids: Tensor | None
    continued: Callable[[list[tuple[int, ...]]], Tensor]

    def length(self, site: Site | None) -> int | None:
        if site is None:
            output = self.kept.output
            return None if output is None or output.ndim < 3 else output.shape[1]
        axis = position_axis(site.axes)
        return None if axis is None else self.kept.sites[site].shape[axis]

    def output(self, places: Places) -> Tensor:
        assert self.kept.output is not None
        return take(self.kept.output, places)

    def site(self, site: Site, places: Places | None) -> Tensor:
        value, axis = self.kept.sites[site], position_axis(site.axes)
        return value[:, None] if places is None or axis is None else take(value.transpose(1, axis), places)

    def other(self, run: str, places: Callable[[Scope, int], Places]) -> Tensor:
        logits = self.runner.logits(run)
        return take(logits, places(self.runner.scope_of(run), logits.shape[1]))


def _by_metric(grads: Sequence[GradCapture]) -> list[tuple[Metric, list[GradCapture]]]:
    """Captured gradients of the same metric together: they cost one backward pass."""
    found: list[tuple[Metric, list[GradCapture]]] = []
    for capture in grads:
        same = next((captures for metric, captures in found if metric == capture.of), None)
        if same is None:
            found.append((capture.of, [capture]))
        else:
            same.append(capture)
    return found


def needed_sites(
    network: Network, experiment: Experiment, variants: Iterable[Mapping[str, Run]]
) -> dict[str, set[Site]]:
    """For every run, the sites whose tensors other runs, captures or metrics read. `variants` are the runs of each."""
    needed: dict[str, set[Site]] = {}
    seen: dict[tuple[str, int], Run] = {}
    for runs in variants:
        for name, run in runs.items():
            if (name, id(run)) in seen:  # a run that does not vary is the same in all variants
                continue
            seen[name, id(run)] = run
            for edit in run.edits:
                if isinstance(edit, Edges):
                    needed.setdefault(edit.source, set()).update(sender_sites(network, edit))
                elif edit.source_run is not None and not isinstance(edit, Mean):
                    source = edit.source_site if isinstance(edit, Patch) and edit.source_site else edit.site
                    needed.setdefault(edit.source_run, set()).update(network.sites_named(source))
            sites = [c.site for c in run.captures if not isinstance(c, GradCapture)]
            needed.setdefault(name, set()).update(s for c in sites for s in network.sites_named(c))
    for metric in experiment.metrics:
        if isinstance(metric, SiteMetric):
            needed.setdefault(metric.run or experiment.main, set()).add(network.site(metric.site))
    return needed
