"""The embedded model in all libraries: the residual stream, heads, and patching at a few places."""

from __future__ import annotations

import copy
from types import ModuleType

import pytest
import torch
from tests.peers.families import EFFECTS, VALUES, difference
from tests.peers.lens_names import bridge_of, cached, theirs

import assay
from assay import edit, metric, sweep
from assay.engine.model import Model

pytestmark = [pytest.mark.peers, pytest.mark.slow]

CLEAN = "When Mary and John went to the store, John gave a drink to"
CORRUPT = "When Mary and John went to the store, Mary gave a drink to"
SITES = ("resid_pre", "q", "k", "z", "attn_out", "resid_mid", "mlp_post", "mlp_out", "resid_post")


@pytest.fixture(scope="module")
def model() -> Model:
    return assay.load()


def ids_of(model: Model, text: str) -> torch.Tensor:
    return torch.tensor([list(model.tokens(text).rows[0])])


def test_values_equal_the_bridges(transformer_lens: ModuleType, model: Model) -> None:
    """With the bridge's kernel, which is eager: the fused one sums in another order."""
    wanted = [*SITES, "pattern", "scores", "logits"]
    run = model.run(CLEAN, capture=wanted)
    with torch.no_grad():
        _, cache = cached(bridge_of(model.native), ids_of(model, CLEAN), heads=False)
    wrong = {}
    for name, value in run.captured.items():
        expected = theirs(cache, "llama", model.site(name).name, model.config)
        assert expected is not None
        if (found := difference(value, expected)) > VALUES:
            wrong[name] = found
    assert not wrong


def test_the_residual_stream_equals_nnsights(nnsight: ModuleType, model: Model) -> None:
    wrapped = nnsight.NNsight(copy.deepcopy(model.native))
    with torch.no_grad(), wrapped.trace(ids_of(model, CLEAN), use_cache=False):
        kept = [layer.output for layer in wrapped.model.layers].save()
    run = model.run(CLEAN, capture="resid_post")
    assert max(difference(run[f"L{i}.resid_post"], value) for i, value in enumerate(kept)) < VALUES


def test_patching_equals_the_patching_functions(transformer_lens: ModuleType, model: Model) -> None:
    """Every position of three layers, where TransformerLens makes one forward pass for each."""
    import pandas as pd
    from transformer_lens import patching

    layers, (right, wrong) = [2, 14, 25], (model.tokens(t).rows[0][0] for t in (" Mary", " John"))
    bridge = bridge_of(model.native)
    corrupt = ids_of(model, CORRUPT)
    places = [(layer, pos) for layer in layers for pos in range(corrupt.shape[1])]
    with torch.no_grad():
        _, cache = bridge.run_with_cache(ids_of(model, CLEAN))
        expected = patching.generic_activation_patch(
            bridge, corrupt, cache, lambda logits: logits[0, -1, right] - logits[0, -1, wrong],
            patching.layer_pos_patch_setter, "resid_pre", index_df=pd.DataFrame(places, columns=["layer", "pos"]),
        )  # fmt: skip
    experiment = sweep(
        edit.patch("resid_pre", source="clean"), over={"layer": layers, "pos": None},
        inputs={"clean": CLEAN, "corrupt": CORRUPT}, base="corrupt", metrics=[metric.logit_diff(" Mary", " John")],
    )  # fmt: skip
    found = torch.as_tensor(model.measure(experiment)["logit_diff"].transpose("layer", "pos").to_numpy()).flatten()
    assert float((found - expected).abs().max()) < EFFECTS
    assert float(expected.std()) > 100 * EFFECTS
