"""Variants of a sweep: which, how many, and with what filled in."""

from __future__ import annotations

from typing import Any

import pytest

from assay.core.errors import ExperimentError, SiteError
from assay.experiments import edit, metric
from assay.experiments.edits import Edit
from assay.experiments.expand import axes, expand
from assay.experiments.experiment import Experiment
from assay.experiments.positions import Slice
from assay.experiments.runs import Run
from assay.experiments.sweep import Sweep, sweep

INPUTS = {"clean": "a b c d e", "other": "a b x d e"}


def swept(edits: Edit | list[Edit], over: Any, inputs: dict[str, Any] | None = None) -> Experiment:
    return sweep(edits, over, inputs=inputs or INPUTS, base="clean", metrics=[metric.logit_diff(" x", " y")])


def patch(site: str, **where: Any) -> Edit:
    return edit.patch(site, "other", **where)


def test_layers_and_positions_are_all_that_there_are(facts: Any) -> None:
    exp = swept(patch("resid_post"), ["layer", "pos"])
    assert axes(exp, facts(exp)) == {"layer": [0, 1, 2], "pos": [0, 1, 2, 3, 4]}
    variants = list(expand(exp, facts(exp)))
    assert len(variants) == 15
    assert variants[7].coords == {"layer": 1, "pos": 2}
    assert variants[7].index == (1, 2)
    assert variants[7].edits == (patch("L1.resid_post", pos=2),)


def test_the_order_of_axes_is_the_order_given(facts: Any) -> None:
    exp = swept(patch("resid_post"), ["pos", "layer"])
    assert list(axes(exp, facts(exp))) == ["pos", "layer"]
    assert [v.coords["layer"] for v in expand(exp, facts(exp))][:4] == [0, 1, 2, 0]


def test_heads_only_where_there_is_attention(facts: Any) -> None:
    exp = swept(patch("z", pos=-1), ["layer", "head"])
    assert axes(exp, facts(exp)) == {"layer": [0, 1], "head": [0, 1, 2, 3]}
    assert next(iter(expand(exp, facts(exp)))).edits == (patch("L0.z", pos=-1, head=0),)


def test_layers_with_other_numbers_of_heads_need_values(facts: Any) -> None:
    exp = swept(patch("z"), ["layer", "head"])
    with pytest.raises(ExperimentError) as caught:
        axes(exp, facts(exp, wider=(1,)))
    assert str(caught.value) == (
        "the swept sites differ in their number of heads (z has 4 or 8): give over={'head': …}."
    )
    given = swept(patch("z"), {"layer": None, "head": [1, 3]})
    assert len(list(expand(given, facts(given, wider=(1,))))) == 4
    one = swept(patch("z"), {"layer": [1], "head": None})
    assert len(axes(one, facts(one, wider=(1,)))["head"]) == 8


def test_edits_are_swept_together(facts: Any) -> None:
    exp = swept([patch("attn_out"), patch("mlp_out", pos=Slice()), edit.zero("L0.resid_post", pos=1)], ["layer", "pos"])
    assert axes(exp, facts(exp))["layer"] == [0, 1]
    last = list(expand(exp, facts(exp)))[-1]
    assert last.edits == (
        patch("L1.attn_out", pos=4),
        patch("L1.mlp_out", pos=Slice()),
        edit.zero("L0.resid_post", pos=1),
    )


def test_a_swept_head_is_not_given_to_a_site_without_heads(facts: Any) -> None:
    exp = swept([patch("z"), patch("mlp_out")], {"layer": [0], "head": None})
    variants = list(expand(exp, facts(exp)))
    assert len(variants) == 4
    assert variants[2].edits == (patch("L0.z", head=2), patch("L0.mlp_out"))


def test_sites_are_an_axis(facts: Any) -> None:
    exp = swept(patch("*"), {"site": ["mlp_out", "attn_out"], "layer": [0, 1]})
    assert [v.edits[0].site for v in expand(exp, facts(exp))] == [
        "L0.mlp_out",
        "L1.mlp_out",
        "L0.attn_out",
        "L1.attn_out",
    ]


def test_a_site_without_heads_among_swept_ones_is_refused(facts: Any) -> None:
    exp = swept(patch("*"), {"site": ["z", "mlp_out"], "layer": [0], "head": None})
    with pytest.raises(ExperimentError, match=r"^mlp_out has no heads: drop the axis 'head', or the site\.$"):
        axes(exp, facts(exp))


def test_numbers_and_named_positions(facts: Any) -> None:
    exp = swept(edit.add("L1.resid_post", [1.0] * 8), {"scale": [0, 2.5], "pos": ["end", 0]})
    variants = list(expand(exp, facts(exp)))
    assert [dict(v.coords) for v in variants] == [
        {"scale": 0.0, "pos": "end"},
        {"scale": 0.0, "pos": 0},
        {"scale": 2.5, "pos": "end"},
        {"scale": 2.5, "pos": 0},
    ]
    assert variants[2].edits == (edit.add("L1.resid_post", [1.0] * 8, scale=2.5, pos="end"),)


def test_a_source_site_follows_the_layer(facts: Any) -> None:
    exp = swept(patch("mlp_out", source_site="attn_out"), {"layer": [1]})
    assert next(expand(exp, facts(exp))).edits == (patch("L1.mlp_out", source_site="L1.attn_out"),)


def test_runs_before_the_main_one_can_be_swept(facts: Any) -> None:
    runs = {
        "sender": Run(input="clean", edits=[patch("z"), edit.freeze("mlp_out", "clean")]),
        "receiver": Run(input="clean", edits=edit.patch("L1.resid_post", "sender")),
    }
    exp = Experiment(inputs=INPUTS, runs=runs, main="receiver", sweep=Sweep(axes={"head": None}, runs=["sender"]))
    assert exp.varying() == {"sender", "receiver"}
    variants = list(expand(exp, facts(exp)))
    assert len(variants) == 4 and variants[1].edits == ()
    single = exp.with_runs(variants[1].runs)
    assert single.sweep is None and single.hash != exp.hash
    assert single.runs["sender"].edits == (patch("z", head=1), edit.freeze("mlp_out", "clean"))
    assert single.runs["receiver"] == exp.runs["receiver"]


def test_without_a_sweep_there_is_one_variant(facts: Any) -> None:
    exp = Experiment(inputs=INPUTS, main="clean")
    assert [dict(v.coords) for v in expand(exp, facts(exp))] == [{}]
    assert axes(exp, facts(exp)) == {}


@pytest.mark.parametrize(
    ("edits", "over", "message"),
    [
        (patch("z"), {"layer": [0, 2]}, "the sweep asks for layer 2 of 'z': its layers are 0-1."),
        (patch("resid_post"), {"layer": None, "head": None}, "none of resid_post has heads: drop the axis 'head', "),
        (patch("z"), {"head": [4]}, "the sweep asks for head 4: z have heads 0-3."),
        (
            patch("*"),
            {"site": ["logits"], "layer": None},
            "the axis 'layer' would leave logits as it is: give sites without a layer, or drop the axis.",
        ),
    ],
)
def test_values_that_are_not_there(facts: Any, edits: Edit, over: Any, message: str) -> None:
    exp = swept(edits, over)
    with pytest.raises(ExperimentError) as caught:
        list(expand(exp, facts(exp)))
    assert str(caught.value).startswith(message)


def test_an_unknown_site_is_the_models_error(facts: Any) -> None:
    exp = swept(patch("embed"), ["pos"])
    with pytest.raises(SiteError):
        exp2 = swept(patch("q_rot"), ["layer"])
        axes(exp2, facts(exp2))
    assert len(axes(exp, facts(exp))["pos"]) == 5


def test_prompts_of_several_lengths_have_no_common_positions(facts: Any) -> None:
    exp = swept(edit.zero("resid_post"), ["pos"], inputs={"clean": ["a b", "a b c"]})
    with pytest.raises(ExperimentError) as caught:
        axes(exp, facts(exp))
    assert str(caught.value) == (
        "the prompts that are swept have 2 or 3 tokens, so their positions do not line up: give named positions, "
        "over={'pos': ['subject', 'end']}, or prompts of one length."
    )


def test_inputs_without_tokens_need_positions(facts: Any) -> None:
    exp = swept(edit.zero("resid_post"), ["pos"])
    with pytest.raises(ExperimentError, match="no tokens to count"):
        axes(exp, facts(exp, untokenised=("clean",)))
