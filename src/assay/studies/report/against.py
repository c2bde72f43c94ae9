"""A step's result beside its controls, as the run stored them: a figure, rows of a table, sentences for and against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from assay.core.caveats import caveats_in
from assay.core.errors import DataError
from assay.stats.controls import Comparison
from assay.studies.folder import StepResult
from assay.studies.report.charts import points
from assay.studies.report.drawn import Drawn

SHORT = {"ahead": "behind", "not told apart": "not told apart", "behind": "ahead"}
SAID = {
    "behind": "behind the result",
    "not told apart": "not told apart from the result",
    "ahead": "ahead of the result",
}
"""Where a control stands, in a table and in a sentence."""


@dataclass(frozen=True)
class Row:
    """One control in words. `stands`: where it stands, seen from the result."""

    name: str
    what: str
    number: str
    difference: str
    stands: str
    passed: bool


@dataclass(frozen=True)
class Beside:
    """The comparison of one step."""

    step: str
    found: Comparison
    only: bool = False
    """Whether the result is of one quantity."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every control that was made."""
        return tuple(
            Row(
                each.name.replace("_", " "), each.what, each.estimate.text_of_interval(), each.difference.text_of_interval(),
                SHORT[each.standing], each.standing == "ahead",
            )
            for each in self.found.rows
        )  # fmt: skip

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Those that were not made, with the reason."""
        return tuple((name.replace("_", " "), why) for name, why in self.found.skipped)

    @property
    def caveats(self) -> tuple[str, ...]:
        """What the run noted of it as caveats of the step: said by `weighed` already."""
        return caveats_in(self.found.caveats())

    def concerns(self, variables: Iterable[str]) -> bool:
        """Whether the controls are of a number that is read from here: scores have one, other results one for each variable."""
        return self.only or self.found.quantity.removeprefix("size of ").partition(",")[0] in set(variables)

    def weighed(self) -> list[tuple[bool, str]]:
        """Whether each control speaks for the result, and the sentence that says it; those not made speak against."""
        missing = [(False, f"Control {name} of step {self.step} was not made: {why}.") for name, why in self.skipped]
        return missing + [
            (
                row.passed,
                f"Control {row.name} of step {self.step} ({row.what}) gives {row.number}, {SAID[row.stands]} "
                f"(difference {row.difference}).",
            )
            for row in self.rows
        ]


def beside(result: StepResult | None) -> Beside | None:
    """A step's comparison; None where no controls were made, or they are of a kind that this assay can't read."""
    if result is None or not result.controls:
        return None
    try:
        return Beside(result.step, Comparison.from_json(result.controls), result.gives == "Scores")
    except DataError:
        return None


def beside_figure(shown: Beside) -> Drawn:
    """The result's number and its controls' on one axis."""
    found = shown.found
    ends = [("result", found.result, 0), *((row.name.replace("_", " "), row.estimate, 2) for row in found.rows)]
    rows = [(name, each.value, each.low, each.high, colour) for name, each, colour in ends]
    quantity = found.quantity[:1].upper() + found.quantity[1:]
    caption = f"{quantity}: the result beside its controls. Intervals: {found.result.level:.0%}."
    return points(rows, caption, ("the same quantity", "Beside its controls"))
