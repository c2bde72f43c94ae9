"""What an ablated part is replaced by, as data: explicit, saved with the result, without hidden defaults.

    zero            the number zero
    mean            the mean over the clean prompts, the counterfactual ones, or both; over all their positions, or for each
                    position by itself (then over prompts of the same length); within each template if asked
    resample        the value in another prompt of the same length, drawn from a seed
    counterfactual  the value in the paired counterfactual prompt, at the same position
    optimal         one constant for each part, learned so that its ablation does the least harm (`optimal.py`)

A mean over positions is the sum over all positions of all prompts, divided by their number: every token counts alike,
whatever the length of its prompt. The same circuit can score from below 0 % to above 100 % by this choice alone
(Miller et al. 2024, arXiv:2407.08734). A name alone, such as "mean", is short for the entry of `NAMED`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, TypeAdapter

from assay.core.errors import SettingsError, nearest
from assay.experiments.record import Record

Side = Literal["clean", "counterfactual"]


class Zero(Record):
    """Replaced by zero."""

    kind: Literal["zero"] = "zero"

    def __str__(self) -> str:
        return "zero"


class Mean(Record):
    """Replaced by a mean over prompts."""

    kind: Literal["mean"] = "mean"
    over: Side | Literal["both"]
    """Over which prompts the mean is taken."""
    positions: Literal["all", "each"]
    """One mean over all positions, or one for each position, over prompts of the same length."""
    per_template: bool = False
    """Whether a prompt is given the mean over prompts of its own template only."""

    def __str__(self) -> str:
        where = "all positions" if self.positions == "all" else "prompts of the same length, position by position"
        prompts = "clean and counterfactual" if self.over == "both" else self.over
        return f"the mean of the {prompts} prompts over {where}{', within each template' if self.per_template else ''}"


class Resample(Record):
    """Replaced by the value in another prompt of the same length, never the own one."""

    kind: Literal["resample"] = "resample"
    over: Side
    """From which prompts it is drawn."""
    seed: int
    """Which random choice."""

    def __str__(self) -> str:
        return f"the value in another {self.over} prompt of the same length, drawn at random (seed {self.seed})"


class Counterfactual(Record):
    """Replaced by the value in the paired counterfactual prompt."""

    kind: Literal["counterfactual"] = "counterfactual"

    def __str__(self) -> str:
        return "the value in the paired counterfactual prompt"


class Optimal(Record):
    """Replaced by one constant, the same at all positions of all prompts, learned by gradient descent (Adam)."""

    kind: Literal["optimal"] = "optimal"
    objective: Literal["kl", "loss", "metric"]
    """What is made small: KL(unchanged ‖ ablated), −log p(answer), or the squared change of the method's own metric."""
    steps: int = Field(default=100, ge=1)
    """The most steps."""
    rate: float = Field(default=0.05, gt=0)
    """Learning rate, in units of the part's root mean square value."""
    patience: int = Field(default=10, ge=1)
    """Steps without a better value on the prompts held out after which it stops."""
    together: bool = False
    """In a given circuit: the constants of all that it cuts are learned together, anew for each circuit; otherwise each
    sender's is learned with that sender alone ablated. A set of parts has its constants learned together anyway."""

    def __str__(self) -> str:
        aims = {"kl": "KL to the unchanged run", "loss": "loss", "metric": "squared change of the metric"}
        how = ", all of a circuit's together" if self.together else ""
        return f"a constant learned for the least {aims[self.objective]} (at most {self.steps} steps{how})"


AnyAblation = Zero | Mean | Resample | Counterfactual | Optimal
Name = Literal["zero", "mean", "resample", "counterfactual", "optimal"]

NAMED: Mapping[str, AnyAblation] = {
    "zero": Zero(),
    "mean": Mean(over="counterfactual", positions="all"),
    "resample": Resample(over="counterfactual", seed=0),
    "counterfactual": Counterfactual(),
    "optimal": Optimal(objective="kl"),
}
"""What a name alone stands for."""

_Told = Annotated[AnyAblation, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[AnyAblation] = TypeAdapter(_Told)


def as_ablation(given: object) -> AnyAblation:
    """An ablation from its name, from plain data with a `kind`, or as it is.

    >>> as_ablation("mean") == as_ablation({"kind": "mean", "over": "counterfactual", "positions": "all"})
    True

    Raises:
        SettingsError: there is no such ablation.
        ExperimentError: a field is missing or of the wrong kind.
    """
    kind = given.get("kind") if isinstance(given, Mapping) else given
    if isinstance(given, AnyAblation):
        return given
    if not isinstance(kind, str) or kind not in NAMED:
        near = nearest(str(kind), NAMED)
        raise SettingsError(f"{kind!r} is not an ablation: expected one of {', '.join(NAMED)}.{near}")
    return NAMED[kind] if isinstance(given, str) else _ADAPTER.validate_python(given)


Ablation = Annotated[_Told | Name, BeforeValidator(as_ablation)]
"""As a setting: any ablation, or its name; saved spelled out."""
