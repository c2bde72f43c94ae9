"""Roles of heads: planted circuits get theirs and no other, and each test by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tiny_pairs import pairs_of_ids, tiny_gpt2, tiny_llama

from assay.circuits import head_roles, path_patching
from assay.circuits.ablation import Counterfactual
from assay.circuits.intervention import intervene
from assay.circuits.measuring import as_metric
from assay.circuits.places import parts_of
from assay.circuits.roles import RoleTests
from assay.circuits.roles.causing import inhibition
from assay.circuits.roles.deciding import ROLES, HeadTest, decide
from assay.circuits.roles.looking import looked, looked_back, random_prompts, repeated
from assay.circuits.roles.speaking import copied
from assay.core.errors import DataError
from assay.core.registry import find
from assay.core.result import Result
from assay.experiments import edit
from assay.training.planted import situation

HOW = {"ablation": "counterfactual", "metric": "logit_diff"}
SMALL = RoleTests(random_length=0, copied_within=1)
"""The planted models have a dozen tokens and as many places."""


def roles(found: Result) -> dict[str, set[str]]:
    """The heads of each role that has any."""
    table = found["has"].to_pandas()
    return {role: set(table.columns[table.loc[role]]) for role in ROLES if table.loc[role].any()}


def planted(name: str, tests: RoleTests = SMALL, n: int = 8) -> Result:
    made = situation(name, n=n)
    return head_roles(made.model, made.pairs, tests=tests, **HOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("negative head", {
            "writer": {"L0.H0"}, "negative writer": {"L1.H0"}, "name mover": {"L0.H0"}, "negative name mover": {"L1.H0"},
        }),
        ("backup head", {"writer": {"L0.H0"}, "name mover": {"L0.H0"}, "backup": {"L1.H0"}}),
        ("redundant pair", {}),
    ],
)  # fmt: skip
def test_planted_heads_have_their_roles_and_no_others(name: str, expected: dict[str, set[str]]) -> None:
    assert roles(planted(name)) == expected


def test_induction() -> None:
    """On the prompts and on random tokens; the induction head says the answer, so it is a name mover too."""
    found = planted("induction, gain 3", RoleTests(random_length=8, copied_within=1))
    assert roles(found) == {
        "previous token": {"L0.H0"},
        "induction": {"L1.H0"},
        "writer": {"L1.H0"},
        "name mover": {"L1.H0"},
    }
    assert "S-inhibition and backup: by the 1 name movers, L1.H0" in found.provenance.facts


def test_the_compiled_circuit_of_indirect_objects() -> None:
    """Its second head tells the name mover where not to look, by way of its queries."""
    found = planted("indirect object")
    has = roles(found)
    assert has["duplicate token"] == {"L0.H0"}
    assert has["S-inhibition"] == {"L1.H0"}
    assert has["name mover"] == has["writer"] == {"L2.H0"}
    moved = found["value"].sel(test="s_inhibition").mean("example")
    assert abs(float(moved.sel(head="L0.H0"))) < 0.01  # it acts by the second head, not on the queries themselves


def test_one_of_two_prompts_kinds_is_not_enough() -> None:
    """Without random tokens a head that looks one back by chance passes; with a threshold above it, it does not."""
    strict = SMALL.model_copy(update={"previous": 0.5})
    assert "previous token" in roles(planted("indirect object"))
    assert "previous token" not in roles(planted("indirect object", strict))


def test_direct_effects_are_those_of_path_patching() -> None:
    """The same three runs; without a final norm nothing of it is held. Tolerance: single precision."""
    made = situation("negative head", n=4)
    found = head_roles(made.model, made.pairs, tests=SMALL, **HOW)  # type: ignore[arg-type]
    heads = tuple(found.data["head"].values.tolist())
    paths = path_patching(
        made.model, made.pairs, senders=heads, receivers=("logits",), direction="noise", freeze_mlps=True, **HOW  # type: ignore[arg-type]
    )  # fmt: skip
    share = found["value"].sel(test="direct_effect").mean("example").values
    np.testing.assert_allclose(share * paths.values.sum(), paths.values, rtol=1e-3, atol=1e-3)


def test_direct_effects_by_hand_with_the_norm_held() -> None:
    """What a head of any layer adds less of, through the final norm as it was in the clean run."""
    model, pairs = tiny_llama(), pairs_of_ids()
    found = head_roles(model, pairs, tests=SMALL, **HOW)  # type: ignore[arg-type]
    sides = [
        model.run(t, capture=["L1.head_out", "final_norm_scale"]) for t in (pairs.clean_tokens, pairs.corrupt_tokens)
    ]
    less = (sides[0]["L1.head_out"] - sides[1]["L1.head_out"])[:, -1, 2] / sides[0]["final_norm_scale"][:, -1]
    unembed = model.native.lm_head.weight
    direction = unembed[pairs.answer_ids] - unembed[pairs.wrong_ids]
    by_hand = (less * model.native.model.norm.weight * direction).sum(-1).detach().numpy()
    logits = [model.run(t).logits[:, -1] for t in (pairs.clean_tokens, pairs.corrupt_tokens)]
    gaps = [each.gather(1, pairs.answer_ids[:, None]) - each.gather(1, pairs.wrong_ids[:, None]) for each in logits]
    whole = float((gaps[0] - gaps[1]).mean())
    np.testing.assert_allclose(
        found["value"].sel(test="direct_effect", head="L1.H2"), by_hand / whole, rtol=1e-4, atol=1e-5
    )  # its norms are computed in single precision


@pytest.mark.parametrize("made", [tiny_llama, tiny_gpt2], ids=["llama", "gpt2"])
def test_other_architectures(made: object) -> None:
    """Shared keys and values, norms, biases: everything can be measured, and nothing is not a number that need not be."""
    model = made()  # type: ignore[operator]
    found = head_roles(model, pairs_of_ids(), tests=RoleTests(random_length=16), **HOW)  # type: ignore[arg-type]
    known = [
        name
        for name in found.data["test"].values
        if not name.startswith(("duplicate_token", "induction", "s_inhib", "backup"))
    ]
    assert np.isfinite(found["value"].sel(test=known)).all()
    assert np.isfinite(found["value"].sel(test="induction_random")).all()
    again = head_roles(model, pairs_of_ids(), tests=RoleTests(random_length=16), **HOW)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found["passed"], again["passed"])


@pytest.mark.parametrize("freeze_mlps", [False, True])
def test_inhibition_by_hand(freeze_mlps: bool) -> None:
    """One head's last output replaced, later heads held (MLPs too, or not); a mover's queries read that."""
    model, pairs = tiny_llama(), pairs_of_ids(4)
    right, wrong = [[1], [1], [2], [2]], [[4], [5], [4], [5]]
    parts = parts_of(model, "head")
    made = intervene(model, pairs, parts, ablation=Counterfactual(), direction="noise", metric=as_metric("logit_diff"))
    mover = next(part for part in parts if part.name == "L2.H0")
    found = inhibition(model, made, parts, movers=[mover], places=(right, wrong), freeze_mlps=freeze_mlps)

    sites = ["L0.z", "L1.z", "L0.mlp_out", "L1.mlp_out", "L2.pattern"]
    clean, corrupt = (model.run(tokens, capture=sites) for tokens in (pairs.clean_tokens, pairs.corrupt_tokens))
    held = ["L1.z", *(["L0.mlp_out", "L1.mlp_out"] if freeze_mlps else [])]
    edits = [edit.set(site, clean[site]) for site in held]
    edits.append(edit.set("L0.z", corrupt["L0.z"][:, -1:, 1:2], pos=[-1], head=[1]))
    queries = model.run(pairs.clean_tokens, edits=edits, capture=["L2.q"])["L2.q"][:, :, :1]
    path = model.run(pairs.clean_tokens, edits=[edit.set("L2.q", queries, head=[0])], capture=["L2.pattern"])

    def looks(run: object) -> np.ndarray:
        last = run["L2.pattern"][:, 0, -1].numpy()  # type: ignore[index]
        return np.array(
            [last[i, r].sum() - last[i, w].sum() for i, (r, w) in enumerate(zip(right, wrong, strict=True))]
        )

    by_hand = (looks(clean) - looks(path)) / (looks(clean) - looks(corrupt)).mean()
    np.testing.assert_allclose(
        found[[part.name for part in parts].index("L0.H1")], by_hand, rtol=1e-4, atol=1e-6
    )  # patterns are float32
    assert np.abs(by_hand).max() > 1e-3
    assert not found[[part.layer == 2 for part in parts]].any()


def test_what_is_copied_by_hand() -> None:
    """The direct product of value, output weights, final norm and unembedding, for one head of a model with shared values."""
    import torch

    model, pairs = tiny_llama(), pairs_of_ids(4)
    run = model.run(pairs.clean_tokens, capture=["L1.v"])
    weight = model.native.get_submodule("model.layers.1.self_attn.o_proj").weight[:, 24:32]  # head 3 reads values 1
    written = run["L1.v"][:, 1, 1] @ weight.T  # the answer stands at position 1
    logits = model.native.lm_head(model.native.model.norm(written[:, None]))[:, 0]
    own = logits.gather(1, pairs.answer_ids[:, None])
    ranks = (logits > own).sum(1)
    within = int(ranks.median()) + 1
    said = copied(model, pairs, [(1, 3)], source=None, within=within)
    assert said is not None
    np.testing.assert_array_equal(said[0][0][0], (ranks < within).double().numpy())
    assert 0 < said[0][0].mean() < 1 or torch.equal(ranks, ranks[:1].expand(4))


def test_first_mentions() -> None:
    found = repeated([5, 7, 8, 7, 9], None, after=0)
    assert np.argwhere(found).tolist() == [[3, 1]]
    assert np.argwhere(repeated([5, 7, 8, 7, 9], [3], after=1)).tolist() == [[3, 2]]
    assert not repeated([5, 7, 7], None, after=1).any()  # what followed it is the token itself
    assert not repeated([5, 7, 8], [2], after=0).any()


def test_attention_to_a_target_and_to_the_rest() -> None:
    model, pairs = tiny_llama(), pairs_of_ids(3)
    tokens = [list(each.clean) for each in pairs.aligned_tokens()]
    pattern = model.run(pairs.clean_tokens, capture=["L1.pattern"])["L1.pattern"][:, 2].numpy()
    wanted = np.zeros((7, 7), dtype=bool)
    wanted[5, 2] = True
    value, control = looked(model, tokens, [(1, 2)], target=lambda row: wanted)
    np.testing.assert_allclose(value[0], pattern[:, 5, 2], atol=1e-6)  # patterns are kept in single precision
    np.testing.assert_allclose(control[0], pattern[:, 5, [1, 3, 4]].mean(1), atol=1e-6)
    back = looked_back(model, tokens, [(1, 2)])
    queries = np.arange(3, 7)
    for each, distance in zip(back, (1, 2), strict=True):
        np.testing.assert_allclose(each[0], pattern[:, queries, queries - distance].mean(1), atol=1e-6)


def test_random_prompts_repeat_a_piece_after_a_random_gap() -> None:
    model, pairs = tiny_llama(), pairs_of_ids(12)
    found = random_prompts(model, pairs, length=20, seed=1)
    assert found == random_prompts(model, pairs, length=20, seed=1) != random_prompts(model, pairs, length=20, seed=2)
    gaps = set()
    for prompt in found:
        assert len(prompt) == 20
        again = [i for i, token in enumerate(prompt) if token in prompt[:i]]
        assert len(again) == 5 and again == list(range(again[0], again[0] + 5))
        gaps.add(again[0] - prompt.index(prompt[again[0]]))
    assert len(gaps) > 2
    with pytest.raises(DataError, match="random_length=90: at least 7 positions and 68 different tokens"):
        random_prompts(model, pairs, length=90, seed=0)


def test_a_test_is_passed_by_size_and_by_the_control() -> None:
    """Large but no larger than the control; larger but small; both; and both for a negative one."""
    rng = np.random.default_rng(0)
    noise = 0.05 * rng.standard_normal(24)
    value = np.stack([0.5 + noise, 0.1 + noise, 0.5 + noise, -0.5 + noise])
    control = np.stack([0.5 - noise, 0 * noise, 0 * noise, 0 * noise])
    assert decide(HeadTest(value, control, 0.3), level=0.99).passed.tolist() == [False, False, True, False]
    assert decide(HeadTest(value, control, 0.3, sign=-1), level=0.99).passed.tolist() == [False, False, False, True]
    unknown = np.full_like(value, np.nan)
    assert not decide(HeadTest(unknown, unknown, 0.3), level=0.99).passed.any()


def test_it_is_a_step_of_studies() -> None:
    method = find("head_roles")
    assert method.card.intervenes and not method.takes
    settings = method.validated({**HOW, "repeated_at": "S2", "tests": {"previous": 0.4}})
    assert settings.tests.previous == 0.4  # type: ignore[attr-defined]
