"""Verification: what was found about a bundle, quantity by quantity and verdict by verdict, and its outcome."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from assay.studies.bundle.opened import Bundle, open_bundle
from assay.studies.conclusion import Conclusion, Judgement
from assay.studies.verify.agreement import OTHER_KERNELS, Agreement, numbers_agree, tables_agree
from assay.studies.verify.consistent import problems
from assay.studies.verify.machine import differences
from assay.studies.verify.rerun import Again, Wanted, run_again
from assay.studies.watcher import Watcher

Outcome = Literal["holds", "changed", "not verified"]
UNSAID = "no verdict"
CODES: dict[Outcome, int] = {"holds": 0, "changed": 1, "not verified": 2}


@dataclass(frozen=True)
class VerdictAgain:
    """A verdict then and now."""

    hypothesis: str
    statement: str
    before: str
    after: str
    exploratory: bool

    @property
    def holds(self) -> bool:
        """Whether it is the same."""
        return self.before == self.after


@dataclass(frozen=True)
class Verification:
    """All that was found; without a rerun, `verdicts`, `quantities` and `results` are empty."""

    bundle: str
    title: str
    plan: str
    announced: bool | None = None
    """Whether the plan has the hash that was announced; None: nobody asked."""
    problems: tuple[str, ...] = ()
    """What in the bundle contradicts something else in it."""
    notes: tuple[str, ...] = ()
    ran: bool = False
    another_model: bool = False
    environment: tuple[str, ...] = ()
    """What differs between the two machines and their versions."""
    tolerance: float = 0.0
    verdicts: tuple[VerdictAgain, ...] = ()
    quantities: tuple[Agreement, ...] = ()
    """The hypotheses' numbers, those of their baselines, and those under other choices that were declared."""
    results: tuple[Agreement, ...] = ()
    """Every variable of every step."""
    folder: Path | None = field(default=None)

    @property
    def differing(self) -> tuple[Agreement, ...]:
        """What is neither the same nor within tolerance."""
        return tuple(each for each in (*self.quantities, *self.results) if each.standing == "differs")

    @property
    def outcome(self) -> Outcome:
        """Whether all verdicts hold. A bundle that contradicts itself, or another plan than announced, is not verified."""
        if self.problems or self.announced is False:
            return "not verified"
        return "holds" if all(each.holds for each in self.verdicts) else "changed"

    @property
    def code(self) -> int:
        """The exit code."""
        return CODES[self.outcome]

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "bundle": self.bundle,
            "title": self.title,
            "plan": self.plan,
            "announced": self.announced,
            "outcome": self.outcome,
            "ran": self.ran,
            "another_model": self.another_model,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "environment": list(self.environment),
            "tolerance": self.tolerance,
            "verdicts": [vars(each) | {"holds": each.holds} for each in self.verdicts],
            "quantities": [each.as_data() for each in self.quantities],
            "results": [each.as_data() for each in self.results],
            "folder": None if self.folder is None else str(self.folder),
        }


def check_bundle(path: Path, *, announced: str | None = None) -> Verification:
    """Whether a bundle is whole and agrees with itself. Nothing is run, no model is loaded.

    Raises:
        UnsafeError, StudyError, StorageError: it can't be opened.
    """
    with open_bundle(path) as bundle:
        return Verification(**_about(bundle, announced), problems=problems(bundle), notes=_ignored(bundle))


def verify_bundle(
    path: Path,
    wanted: Wanted | None = None,
    *,
    folder: Path | None = None,
    announced: str | None = None,
    watcher: Watcher | None = None,
) -> Verification:
    """Check a bundle and run its study again, in `folder` (kept, and gone on with) or in one that is removed.

    A bundle that contradicts itself is not run.

    Raises:
        UnsafeError, StudyError, StorageError: it can't be opened, or its study can't be run.
    """
    with open_bundle(path) as bundle:
        about, found = _about(bundle, announced), problems(bundle)
        if found:
            return Verification(**about, problems=found, notes=_ignored(bundle))
        with _place(folder) as place:
            again = run_again(bundle, place, wanted or Wanted(), watcher=watcher)
            return _compared(bundle, again, about, folder)


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory(prefix="assay-again-") as place:
        yield Path(place)


def _about(bundle: Bundle, announced: str | None) -> dict[str, Any]:
    plan, manifest = bundle.contents.plan, bundle.manifest
    hashes = {plan.frozen[0].hash, plan.hash, manifest.announced}
    known = None if announced is None else announced in hashes
    return {"bundle": bundle.name, "title": bundle.contents.study.title, "plan": plan.hash, "announced": known}


def _ignored(bundle: Bundle) -> tuple[str, ...]:
    return tuple(f"{name} is not a file that this assay knows: it was left aside" for name in bundle.ignored)


def _compared(bundle: Bundle, again: Again, about: dict[str, Any], folder: Path | None) -> Verification:
    contents = bundle.contents
    here = again.run.folder.read_json("environment.json")
    apart = differences(contents.environment, here)
    tolerance = 0.0 if again.same_model and not apart else OTHER_KERNELS
    before, after = contents.conclusion, again.run.conclusion
    return Verification(
        **about,
        problems=again.problems,
        notes=(*_ignored(bundle), *again.notes),
        ran=True,
        another_model=not again.same_model,
        environment=apart,
        tolerance=tolerance,
        verdicts=_verdicts(before, after),
        quantities=tuple(_quantities(before, after, tolerance)),
        results=tuple(_results(bundle, again, tolerance)),
        folder=folder,
    )


def _pairs(before: Conclusion, after: Conclusion) -> Iterator[tuple[Judgement, Judgement]]:
    found = {each.id: each for each in after.judgements}
    yield from ((each, found[each.id]) for each in before.judgements)


def _verdicts(before: Conclusion, after: Conclusion) -> tuple[VerdictAgain, ...]:
    """Every verdict, also those under the choices that the study declared."""
    found = []
    for then, now in _pairs(before, after):
        found.append(VerdictAgain(then.id, then.statement, then.outcome, now.outcome, then.exploratory))
        old, new = ({each.name: each.outcome for each in judged.otherwise} for judged in (then, now))
        found += [
            VerdictAgain(
                _under(then, name), then.statement, old.get(name, UNSAID), new.get(name, UNSAID), then.exploratory
            )
            for name in dict.fromkeys([*old, *new])
        ]
    return tuple(found)


def _under(judged: Judgement, choice: str) -> str:
    return f"{judged.id}, under {choice}"


def _quantities(before: Conclusion, after: Conclusion, tolerance: float) -> Iterator[Agreement]:
    for then, now in _pairs(before, after):
        yield numbers_agree(then.id, then.number, now.number, tolerance=tolerance, scale=then.smallest_effect)
        for one, other in zip(then.baselines, now.baselines, strict=True):
            name = f"{then.id}, {one.name}"
            yield numbers_agree(name, one.number, other.number, tolerance=tolerance, scale=then.smallest_effect)
        under = {each.name: each.number for each in now.otherwise}
        for choice in then.otherwise:
            if choice.name in under:
                numbers, scale = (choice.number, under[choice.name]), then.smallest_effect
                yield numbers_agree(_under(then, choice.name), *numbers, tolerance=tolerance, scale=scale)


def _results(bundle: Bundle, again: Again, tolerance: float) -> Iterator[Agreement]:
    for step, before in bundle.contents.results.items():
        after = again.run.results[step].data
        for variable in map(str, before.data.data_vars):
            name = f"{step}.{variable}"
            if variable not in after:
                yield Agreement(name, "differs", "there", "not there", None, "it is there in the bundle only")
            else:
                yield tables_agree(name, before.data[variable], after[variable], tolerance=tolerance)
