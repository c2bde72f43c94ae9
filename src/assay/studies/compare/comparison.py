"""All hypotheses of several runs: the numbers, the verdicts, the differences, and which claims hold where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from assay.core.errors import StudyError
from assay.studies.compare.difference import Apart, apart
from assay.studies.compare.runs import Compared
from assay.studies.compare.seeds import AcrossSeeds, across_seeds
from assay.studies.conclusion import Judgement

Where = Literal["everywhere", "somewhere", "nowhere"]
_SAID = ("statement", "prediction", "refuted_if", "smallest_effect")


@dataclass(frozen=True)
class Claim:
    """One hypothesis in every run; None in those that don't ask it."""

    hypothesis: str
    statement: str
    prediction: str
    cells: tuple[Judgement | None, ...]
    supported: tuple[str, ...]
    asked: tuple[str, ...]
    unlike: tuple[str, ...]
    """What the runs don't ask in the same words or numbers."""

    @property
    def where(self) -> Where:
        """Where it holds, among the runs that ask it."""
        return "nowhere" if not self.supported else "everywhere" if self.supported == self.asked else "somewhere"

    @property
    def exploratory(self) -> bool:
        """Whether it was added or changed after the plan was frozen, in any run."""
        return any(each is not None and each.exploratory for each in self.cells)


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side; the first one is what the others are compared with."""

    runs: tuple[Compared, ...]
    claims: tuple[Claim, ...]
    differences: tuple[Apart, ...]
    seeds: tuple[AcrossSeeds, ...]

    def against_first(self, hypothesis: str) -> tuple[Apart, ...]:
        """The differences of a hypothesis from the first run."""
        return tuple(each for each in self.differences if each.hypothesis == hypothesis)

    def over_seeds(self, hypothesis: str) -> tuple[AcrossSeeds, ...]:
        """What it comes to over seeds."""
        return tuple(each for each in self.seeds if each.hypothesis == hypothesis)

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "runs": [each.as_data() for each in self.runs],
            "claims": [_claim_data(each, self.runs) for each in self.claims],
            "differences": [each.as_data() for each in self.differences],
            "seeds": [each.as_data() for each in self.seeds],
        }


def compare(runs: Sequence[Compared]) -> Comparison:
    """Compare finished runs with the first of them. Nothing is run.

    Raises:
        StudyError: there are fewer than two, or they have no hypothesis in common.
    """
    if len(runs) < 2:
        raise StudyError("A comparison needs two runs or more: give run folders or bundles.")
    ids = list(dict.fromkeys(each.id for run in runs for each in run.contents.study.hypotheses))
    claims = tuple(_claim(each, runs) for each in ids)
    if not any(len(each.asked) > 1 for each in claims):
        raise StudyError("The runs have no hypothesis in common: no id is in two of them.")
    differences = tuple(apart(each, runs[0], run) for each in ids for run in runs[1:])
    return Comparison(tuple(runs), claims, differences, across_seeds(runs))


def _claim(hypothesis: str, runs: Sequence[Compared]) -> Claim:
    cells = tuple(run.judged(hypothesis) for run in runs)
    there = [each for each in cells if each is not None]
    first = there[0]
    unlike = tuple(name for name in _SAID if any(getattr(each, name) != getattr(first, name) for each in there))
    asked = tuple(run.name for run, each in zip(runs, cells, strict=True) if each is not None)
    supported = tuple(
        run.name for run, each in zip(runs, cells, strict=True) if each is not None and each.outcome == "supported"
    )
    return Claim(hypothesis, first.statement, first.prediction, cells, supported, asked, unlike)


def _claim_data(claim: Claim, runs: Sequence[Compared]) -> dict[str, Any]:
    cells = {run.name: cell for run, cell in zip(runs, claim.cells, strict=True)}
    return {
        "hypothesis": claim.hypothesis,
        "statement": claim.statement,
        "prediction": claim.prediction,
        "holds": claim.where,
        "supported": list(claim.supported),
        "exploratory": claim.exploratory,
        "unlike": list(claim.unlike),
        "runs": {
            name: None
            if cell is None
            else {
                "outcome": cell.outcome,
                "exploratory": cell.exploratory,
                "number": cell.number.model_dump(mode="json"),
            }
            for name, cell in cells.items()
        },
    }
