"""The whole examination of one architecture, as one row that is the same on every machine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.conformance import coverage, zoo
from tests.conformance.caching import cached_generation, cached_values
from tests.conformance.gradients import gradients_agree
from tests.conformance.identities import IDENTITIES, INDIRECT, Finding
from tests.conformance.interventions import INTERVENTIONS
from tests.conformance.kernels import fused_kernel_is_kept
from tests.conformance.padding import left_padding, right_padding
from tests.conformance.subject import Subject

HARMLESS = ("ok", "–", INDIRECT)
CHECKS = INTERVENTIONS | {
    "fused kernel": fused_kernel_is_kept,
    "gradients": gradients_agree,
    "left padding": left_padding,
    "right padding": right_padding,
    "cached values": cached_values,
    "cached generation": cached_generation,
}


@dataclass(frozen=True)
class Row:
    """What came of one architecture. A check is 'ok', '–' where it does not apply, or what is wrong."""

    name: str
    class_name: str = ""
    kinds: str = ""
    attention: str = ""
    residual: bool = False
    internals: bool = False
    groups: dict[str, str] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    error: str = ""

    def as_data(self) -> dict[str, Any]:
        """Plain data, empty fields left out."""
        return {name: value for name, value in asdict(self).items() if value not in ("", {})}

    @property
    def wrong(self) -> dict[str, str]:
        """The checks that failed."""
        return {name: result for name, result in self.checks.items() if not harmless(result)}


def harmless(result: str) -> bool:
    """No failure: the check holds, does not apply, or shows what native code does by itself."""
    return result in HARMLESS or result.startswith("native: ")


def examine(name: str) -> Row:
    """Build, find, run and check one architecture of the zoo."""
    if name in zoo.unavailable():
        return Row(name, error=zoo.unavailable()[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own, about configurations that it did not expect
        subject = Subject.of(name)
        return _row(subject)


def _row(subject: Subject) -> Row:
    structure = subject.network.structure
    identities = {name: _summary(check(subject)) for name, check in IDENTITIES.items()}
    interventions = {name: check(subject) or "ok" for name, check in CHECKS.items()}
    whole = identities["mid = pre + attn"] in ("ok", "–") and identities["post = sum of parts"] == "ok"
    return Row(
        name=subject.name,
        class_name=type(subject.native).__name__,
        kinds=", ".join(dict.fromkeys(structure.kinds.values())),
        attention="attention function" if structure.implementation == "assay" else "own code",
        residual=coverage.residual_explained(subject) and whole,
        internals=coverage.attention_inside(subject),
        groups=coverage.groups(subject),
        checks=identities | interventions,
        reasons=coverage.reasons(subject),
    )


def _summary(findings: Iterator[Finding]) -> str:
    results = list(findings)
    wrong = {
        what: f"{stack}.L{layer}" if stack else f"L{layer}" for (stack, layer), what in results if what is not None
    }
    if not results:
        return "–"
    if set(wrong) <= {INDIRECT}:
        return INDIRECT if wrong else "ok"
    return "; ".join(f"{where}: {what}" for what, where in wrong.items() if what != INDIRECT)
