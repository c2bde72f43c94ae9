"""Methods with planted truths for tests of controls, registered as any method is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from tests.tiny_pairs import VOCABULARY, tiny_llama

from assay.core import registry
from assay.core.protocols import Scores
from assay.core.registry import method
from assay.core.result import Result
from assay.engine.model import Model
from assay.experiments import edit, metric

CARD: dict[str, Any] = {"cites": "doi:1", "cost": "none", "assumes": "nothing", "fails_when": "never"}


@dataclass(frozen=True)
class Texts:
    """Texts with labels."""

    texts: tuple[str, ...]
    labels: tuple[Any, ...]


@dataclass(frozen=True)
class Vector:
    """A direction that a method is handed."""

    handed_on = True
    vector: Any
    name: str = "v"

    def with_vector(self, vector: Any) -> Vector:
        return replace(self, vector=vector)


@contextmanager
def registered_for_the_test() -> Iterator[None]:
    """What is registered inside is forgotten afterwards."""
    before = dict(registry._REGISTRY)
    try:
        yield
    finally:
        registry._REGISTRY.clear()
        registry._REGISTRY.update(before)


with registered_for_the_test():

    @method(gives=Scores, **CARD)
    def localise(
        model: Any,
        data: int,
        *,
        size: Annotated[float, "of L2.H1; all others have none"] = 1.0,
        noise: Annotated[float, "of every example"] = 0.3,
    ) -> Scores:
        """One head of twelve that matters."""
        names = [f"L{layer}.H{head}" for layer in range(4) for head in range(3)]
        rows = np.random.default_rng(0).normal(0, noise, size=(12, data))
        rows[names.index("L2.H1")] += size
        return Scores.over_examples(names, rows, "effect")

    @method(gives=Result, **CARD, claim="steering")
    def pushed(model: Model, data: torch.Tensor, *, direction: Vector) -> Result:
        """How much the logit of token 7 grows when a direction is added to the last residual stream."""
        asked = metric.logit(7, name="logit")
        base = model.run(data, metrics=asked).metrics["logit"]
        added = torch.as_tensor(direction.vector)
        last = f"L{model.n_layers - 1}.resid_post"
        steered = model.run(data, edits=edit.add(last, added, pos=-1), metrics=asked).metrics["logit"]
        return Result(xr.Dataset({"gain": (("example",), (steered - base).numpy())}))

    @method(gives=Result, **CARD, claim="monitor")
    def nearest_mean(model: Any, data: Texts) -> Result:
        """Is the label read off the first word's length? Nearest mean, learned on even texts, tested on odd ones twice."""
        sizes = np.array([len(text.split()[0]) for text in data.texts], dtype=float)
        labels = np.array(data.labels)
        even = np.arange(len(sizes)) % 2 == 0
        correct = np.zeros(len(sizes), dtype=bool)
        for learned in (even, ~even):
            means = [sizes[learned & (labels == label)].mean() for label in (False, True)]
            says = np.abs(sizes - means[1]) < np.abs(sizes - means[0])
            correct[~learned] = says[~learned] == labels[~learned]
        return Result(xr.Dataset({"correct": (("example",), correct)}))

    @method(gives=Result, **CARD)
    def keeps(model: Any, data: int, *, scores: Scores) -> Result:
        """What the two best of a ranking keep, where only L0.mlp and L3.mlp matter."""
        kept = len(set(scores.top(2)) & {"L0.mlp", "L3.mlp"}) / 2
        rows = kept + np.random.default_rng(1).normal(0, 0.05, size=data)
        return Result(xr.Dataset({"kept": (("example",), rows)}))


def prompts(n: int = 20) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (n, 5), generator=torch.Generator().manual_seed(0))


def steering() -> tuple[Model, Vector]:
    """A model, and the direction that writes token 7."""
    model = tiny_llama()
    row: Float[np.ndarray, " d"] = model.native.lm_head.weight[7].detach().double().numpy()
    return model, Vector(5 * row / np.linalg.norm(row))
