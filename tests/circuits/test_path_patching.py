"""Path patching: against three runs by hand, and cases in which paths add up or are known to be closed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.circuits.by_hand import difference, kept, put, with_changes
from tests.circuits.tiny_postnorm import tiny_gemma2
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits import patch, path_patching
from assay.core.errors import DataError, SettingsError
from assay.core.protocols import Scores
from assay.data.pairs import Pairs
from assay.engine.model import Model

EXACT = 1e-9  # double precision
GEMMA = 1e-6  # its softmax is computed in single precision, and so are differences between ways to reach it
ALL = slice(None)
Place = tuple[str, str, slice]
Change = tuple[str, str, Callable[[torch.Tensor], torch.Tensor]]


def head(index: int) -> slice:
    return slice(index * 8, (index + 1) * 8)


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return pairs_of_ids()


def row(scores: Scores, name: str) -> np.ndarray:
    assert scores.per_example is not None
    return scores.per_example[scores.components.index(name)]


def three_runs(model: Model, pairs: Pairs, held: list[Place], readers: list[Place]) -> torch.Tensor:
    """Sender L0.H1 of a Llama from the counterfactual run, `held` at clean values, then what `readers` read put back."""
    clean, sender = pairs.clean_tokens, "model.layers.0.self_attn.o_proj"
    changes: list[Change] = [(sender, "in", put(head(1), kept(model, sender, pairs.corrupt_tokens, "in")))]
    changes += [(m, s, put(c, kept(model, m, clean, s))) for m, s, c in held]
    if not readers:
        return difference(model, pairs, clean) - with_changes(model, pairs, clean, changes)
    seen: list[tuple[str, str, slice, list[torch.Tensor]]] = [(m, s, c, []) for m, s, c in readers]

    def keep(into: list[torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda value: (into.append(value.clone()), value)[1]

    with_changes(model, pairs, clean, [*changes, *((m, s, keep(into)) for m, s, _, into in seen)])
    back: list[Change] = [(m, s, put(c, into[0])) for m, s, c, into in seen]
    return difference(model, pairs, clean) - with_changes(model, pairs, clean, back)


O1, O2 = "model.layers.1.self_attn.o_proj", "model.layers.2.self_attn.o_proj"
MLPS = [(f"model.layers.{i}.mlp", "out", ALL) for i in range(3)]
SETTINGS = {"senders": ("L0.H1",), "ablation": "counterfactual", "direction": "noise", "metric": "logit_diff"}


def test_direct_paths_by_hand(pairs: Pairs) -> None:
    model = tiny_llama()
    readers = ("L2.H3.q", "L2.KV0.k", "L2.KV1.v", "L1.mlp")
    found = path_patching(model, pairs, receivers=readers, freeze_mlps=True, **SETTINGS)  # type: ignore[arg-type]
    layer = "model.layers.2.self_attn."
    read = [(layer + "q_proj", "out", head(3)), (layer + "k_proj", "out", head(0)), (layer + "v_proj", "out", head(1)),
            ("model.layers.1.mlp", "in", ALL)]  # fmt: skip
    expected = three_runs(model, pairs, [(O1, "in", ALL), (O2, "in", ALL), *MLPS], read)
    np.testing.assert_allclose(row(found, "L0.H1"), expected, atol=EXACT)
    assert any(fact.startswith("engine: scheduled") for fact in found.facts)


def test_paths_through_mlps_and_mediators_by_hand(pairs: Pairs) -> None:
    """MLPs free: only heads are held. A mediator: that head of layer 1 is free too."""
    model = tiny_llama()
    read = [("model.layers.2.self_attn.v_proj", "out", head(0))]
    settings = {"receivers": ("L2.KV0.v",), **SETTINGS}
    free = path_patching(model, pairs, freeze_mlps=False, **settings)  # type: ignore[arg-type]
    held = [(O1, "in", ALL), (O2, "in", ALL)]
    np.testing.assert_allclose(row(free, "L0.H1"), three_runs(model, pairs, held, read), atol=EXACT)
    through = path_patching(model, pairs, freeze_mlps=True, mediators=("L1.H2", "L0.mlp"), **settings)  # type: ignore[arg-type]
    held = [(O1, "in", slice(0, 16)), (O1, "in", head(3)), (O2, "in", ALL), *MLPS[1:]]
    np.testing.assert_allclose(row(through, "L0.H1"), three_runs(model, pairs, held, read), atol=EXACT)
    direct = path_patching(model, pairs, freeze_mlps=True, **settings)  # type: ignore[arg-type]
    assert abs(row(through, "L0.H1") - row(direct, "L0.H1")).max() > 1e-4


def test_the_direct_effect_on_logits_by_hand(pairs: Pairs) -> None:
    model = tiny_llama()
    found = path_patching(model, pairs, receivers=("logits",), freeze_mlps=True, **SETTINGS)  # type: ignore[arg-type]
    expected = three_runs(model, pairs, [(O1, "in", ALL), (O2, "in", ALL), *MLPS], [])
    np.testing.assert_allclose(row(found, "L0.H1"), expected, atol=EXACT)


@pytest.mark.parametrize("made", [tiny_llama, tiny_gpt2, tiny_gemma2], ids=["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("direction", ["noise", "denoise"])
def test_with_everything_left_open_it_is_patching(made: Callable[[], Model], direction: str, pairs: Pairs) -> None:
    """All heads and MLPs as mediators, the logits as receiver: the whole effect of the sender."""
    model = made()
    every = [f"L{i}.{part}" for i in range(model.n_layers) for part in ("H0", "H1", "H2", "H3", "mlp")]
    settings = {"ablation": "counterfactual", "direction": direction, "metric": "logit_diff"}
    found = path_patching(
        model, pairs, senders=("L0.H1", "L0.mlp", "L0.N3"), receivers=("logits",), freeze_mlps=True,
        mediators=tuple(every), **settings,  # type: ignore[arg-type]
    )  # fmt: skip
    del settings["ablation"]
    for granularity, name in (("head", "L0.H1"), ("mlp", "L0.mlp"), ("neuron", "L0.N3")):
        exact = patch(model, pairs, granularity=granularity, **settings)  # type: ignore[arg-type]
        np.testing.assert_allclose(row(found, name), row(exact, name), atol=GEMMA if made is tiny_gemma2 else EXACT)


def test_senders_of_all_layers_together_are_each_alone(pairs: Pairs) -> None:
    """A sender of a late layer is not under way yet where heads are held in an early one."""
    model = tiny_llama()
    every = tuple(f"L{layer}.H{h}" for layer in range(3) for h in range(4))
    settings = {**SETTINGS, "receivers": ("logits",), "freeze_mlps": True}
    together = path_patching(model, pairs, **{**settings, "senders": every})  # type: ignore[arg-type]
    for name in ("L0.H2", "L1.H3", "L2.H0"):
        alone = path_patching(model, pairs, **{**settings, "senders": (name,)})  # type: ignore[arg-type]
        np.testing.assert_allclose(row(together, name), row(alone, name), atol=EXACT)


def test_what_cannot_be_reached_gets_nothing(pairs: Pairs) -> None:
    """A receiver before the sender; the embedding of a token that the receiver's position is not."""
    model = tiny_llama()
    settings = {"ablation": "counterfactual", "direction": "noise", "metric": "logit_diff", "freeze_mlps": True}
    later = path_patching(model, pairs, senders=("L2.H0", "L1.H1"), receivers=("L1.H1.q",), **settings)  # type: ignore[arg-type]
    np.testing.assert_allclose(later.values, 0, atol=EXACT)
    assert "after every receiver, so without a path to any: L2.H0, L1.H1" in later.facts
    direct = path_patching(model, pairs, senders=("embed",), receivers=("logits",), **settings)  # type: ignore[arg-type]
    np.testing.assert_allclose(direct.values, 0, atol=EXACT)


def test_what_is_refused(pairs: Pairs) -> None:
    model = tiny_llama()
    for changed, kind, message in (
        ({"receivers": ("logits", "L2.mlp")}, DataError, "logits read all"),
        ({"receivers": ("L2.H1.k",)}, DataError, "'L2.H1.k' is not in this model. Nearest: L2.KV"),
        ({"receivers": ()}, DataError, "at least one receiver"),
        ({"senders": ()}, DataError, "at least one sender"),
        ({"senders": ("L0.H1.q",)}, DataError, "'L0.H1.q' can't be a sender"),
        ({"mediators": ("L1.attn",)}, DataError, "'L1.attn' can't be a mediator"),
        ({"direction": "denoise", "ablation": "zero"}, SettingsError, "denoise puts clean values"),
    ):
        with pytest.raises(kind, match=message):
            path_patching(model, pairs, **{**SETTINGS, "receivers": ("logits",), "freeze_mlps": True, **changed})  # type: ignore[arg-type]
