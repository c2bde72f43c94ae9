"""Training: known sparse directions are found again, by both activations; what the saved weights read; dead features."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.dictionaries.planted import directions, recovered, sparse_sums

from assay.core.errors import AssayError, DataError
from assay.dictionaries.activations import Activations
from assay.dictionaries.autoencoder import Autoencoder
from assay.dictionaries.fitting import fit, geometric_median
from assay.dictionaries.learning import firing
from assay.dictionaries.recipe import Recipe

TOPK = Recipe(features=32, k=2, batch=256, epochs=10, rate=3e-3, dead_after=2000)
RELU = TOPK.model_copy(update={"activation": "relu", "penalty": 0.5, "rate": 6e-3})


@pytest.mark.parametrize("recipe", [TOPK, RELU], ids=lambda each: each.activation)
def test_known_directions_are_found(recipe: Recipe) -> None:
    """24 directions in 16 dimensions, two at a time; random rows of 32 reach a cosine of about .5 with each."""
    truth = directions()
    rows = sparse_sums(truth, 8_000)
    found = fit(Activations.in_memory(rows), recipe, seed=1)
    assert recovered(found.basis.decoder, truth) > 0.9
    start = replace(
        recipe_start := fit(Activations.in_memory(rows[:256]), recipe.model_copy(update={"epochs": 1, "rate": 1e-9}))
    )
    assert recovered(start.basis.decoder, truth) < 0.7 and recipe_start.tokens[-1] == 256


def test_the_weights_read_activations_as_they_are() -> None:
    """Trained at another scale, the dictionary that is saved still reconstructs, with rows of length 1 and the mean's size."""
    truth = directions()
    rows = sparse_sums(truth, 8_000)
    found = fit(Activations.in_memory(rows), TOPK)
    basis, held_out = found.basis, sparse_sums(truth, 1_000, seed=1)
    rebuilt = basis.decode(basis.encode(held_out))
    unexplained = (held_out - rebuilt).pow(2).sum() / (held_out - held_out.mean(0)).pow(2).sum()
    assert (
        unexplained < 0.15 and abs(unexplained - found.unexplained[-1]) < 0.05
    )  # held-out as in training: it did not just learn these
    torch.testing.assert_close(basis.decoder.norm(dim=-1), torch.ones(32), atol=1e-5, rtol=0)
    assert found.scale * rows.norm(dim=-1).mean() == pytest.approx(4, rel=1e-2)  # √d of d = 16


def test_same_seed_same_weights() -> None:
    rows, short = sparse_sums(directions(), 1_000), TOPK.model_copy(update={"epochs": 1})
    one, two = (fit(Activations.in_memory(rows), short, seed=3).basis for _ in range(2))
    other = fit(Activations.in_memory(rows), short, seed=4).basis
    assert torch.equal(one.decoder, two.decoder) and not torch.equal(one.decoder, other.decoder)


def test_dead_features_are_revived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the features start too weak to be among the k largest: 14 are left for 24 directions, and get no help from them
    but by the auxiliary loss, which trains the weak ones on what the others miss."""
    begin = Autoencoder.start

    def weakened(recipe: Recipe, centre: torch.Tensor, *, seed: int) -> Autoencoder:
        made = begin(recipe, centre, seed=seed)
        made.encoder.data[:, 14:] *= 0.02
        return made

    monkeypatch.setattr(Autoencoder, "start", weakened)
    truth = directions()
    rows, weak = sparse_sums(truth, 6_000), TOPK.model_copy(update={"features": 28, "dead_after": 500, "epochs": 8})
    found = {}
    for revival in (0.0, 1 / 4):
        made = fit(Activations.in_memory(rows), weak.model_copy(update={"revival": revival}))
        found[revival] = int((firing(made.basis, rows)[0] == 0).sum()), recovered(made.basis.decoder, truth)
    assert found[1 / 4][0] < found[0.0][0] / 2 and found[1 / 4][1] > found[0.0][1] + 0.05


def test_one_outlier_does_not_move_the_median() -> None:
    rows = torch.cat([torch.randn(200, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([[1e5, 0, 0]])])
    assert geometric_median(rows).norm() < 0.3 < rows.mean(0).norm()


@pytest.mark.parametrize(
    ("rows", "what"), [(torch.zeros(50, 4), "all zero"), (torch.full((50, 4), torch.nan), "not all finite")]
)
def test_what_can_not_be_learned_from_is_refused(rows: torch.Tensor, what: str) -> None:
    with pytest.raises(DataError, match=what):
        fit(Activations.in_memory(rows), Recipe(features=8, k=2))


def test_impossible_recipes_are_refused() -> None:
    with pytest.raises(AssayError, match="k = 9 of 8 features"):
        Recipe(features=8, k=9)
