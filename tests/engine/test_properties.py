"""What holds for any choice of places: selections are numpy's, and what is undone leaves nothing."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine import by_hand
from tests.tiny_pairs import tiny_llama

from assay import Experiment, Run, capture, edit, metric

MODEL = tiny_llama()
IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18], [21, 22, 23, 24, 25]]
OTHER = [[35, 37, 31, 33, 37], [26, 29, 22, 25, 28], [41, 42, 43, 44, 45]]
Z = by_hand.run(MODEL.native, IDS, keep=["L1.z"])[1]["L1.z"]
QUICK = settings(max_examples=25, deadline=None)


def indices(size: int) -> st.SearchStrategy[object]:
    """One index, a list, a slice or all, as people write them; never empty."""
    one = st.integers(-size, size - 1)
    slices = st.builds(slice, st.one_of(st.none(), one), st.one_of(st.none(), one), st.sampled_from([None, 1, 2]))
    return st.one_of(
        st.none(), one, st.lists(one, min_size=1, max_size=size), slices.filter(lambda s: len(range(size)[s]) > 0)
    )


def chosen(selection: object, size: int) -> list[int]:
    whole = np.arange(size)
    return np.atleast_1d(whole if selection is None else whole[selection]).tolist()  # type: ignore[index]


def mesh(examples: object, pos: object, head: object, dims: object) -> tuple[np.ndarray, ...]:
    return np.ix_(*(chosen(s, n) for s, n in zip((examples, pos, head, dims), Z.shape, strict=True)))


@QUICK
@given(examples=indices(3), pos=indices(5), head=indices(4), dims=indices(8))
def test_edits_select_as_numpy_does(examples: object, pos: object, head: object, dims: object) -> None:
    places = {"examples": examples, "pos": pos, "head": head, "dims": dims}
    found = MODEL.run(IDS, edits=edit.set("L1.z", 9.0, **places), capture=["L1.z"])["L1.z"]  # type: ignore[arg-type]
    wanted = Z.numpy().copy()
    wanted[mesh(examples, pos, head, dims)] = 9.0
    by_hand.close(found, torch.tensor(wanted))


@QUICK
@given(pos=indices(5), head=indices(4))
def test_captures_select_as_numpy_does(pos: object, head: object) -> None:
    found = MODEL.run(IDS, capture=capture.site("L1.z", pos=pos, head=head))["L1.z"]  # type: ignore[arg-type]
    assert np.array_equal(found.numpy(), Z.numpy()[mesh(None, pos, head, None)])


@QUICK
@given(
    site=st.sampled_from(["L0.resid_pre", "L1.z", "L2.mlp_post", "L1.attn_out"]),
    pos=indices(5),
    name=st.sampled_from(["zero", "noise", "patch"]),
)
def test_what_is_patched_back_leaves_nothing(site: str, pos: object, name: str) -> None:
    """Whatever an edit does at some positions, the clean run's own values put it right."""
    spoil = {
        "zero": edit.zero(site, pos=pos),  # type: ignore[arg-type]
        "noise": edit.noise(site, 2.0, pos=pos),  # type: ignore[arg-type]
        "patch": edit.patch(site, "other", pos=pos),  # type: ignore[arg-type]
    }[name]
    back = edit.patch(site, "input", pos=pos)  # type: ignore[arg-type]
    found = MODEL.run(IDS, edits=[spoil, back], sources={"other": OTHER})
    assert torch.equal(found.logits, MODEL.run(IDS).logits)


@QUICK
@given(factor=st.floats(-3, 3), pos=indices(5))
def test_what_is_added_and_taken_away_leaves_nothing(factor: float, pos: object) -> None:
    vector = torch.linspace(-1, 1, 32)
    there = edit.add("L1.resid_post", vector, scale=factor, pos=pos)  # type: ignore[arg-type]
    back = edit.add("L1.resid_post", vector, scale=-factor, pos=pos)  # type: ignore[arg-type]
    by_hand.close(MODEL.run(IDS, edits=[there, back]).logits, MODEL.run(IDS).logits)


@QUICK
@given(seed=st.integers(0, 100), k=st.integers(1, 5))
def test_projecting_out_leaves_nothing_in_the_span_and_is_done_once(seed: int, k: int) -> None:
    directions = torch.randn(k, 32, generator=torch.Generator().manual_seed(seed))
    made = edit.project_out("L1.resid_post", directions)
    once, twice = (MODEL.run(IDS, edits=[made] * n, capture=["L1.resid_post"])["L1.resid_post"] for n in (1, 2))
    assert (once @ directions.double().T).abs().max() < 1e-5
    by_hand.close(once, twice)


@QUICK
@given(order=st.permutations(range(3)), batch=st.sampled_from([None, 1, 2]))
def test_examples_do_not_see_each_other(order: list[int], batch: int | None) -> None:
    """In any order and in any batches every example has its own number."""
    runs = {"main": Run(input="a", edits=[edit.patch("L1.z", "b", head=2), edit.zero("L0.mlp_out", pos=1)])}
    shuffled = {"a": [IDS[i] for i in order], "b": [OTHER[i] for i in order]}
    plain, mixed = (
        MODEL.measure(Experiment(inputs=inputs, runs=runs, metrics=[metric.logit(4)]), batch=n)["logit"].values
        for inputs, n in (({"a": IDS, "b": OTHER}, None), (shuffled, batch))
    )
    np.testing.assert_allclose(mixed, plain[list(order)], atol=2e-6)
