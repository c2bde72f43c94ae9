"""Which values come from where: the base run, what replaces parts of it, and what is measured.

Noising starts from the clean run and replaces a part's value by the ablation's: what is lost is the part's score. Denoising
starts from the counterfactual run and puts the clean value back: what is gained is its score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.circuits.ablation import AnyAblation, Counterfactual, Optimal
from assay.circuits.contrast import Contrast, Direction, base_and_source
from assay.circuits.measuring import sign_of
from assay.circuits.optimal import learned
from assay.circuits.places import Part
from assay.circuits.replacement import Replacement, replacement
from assay.core.errors import SettingsError
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.experiments.metrics import Metric


@dataclass(frozen=True)
class Intervention:
    """A base run, what replaces parts of it, and what is measured."""

    pairs: Pairs
    base: str
    replaced: Replacement
    metric: Metric
    what: str
    """The ablation in words."""

    @property
    def sign(self) -> float:
        """A part's score is this times the metric's change when the part is replaced."""
        return sign_of(self.metric) * (1 if self.base == "corrupt" else -1)

    @property
    def fact(self) -> str:
        """What is replaced by what, in words."""
        if self.base == "corrupt":
            return "put back: the clean prompt's value into the counterfactual run of the same pair"
        return f"replaced in the clean run, by {self.what}"


def intervene(
    model: Model, pairs: Pairs, parts: Sequence[Part], *, ablation: AnyAblation, direction: Direction, metric: Metric
) -> Intervention:
    """What replaces these parts. Constants that must be learned are learned here, one for each part by itself.

    Raises:
        SettingsError: denoising with values other than those of the pair, or constants to be learned together.
    """
    base, source = base_and_source(direction)
    if direction == "denoise":
        if not isinstance(ablation, Counterfactual):
            raise SettingsError(
                "denoise puts clean values into the counterfactual run: it takes ablation=counterfactual."
            )
        return Intervention(pairs, base, Replacement(Contrast(pairs).inputs, {}, source), metric, str(ablation))
    if isinstance(ablation, Optimal):
        if ablation.together:
            raise SettingsError(
                "together: constants are learned together for a given circuit (evaluate_circuit, circuit_curves, …), and parts "
                "ablated one at a time have none. Leave it out; a set's are learned together anyway."
            )
        made, facts = learned(model, pairs, [[part] for part in parts], ablation=ablation, metric=metric)
        return Intervention(pairs, base, made, metric, f"{ablation}; {facts}")
    sites = list(dict.fromkeys(site for part in parts for site in part.sites))
    return Intervention(pairs, base, replacement(pairs, ablation, sites), metric, str(ablation))
