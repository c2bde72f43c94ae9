"""Site names: the grammar, other libraries' names, and what a wrong name is told."""

from __future__ import annotations

import pytest

from assay.core.errors import SiteError
from assay.core.sites import ALIAS_NOTES, LAYER_SITES, MODEL_SITES, STACKS, SiteName


@pytest.mark.parametrize(
    "text",
    [f"{stack}L3.{name}" for name in LAYER_SITES for stack in ("", *(f"{s}." for s in STACKS))]
    + [*LAYER_SITES, *MODEL_SITES, "vision.embed", "enc.final_norm", "enc.resid_post", "L-1.resid_post", "L0.q"]
    + ["native:model.layers.3.mlp:out", "native:0:in", "native:encoder.block.0.layer.0:in"],
)
def test_every_name_is_written_as_it_is_read(text: str) -> None:
    name = SiteName.parse(text)
    assert str(name) == text
    assert SiteName.parse(str(name)) == name
    assert SiteName.parse(name) is name


def test_the_parts_of_a_name() -> None:
    assert SiteName.parse("vision.L12.mlp_out") == SiteName("mlp_out", 12, "vision")
    assert SiteName.parse("resid_post") == SiteName("resid_post", None, None)
    assert SiteName.parse("L-2.z").layer == -2
    native = SiteName.parse("native:a.0.b:in")
    assert (native.native, native.name) == ("a.0.b", "in")


def test_which_names_belong_to_a_layer() -> None:
    assert SiteName.parse("resid_post").in_layers
    assert SiteName.parse("L3.resid_post").in_layers
    assert not SiteName.parse("logits").in_layers
    assert not SiteName.parse("native:layers.3:out").in_layers, "a path of a module has no layer of ours"
    assert SiteName.parse("resid_post").at(4) == SiteName.parse("L4.resid_post")


def test_no_name_is_both_inside_and_outside_the_layers() -> None:
    assert not set(LAYER_SITES) & set(MODEL_SITES)
    assert len(set(LAYER_SITES)) == len(LAYER_SITES)


TRANSFORMER_LENS = {
    "blocks.5.hook_resid_pre": "L5.resid_pre",
    "hook_resid_pre": "resid_pre",
    "attn.hook_z": "z",
    "blocks.5.hook_resid_mid": "L5.resid_mid",
    "blocks.15.hook_resid_post": "L15.resid_post",
    "blocks.5.hook_attn_out": "L5.attn_out",
    "blocks.5.hook_mlp_out": "L5.mlp_out",
    "blocks.0.ln1.hook_normalized": "L0.attn_in",
    "blocks.0.ln2.hook_normalized": "L0.mlp_in",
    "blocks.0.ln1.hook_scale": "L0.attn_norm_scale",
    "blocks.0.ln2.hook_scale": "L0.mlp_norm_scale",
    "blocks.0.attn.hook_q": "L0.q",
    "blocks.0.attn.hook_k": "L0.k",
    "blocks.0.attn.hook_v": "L0.v",
    "blocks.0.attn.hook_rot_q": "L0.q_rot",
    "blocks.0.attn.hook_rot_k": "L0.k_rot",
    "blocks.0.attn.hook_attn_scores": "L0.scores",
    "blocks.0.attn.hook_pattern": "L0.pattern",
    "blocks.0.attn.hook_z": "L0.z",
    "blocks.0.attn.hook_result": "L0.head_out",
    "blocks.0.mlp.hook_pre": "L0.mlp_pre",
    "blocks.0.mlp.hook_pre_linear": "L0.mlp_up",
    "blocks.0.mlp.hook_post": "L0.mlp_post",
    "hook_embed": "embed",
    "hook_pos_embed": "pos_embed",
    "ln_final.hook_normalized": "final_norm",
    "ln_final.hook_scale": "final_norm_scale",
    "unembed.hook_out": "logits",
    "encoder.1.hook_resid_post": "enc.L1.resid_post",
    "encoder.1.attn.hook_q": "enc.L1.q",
    "encoder.1.ln2.hook_normalized": "enc.L1.mlp_in",
    "decoder.1.attn.hook_pattern": "dec.L1.pattern",
    "decoder.1.cross_attn.hook_pattern": "dec.L1.cross_pattern",
    "decoder_blocks.0.cross_attn.hook_z": "dec.L0.cross_z",
    "decoder_blocks.0.hook_cross_attn_out": "dec.L0.cross_attn_out",
    "decoder.0.hook_resid_mid_cross": "dec.L0.resid_mid_cross",
}
OTHERS = {
    "layers_output[5]": "L5.resid_post",
    "layers_input[0]": "L0.resid_pre",
    "layers_output[-1]": "L-1.resid_post",
    "attentions_output[2]": "L2.attn_out",
    "mlps_output[2]": "L2.mlp_out",
    "mlps_input[2]": "L2.mlp_in",
    "attention_probabilities[1]": "L1.pattern",
    "token_embeddings": "embed",
    "ln_final": "final_norm",
    "lm_head": "logits",
    "resid_post.5": "L5.resid_post",
    "z.0": "L0.z",
}


@pytest.mark.parametrize(("alias", "ours"), [*TRANSFORMER_LENS.items(), *OTHERS.items()])
def test_names_of_other_libraries_are_normalised(alias: str, ours: str) -> None:
    assert str(SiteName.parse(alias)) == ours


def test_in_a_decoder_the_second_norm_is_that_of_cross_attention() -> None:
    """The same name in TransformerLens is another tensor there: a plain table would call it the MLP's input."""
    for side in ("decoder.0", "decoder_blocks.0"):
        assert str(SiteName.parse(f"{side}.ln2.hook_normalized")) == "dec.L0.cross_attn_in"
        assert str(SiteName.parse(f"{side}.ln3.hook_normalized")) == "dec.L0.mlp_in"
        with pytest.raises(SiteError):
            SiteName.parse(f"{side}.ln2.hook_scale")


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("L3.resid_pots", "resid_post"),
        ("resid_pst", "resid_post"),
        ("L0.mlp_hidden", "mlp_"),
        ("L0.atn_out", "attn_out"),
        ("logit", "logits"),
        ("L5.paterns", "pattern"),
    ],
)
def test_a_name_that_does_not_exist_is_told_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(SiteError, match=f"{wrong!r} is not a site name.*Nearest: .*{near}"):
        SiteName.parse(wrong)


def test_a_layer_on_a_site_outside_the_layers_is_told_so() -> None:
    with pytest.raises(SiteError, match="'logits' lies outside the layers, so it takes no layer"):
        SiteName.parse("L3.logits")


@pytest.mark.parametrize(
    "wrong",
    ["", " ", "L.resid_post", "Lx.resid_post", "5.resid_post", "L5", "L5.", "L5.resid_post.", "L5.resid_post\n",
     "foo.L5.resid_post", "native:", "native:a.b", "native:a.b:middle", "native::out", "blocks.5.hook_nothing",
     "blocks.hook_resid_post", "layers_output", "layers_output[x]", "L5 resid_post", "resid_post.-1"],
)  # fmt: skip
def test_what_is_no_name_is_refused_with_the_grammar(wrong: str) -> None:
    with pytest.raises(SiteError, match="is not a site name"):
        SiteName.parse(wrong)


def test_notes_on_aliases_are_about_names_that_exist() -> None:
    for alias in ALIAS_NOTES:
        assert SiteName.parse(alias.replace("blocks.L", "blocks.0").replace("[L]", "[0]"))
