"""Values at sites against TransformerLens' bridge, on the same weights."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from tests.peers.families import FAMILIES, VALUES, difference, subject
from tests.peers.lens_names import ABSENT, bridge_of, cached, theirs

from assay.core.errors import SiteError

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("family", FAMILIES)
def test_every_site_has_the_bridges_value(transformer_lens: ModuleType, family: str) -> None:
    one = subject(family)
    _, cache = cached(bridge_of(one.native), one.ids)
    ours = one.everything()
    wrong, compared = [], 0
    for site in one.model.sites:
        value = theirs(cache, family, site.name, one.model.config)
        if value is None:
            assert (family, site.name.name) in ABSENT, f"the bridge has no {site.name}, and no reason is written down"
            continue
        compared += 1
        if (found := difference(ours[str(site.name)], value)) > VALUES:
            wrong.append(f"{site.name}: {found:.1e}")
    assert not wrong
    assert compared > 30


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reasons_still_hold(transformer_lens: ModuleType, family: str) -> None:
    """A hook that a later version of the bridge adds is noticed."""
    one = subject(family)
    _, cache = cached(bridge_of(one.native), one.ids)
    gone = [site for (of, site) in ABSENT if of == family]
    assert not [
        s
        for s in one.model.sites
        if s.name.name in gone and theirs(cache, family, s.name, one.model.config) is not None
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_aliases_name_the_tensor_that_the_bridge_means(transformer_lens: ModuleType, family: str) -> None:
    """Each hook that our parser takes as an alias carries our site's tensor, or the difference is written down here."""
    one = subject(family)
    _, cache = cached(bridge_of(one.native), one.ids)
    ours, differs = one.everything(), []
    for name, value in cache.items():
        try:
            site = str(one.model.site(name))
        except SiteError:
            continue
        if ours[site].shape != value.shape or difference(ours[site], value) > VALUES:
            differs.append(name.split(".", 2)[-1] if name.startswith("blocks") else name)
    before_the_norms_weight = {"ln1.hook_normalized", "ln2.hook_normalized", "ln_final.hook_normalized"}
    expected = {
        "gemma2": before_the_norms_weight | {"attn.hook_out", "mlp.hook_out", "unembed.hook_out"},
    }.get(family, before_the_norms_weight)
    assert set(differs) == expected


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_normalized_is_what_a_norm_reads_from_its_weight(transformer_lens: ModuleType, family: str) -> None:
    """`ln1.hook_normalized` is before the norm's weight (and bias); our `attn_in` is after: what attention reads."""
    one = subject(family)
    bridge = bridge_of(one.native)
    _, cache = cached(bridge, one.ids)
    norm = bridge.blocks[0].ln1.original_component
    weight = norm.weight + 1 if family == "gemma2" else norm.weight
    bias = getattr(norm, "bias", None)
    theirs_as_ours = cache["blocks.0.ln1.hook_normalized"] * weight + (0 if bias is None else bias)
    assert difference(one.everything()["L0.attn_in"], theirs_as_ours) < VALUES


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_the_bridges(transformer_lens: ModuleType, family: str) -> None:
    one = subject(family)
    logits, _ = cached(bridge_of(one.native), one.ids)
    assert difference(one.model.run(one.ids).logits, logits) < VALUES
    with torch.no_grad():
        assert torch.equal(one.model.run(one.ids).logits, one.native(one.ids, use_cache=False).logits)
