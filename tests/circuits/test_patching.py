"""Patching: places where the answer is known beforehand, and agreement with hooks written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits import patch_components, patch_heads, patch_residual, task_accuracy
from assay.data.pairs import Pairs
from assay.engine.model import Model

EXACT = 1e-9  # double precision, three layers


@pytest.fixture(scope="module", params=[tiny_llama, tiny_gpt2], ids=["llama", "gpt2"])
def model(request: pytest.FixtureRequest) -> Model:
    made: Model = request.param()
    return made


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return pairs_of_ids()


def difference(model: Model, pairs: Pairs, ids: torch.Tensor) -> torch.Tensor:
    logits = model.native(input_ids=ids).logits[:, -1]
    rows = torch.arange(len(pairs))
    return (logits[rows, pairs.answer_ids] - logits[rows, pairs.wrong_ids]).detach()


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_known_shares_of_the_residual_stream(model: Model, pairs: Pairs, direction: str) -> None:
    """All of the effect enters at the only token that differs, and leaves through the last position."""
    first = patch_residual(model, pairs, direction=direction, site="resid_pre").data["share"].mean("example")  # type: ignore[arg-type]
    assert float(first.sel(layer=0, pos="subject")) == pytest.approx(1, abs=EXACT)
    assert float(first.sel(layer=0, pos="end")) == pytest.approx(0, abs=EXACT)
    last = patch_residual(model, pairs, direction=direction).data["share"].mean("example")  # type: ignore[arg-type]
    assert float(last.sel(layer=model.n_layers - 1, pos="end")) == pytest.approx(1, abs=EXACT)
    assert float(last.sel(layer=model.n_layers - 1, pos="subject")) == pytest.approx(0, abs=EXACT)


def test_the_unchanged_runs_are_kept(model: Model, pairs: Pairs) -> None:
    data = patch_residual(model, pairs, direction="noise", positions=("end",)).data
    np.testing.assert_allclose(data["clean"], difference(model, pairs, pairs.clean_tokens), atol=EXACT)
    np.testing.assert_allclose(data["corrupt"], difference(model, pairs, pairs.corrupt_tokens), atol=EXACT)
    assert dict(data["share"].sizes) == {"layer": model.n_layers, "pos": 1, "example": len(pairs)}


def test_one_head_by_hand(pairs: Pairs) -> None:
    """The same patch with a hook on the output projection's input, for one head of a Llama."""
    model = tiny_llama()
    scores = patch_heads(model, pairs, direction="noise")
    projection = model.native.model.layers[1].self_attn.o_proj  # type: ignore[union-attr, index]
    kept: list[torch.Tensor] = []
    handle = projection.register_forward_pre_hook(lambda module, args: kept.append(args[0].clone()))  # type: ignore[operator]
    model.native(input_ids=pairs.corrupt_tokens)
    handle.remove()

    def replace(module: object, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        changed = args[0].clone()
        changed[..., 16:24] = kept[0][..., 16:24]  # head 2 of 4, 8 wide
        return (changed,)

    handle = projection.register_forward_pre_hook(replace)  # type: ignore[operator]
    patched = difference(model, pairs, pairs.clean_tokens)
    handle.remove()
    clean, corrupt = (difference(model, pairs, ids) for ids in (pairs.clean_tokens, pairs.corrupt_tokens))
    expected = (patched - clean) / (corrupt - clean).mean()
    assert scores.per_example is not None
    row = scores.components.index("L1.H2")
    np.testing.assert_allclose(scores.per_example[row], expected, atol=EXACT)


def test_every_head_and_component_has_a_score(model: Model, pairs: Pairs) -> None:
    heads = patch_heads(model, pairs, direction="denoise")
    assert len(heads) == model.n_layers * model.n_heads
    parts = patch_components(model, pairs, direction="denoise")
    assert set(parts.components) == {f"L{i}.{kind}" for i in range(model.n_layers) for kind in ("attn", "mlp")}
    assert "n = 5" in parts.facts[1]
    assert "corrupt run by the clean run" in parts.facts[0]


def test_a_pair_without_difference_moves_nothing_else(model: Model, pairs: Pairs) -> None:
    """Scores are per example: patching cannot mix examples up."""
    whole = patch_components(model, pairs, direction="noise")
    alone = patch_components(model, pairs.take([3]), direction="noise")
    assert whole.per_example is not None and alone.per_example is not None
    base = patch_residual(model, pairs, direction="noise", positions=("end",)).data
    scale = float((base["corrupt"] - base["clean"]).mean())
    own = float((base["corrupt"] - base["clean"])[3])
    np.testing.assert_allclose(whole.per_example[:, 3] * scale, alone.per_example[:, 0] * own, atol=EXACT)


def test_accuracy(model: Model, pairs: Pairs) -> None:
    data = task_accuracy(model, pairs, batch=2).data
    expected = difference(model, pairs, pairs.clean_tokens).numpy()
    np.testing.assert_allclose(data["logit_diff"], expected, atol=EXACT)
    assert data["correct"].dtype == bool
    assert data["correct"].values.tolist() == (expected > 0).tolist()
    assert (data["top"].values <= data["correct"].values).all()
