"""Training a dictionary of a site: a sparse autoencoder on the activations of a corpus.

Left out is the start of each piece of text (`skip`), where many models have an attention sink; nothing else. With
`weights: untrained` everything is done with the same architecture before its training: what such a dictionary can do, no
dictionary shows about what was learned (Heap et al. 2025, arXiv:2501.17727).

Cost: one forward pass over the texts, up to the site; then `recipe.epochs` passes over the activations, which are held in
memory (4 · d bytes for each token). Sources: Gao et al. 2024, arXiv:2406.04093; Bricken et al. 2023; Cunningham et al. 2023,
arXiv:2309.08600.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.claims import Unclaimed
from assay.core.codec import digest
from assay.core.errors import SettingsError
from assay.core.registry import method
from assay.core.sites import SiteName
from assay.dictionaries.activations import Activations
from assay.dictionaries.dictionary import About, Dictionary
from assay.dictionaries.fitting import Fitted, fit
from assay.dictionaries.recipe import Recipe, Texts
from assay.dictionaries.texts import training_documents
from assay.engine.dictionary import FeatureBasis
from assay.engine.model import Model
from assay.engine.untrained import untrained

SAMPLE = 65_536
"""Training tokens on which the finished dictionary is measured."""
OUTLIER = 10.0
"""A row that is so many times as long as the mean row is worth a word."""

SITE = "where the dictionary reads and writes, such as L5.resid_post; without a layer, that of the layer at `depth`"
DEPTH = "for a site without a layer: how deep, from 0 (the first layer) to 1 (the last)"
WEIGHTS = "the model's own (trained), or the same architecture before training (untrained): the control"
RECIPE = "its size, what keeps it sparse, and how it is fitted"


@method(
    gives=Dictionary,
    cites=("arXiv:2406.04093", "arXiv:2309.08600"),
    cost="one forward pass over the texts, then some 4 · d · features multiplications for each token and epoch",
    assumes="that what the site holds is a sparse sum of directions",
    fails_when="there are too few tokens for its features, texts are unlike those it is used on, or features are not linear",
    claim=Unclaimed("it is trained here; `dictionary_quality` and `feature_detection` measure it"),
)
def train_dictionary(
    model: Model,
    data: Any,
    *,
    site: Annotated[str, SITE],
    depth: Annotated[float, DEPTH] = 0.5,
    texts: Annotated[Texts, "which texts, and which of their tokens"] = Texts(),  # noqa: B008 (frozen)
    recipe: Annotated[Recipe, RECIPE] = Recipe(),  # noqa: B008 (frozen)
    weights: Annotated[Literal["trained", "untrained"], WEIGHTS] = "trained",
    seed: Annotated[int, "of first weights and order, and of the untrained model"] = 0,
) -> Dictionary:
    """Train a sparse dictionary of a site's activations on texts: a corpus of the machine, or those that are given."""
    used = model if weights == "trained" else untrained(model, seed=seed)
    place, seen = _place(used, site, depth), _Seen()
    documents = seen.through(training_documents(used, data, texts))
    kept = used.harvest(documents, place, pos=slice(texts.skip, None), context=texts.context)
    activations = Activations.of(kept, place)
    fitted = fit(activations, recipe, seed=seed)
    measured, active = _measured(fitted, activations, seed)
    about = About(
        site=place,
        skip=texts.skip,
        context=texts.context,
        scale=fitted.scale,
        active=active,
        weights=weights if weights == "trained" else f"untrained, seed {seed}",
        model_fingerprint=used.fingerprint,
        corpus=f"{texts.corpus}, {seen.tokens:,} tokens of {seen.documents} documents",
        seed=seed,
        recipe=recipe,
        facts=tuple(_facts(seen, texts, recipe, weights=weights, measured=measured, activations=activations)),
    )
    return Dictionary(fitted.basis, about, measured)


def _place(model: Model, site: str, depth: float) -> str:
    """The site's full name."""
    if not 0 <= depth <= 1:
        raise SettingsError(f"depth = {depth}: expected a number from 0 (the first layer) to 1 (the last).")
    named = SiteName.parse(site)
    if not named.in_layers or named.layer is not None:
        return str(model.site(site))
    return str(model.site(named.at(round(depth * (model.n_layers - 1)))))


class _Seen:
    """Counts what passes, and makes a hash of it."""

    def __init__(self) -> None:
        self.documents = self.tokens = 0
        self.hash = ""

    def through(self, documents: Any) -> Any:
        """The same documents."""
        for document in documents:
            self.documents, self.tokens = self.documents + 1, self.tokens + len(document)
            self.hash = digest([self.hash, list(document)])
            yield document


def _measured(fitted: Fitted, activations: Activations, seed: int) -> tuple[dict[str, Tensor], float]:
    """What is kept of training, and how many features fire on a token."""
    some = activations.sample(SAMPLE, seed=seed)
    frequency, active = firing(fitted.basis, some)
    rank = max(1, min(round(active), some.shape[1]))
    found = {"mean": some.mean(0), "principal": principal(some, rank), "frequency": frequency}
    curve = {"tokens": fitted.tokens, "unexplained": fitted.unexplained, "dead": fitted.dead}
    return found | curve, active


def firing(basis: FeatureBasis, rows: Float[Tensor, "token d"]) -> tuple[Float[Tensor, " feature"], float]:
    """On which share of tokens each feature fires, and how many fire on a token."""
    counts = torch.zeros(len(basis.decoder), dtype=torch.float64)
    for some in rows.split(4096):
        counts += (basis.encode(some) > 0).sum(0)
    return (counts / len(rows)).float(), float(counts.sum() / len(rows))


def principal(rows: Float[Tensor, "token d"], rank: int) -> Float[Tensor, "rank d"]:
    """The first principal components, as rows."""
    vectors: Tensor = torch.linalg.eigh(rows.double().T.cov(correction=0)).eigenvectors
    return vectors[:, -rank:].flip(1).T.float().contiguous()


def _facts(
    seen: _Seen, texts: Texts, recipe: Recipe, *, weights: str, measured: dict[str, Tensor], activations: Activations
) -> list[str]:
    dead = float((measured["frequency"] == 0).float().mean())
    norms = activations.sample().norm(dim=-1)
    longest = float(norms.max() / norms.mean())
    facts = [
        f"trained on {activations.rows:,} tokens of {texts.corpus} ({seen.documents} documents, {seen.hash[:19]}); "
        f"epochs: {recipe.epochs}; the first {texts.skip} of each piece of {texts.context} left out",
        f"{dead:.1%} of {recipe.features:,} features fire on none of {min(SAMPLE, activations.rows):,} training tokens",
    ]
    if weights == "untrained":
        facts.append("trained on the same architecture before its training: a control, not a description of the model")
    if longest > OUTLIER:
        facts.append(f"the longest row is {longest:.0f} times the mean: another attention sink may be among the tokens")
    return facts
