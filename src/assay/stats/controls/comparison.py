"""A result beside its controls: the same quantity for each, with intervals, at the same budget.

The quantity is the mean of the k best cells (of components, or places), each by its mean over examples; a control that runs
the method again has its own k best, as the method would have reported them. Intervals are percentile bootstraps over
examples, in which the best are chosen again, and over seeds or draws where a control has several. The difference is paired
where both have the same examples, and its interval is at the level at which all differences hold together (Bonferroni).

Choosing the best on the examples that measure them makes the result and such a control too high alike; random components
are not chosen, so the difference to them is a little too large, by no more than the largest of that many noisy numbers.

Cost: the method's own for each control that runs it again and each seed; bootstraps of all cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Unpack

import numpy as np

from assay.core.calls import recall
from assay.core.caveats import caveat
from assay.core.claims import Claim
from assay.core.errors import AssayError, SettingsError
from assay.core.protocols import Scores
from assay.stats.bootstrap import Units, bootstrap_statistic
from assay.stats.controls.cells import cells_of
from assay.stats.controls.control import Asked, Asking, Control, Measure, find_control
from assay.stats.controls.defaults import claim_of, controls_for, unclaimed
from assay.stats.controls.learned import seconds_of
from assay.stats.correction import bonferroni_level
from assay.stats.estimate import Estimate
from assay.stats.value import Value

Standing = Literal["ahead", "not told apart", "behind"]


@dataclass(frozen=True)
class Row(Value):
    """One control: its number, and the result's minus it."""

    name: str
    what: str
    estimate: Estimate
    difference: Estimate
    runs: int

    @property
    def standing(self) -> Standing:
        """Where the result stands against it."""
        if self.difference.low > 0:
            return "ahead"
        return "behind" if self.difference.high < 0 else "not told apart"


@dataclass(frozen=True)
class Comparison(Value):
    """A result's number beside its controls'. `skipped`: those that were not made, and why."""

    quantity: str
    result: Estimate
    rows: tuple[Row, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __getitem__(self, control: str) -> Row:
        name = find_control(control).name
        for row in self.rows:
            if row.name == name:
                return row
        reason = dict(self.skipped).get(name, "it was not asked for")
        raise SettingsError(f"{name} is not in this comparison: {reason}.")

    @property
    def stands_out(self) -> bool:
        """Whether the result is ahead of every control that was made, and one was."""
        return bool(self.rows) and all(row.standing == "ahead" for row in self.rows)

    def caveats(self) -> tuple[str, ...]:
        """What limits the claim: controls that come as far, and those that were not made."""
        close = [
            f"{row.what} ({row.name}) gives {row.estimate}, {row.standing} from {self.result}"
            for row in self.rows
            if row.standing != "ahead"
        ]
        return tuple(caveat(text) for text in [*close, *(f"no control {name}: {why}" for name, why in self.skipped)])

    def __str__(self) -> str:
        wide = max((len(row.name) for row in self.rows), default=0) + 2
        lines = [self.quantity, f"  {'result':{wide}} {self.result}"]
        lines += [
            f"  {row.name:{wide}} {row.estimate}; difference {row.difference.text_of_interval()}, {row.standing}"
            for row in self.rows
        ]
        return "\n".join([*lines, *(f"  {name:{wide}} not made: {why}" for name, why in self.skipped)])


def against(value: Any, *names: str, **options: Unpack[Asked]) -> Comparison:
    """A result beside the controls that are named, or beside those that its kind of claim needs.

    Raises:
        SettingsError: a control that was named does not exist or can't be made, or options that are not known.
    """
    unknown = sorted(set(options) - set(Asked.__annotations__))
    if unknown:
        raise SettingsError(f"{unknown[0]!r} can't be said here; there are {', '.join(Asked.__annotations__)}.")
    asking = _asking(value, options)
    wanted = names or _defaults(value)
    made, skipped = _made([find_control(name) for name in dict.fromkeys(wanted)], asking, strict=bool(names))
    own = asking.measure()
    level = options.get("level", 0.95)
    apart = bonferroni_level(level, max(1, len(made)))
    rows = tuple(
        Row(
            control.name,
            control.what,
            _estimated(lambda parts: parts[0], [measures], asking, level),
            _estimated(lambda parts: parts[0] - parts[1], [[own], measures], asking, apart),
            len(measures),
        )
        for control, measures in made
    )
    return Comparison(_quantity(asking), _estimated(lambda parts: parts[0], [[own]], asking, level), rows, skipped)


def _asking(value: Any, options: Asked) -> Asking:
    call = recall(value)
    claim = (
        call.claim if call is not None and isinstance(call.claim, Claim) and "variable" not in options else Claim("")
    )
    options.setdefault("absolute", claim.absolute or isinstance(value, Scores))
    cells = cells_of(value, options.get("variable", claim.variable), at=claim.at)
    return Asking(value, cells, call, options)


def _defaults(value: Any) -> tuple[str, ...]:
    claim = claim_of(value, recall(value))
    if claim is None:
        why = unclaimed(recall(value)) or "its method declares no kind of claim"
        raise SettingsError(f"No controls come by themselves here ({why}): name them, such as 'untrained'.")
    return controls_for(claim)


def _made(
    wanted: Sequence[Control], asking: Asking, *, strict: bool
) -> tuple[list[tuple[Control, list[Measure]]], tuple[tuple[str, str], ...]]:
    """Each control's measures, cheap ones first; those that can't be made, with the reason, if none was named."""
    made, skipped, spent = list[tuple[Control, list[Measure]]](), list[tuple[str, str]](), 0.0
    for control in sorted(wanted, key=lambda each: each.runs_again(asking)):
        try:
            inside = asking.inside(control.name)
        except SettingsError as error:
            skipped += _unmade(control, error, strict=strict)
            continue
        if inside is not None:
            made.append((control, inside))
            continue
        again = control.runs_again(asking)
        runs = asking.options.get("seeds", 1) if again else asking.options.get("draws", 20)
        runs = runs if control.varies else 1
        cost = runs * seconds_of(asking.call) if again and asking.call is not None else 0.0
        if cost and spent + cost > asking.options.get("budget", float("inf")):
            skipped.append(
                (control.name, f"about {cost:.0f} s more than the controls' time of {asking.options['budget']:g} s")
            )
            continue
        first = asking.options.get("seed", 0)
        try:
            made.append((control, [control.make(asking, first + run) for run in range(runs)]))
        except AssayError as error:
            skipped += _unmade(control, error, strict=strict)
        spent += cost
    order = {control.name: i for i, control in enumerate(wanted)}
    return sorted(made, key=lambda pair: order[pair[0].name]), tuple(skipped)


def _unmade(control: Control, error: AssayError, *, strict: bool) -> list[tuple[str, str]]:
    if strict:
        raise SettingsError(f"No control {control.name}: {str(error).rstrip('.')}.") from error
    return [(control.name, str(error))]


def _estimated(
    combined: Callable[[Sequence[float]], float], parts: Sequence[Sequence[Measure]], asking: Asking, level: float
) -> Estimate:
    """A combination of quantities, each the mean of its runs. Examples are drawn once where all have the same number."""
    counts = {measure.cells.n for runs in parts for measure in runs}
    shared = len(counts) == 1
    groups, where = list[Units](), list[tuple[int | None, int | None]]()
    for i, runs in enumerate(parts):
        n = runs[0].cells.n
        examples: int | None = None
        if n is not None:
            examples = where[0][0] if shared and i else len(groups)
            if examples == len(groups):
                clusters = asking.options.get("clusters")
                groups.append(Units(n, tuple(clusters) if clusters is not None and n == asking.cells.n else None))
        several = len(groups) if len(runs) > 1 else None
        if several is not None:
            groups.append(Units(len(runs)))
        where.append((examples, several))

    def statistic(*drawn: np.ndarray) -> float:
        found = []
        for runs, (examples, several) in zip(parts, where, strict=True):
            chosen = range(len(runs)) if several is None else drawn[several].tolist()
            indices = None if examples is None else drawn[examples]
            values = {run: runs[run].of(indices) for run in set(chosen)}
            found.append(float(np.mean([values[run] for run in chosen])))
        return combined(found)

    if not groups:
        value = statistic()
        return Estimate(value, value, value, 0, "exact: one number, no examples are kept", level)
    resamples, seed = asking.options.get("resamples", 1000), asking.options.get("seed", 0)
    found = bootstrap_statistic(statistic, groups, kind="percentile", level=level, resamples=resamples, seed=seed)
    examples_known = [count for count in counts if count is not None]
    repeated = max(len(runs) for runs in parts)
    over = "examples" if examples_known else "runs"
    over += f" and {repeated} runs" if repeated > 1 and examples_known else ""
    n = min(examples_known) if examples_known else repeated
    return replace(found, n=n, method=f"{found.method} over {over}")


def _quantity(asking: Asking) -> str:
    cells, k = asking.cells, min(asking.k, len(asking.cells.names))
    if len(cells.names) == 1:
        return cells.quantity
    size = "size of " if asking.absolute else ""
    if k == len(cells.names):
        return f"{size}{cells.quantity}, mean of all {k}"
    which = f"the {k} largest" if k > 1 else "the largest"
    return f"{size}{cells.quantity}, {'mean of ' if k > 1 else ''}{which} of {len(cells.names)}"
