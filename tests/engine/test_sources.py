"""Edits that take values from other runs and inputs, against values captured by hand."""

from __future__ import annotations

import pytest
import torch
from tests.engine import by_hand
from torch import Tensor

import assay
from assay import Experiment, Run, edit, metric, sweep
from assay.core.errors import AssayError, InputError
from assay.engine.model import Model
from assay.experiments.inputs import as_input

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18], [21, 22, 23, 24, 25]]
OTHER = [[35, 37, 31, 33, 37], [26, 29, 22, 25, 28], [41, 42, 43, 44, 45]]
LONGER = [[41, 42, 43, 44, 45, 46, 47], [1, 2, 3, 4, 5, 6, 7], [11, 12, 13, 14, 15, 16, 17]]
SITE = "L1.resid_post"


def value(model: Model, ids: list[list[int]], site: str = SITE) -> Tensor:
    return by_hand.run(model.native, ids, keep=[site])[1][site]


def patched(model: Model, edits: object, sources: dict[str, object], **more: object) -> Tensor:
    run = model.run(IDS, edits=edits, sources=sources, capture=[SITE], **more)  # type: ignore[arg-type]
    logits = by_hand.run(model.native, IDS, {SITE: lambda _: run[SITE]})[0]
    by_hand.close(run.logits, logits)  # what is captured is what the model went on with
    return run[SITE]


def test_a_whole_patch_gives_the_other_runs_logits(llama: Model) -> None:
    run = llama.run(IDS, edits=edit.patch("L2.resid_post", "other"), sources={"other": OTHER})
    by_hand.close(run.logits, by_hand.run(llama.native, OTHER)[0])


@pytest.mark.parametrize(("pos", "index"), [(2, [2]), (-1, [4]), ([0, 3], [0, 3]), (slice(1, 3), [1, 2])])
def test_a_patch_at_positions(llama: Model, pos: object, index: list[int]) -> None:
    wanted = value(llama, IDS)
    wanted[:, index] = value(llama, OTHER)[:, index]
    by_hand.close(patched(llama, edit.patch(SITE, "other", pos=pos), {"other": OTHER}), wanted)  # type: ignore[arg-type]


def test_one_example_is_the_source_for_all(llama: Model) -> None:
    found = patched(llama, edit.patch(SITE, "other"), {"other": OTHER[:1]})
    by_hand.close(found, value(llama, OTHER[:1]).expand(3, -1, -1))


def test_a_source_at_another_place_of_a_longer_prompt(llama: Model) -> None:
    wanted = value(llama, IDS)
    wanted[:, [1, 2]] = value(llama, LONGER)[:, [5, 6]]
    made = edit.patch(SITE, "other", pos=[1, 2], source_pos=slice(-2, None))
    by_hand.close(patched(llama, made, {"other": LONGER}), wanted)


def test_a_negative_position_counts_from_the_end_of_each_prompt(llama: Model) -> None:
    wanted = value(llama, IDS)
    wanted[:, -1] = value(llama, LONGER)[:, -1]
    by_hand.close(patched(llama, edit.patch(SITE, "other", pos=-1), {"other": LONGER}), wanted)


def test_a_named_position_is_each_inputs_own(llama: Model) -> None:
    wanted, there = value(llama, IDS), value(llama, LONGER)
    for row, (here, source) in enumerate(zip([1, 2, 3], [5, 0, 6], strict=True)):
        wanted[row, here] = there[row, source]
    other = as_input(LONGER, positions={"subject": (5, 0, 6)})
    for made in (edit.patch(SITE, "o", pos="subject"), edit.patch(SITE, "o", pos="subject", source_pos="subject")):
        by_hand.close(patched(llama, made, {"o": other}, positions={"subject": [1, 2, 3]}), wanted)


def test_a_name_that_the_source_lacks_is_the_same_place(llama: Model) -> None:
    wanted = value(llama, IDS)
    for row, at in enumerate([1, 2, 3]):
        wanted[row, at] = value(llama, OTHER)[row, at]
    made = edit.patch(SITE, "o", pos="subject")
    by_hand.close(patched(llama, made, {"o": OTHER}, positions={"subject": [1, 2, 3]}), wanted)


def test_another_site_of_the_same_shape(llama: Model) -> None:
    made = edit.patch(SITE, "other", source_site="L0.resid_post")
    by_hand.close(patched(llama, made, {"other": OTHER}), value(llama, OTHER, "L0.resid_post"))


def test_prompts_that_do_not_line_up_are_refused(llama: Model) -> None:
    with pytest.raises(AssayError):
        llama.run(IDS, edits=edit.patch(SITE, "other"), sources={"other": LONGER})


def test_runs_may_take_values_from_runs_that_were_edited(llama: Model) -> None:
    """Path patching: a head's change, seen by one later layer alone."""
    experiment = Experiment(
        inputs={"clean": IDS, "other": OTHER},
        runs={
            "sender": Run(input="clean", edits=[edit.patch("L0.z", "other", head=1)]),
            "receiver": Run(input="clean", edits=[edit.patch("L2.q", "sender", head=3)]),
        },
        metrics=[metric.logit(4)],
        main="receiver",
    )
    there = by_hand.run(llama.native, OTHER, keep=["L0.z"])[1]["L0.z"]

    def swap_head(x: Tensor) -> Tensor:
        return torch.cat([x[:, :, :1], there[:, :, 1:2], x[:, :, 2:]], 2)

    sent = by_hand.run(llama.native, IDS, {"L0.z": swap_head}, keep=["L2.q"])[1]["L2.q"]
    logits = by_hand.run(llama.native, IDS, {"L2.q": lambda x: torch.cat([x[:, :, :3], sent[:, :, 3:]], 2)})[0]
    result = llama.measure(experiment)
    by_hand.close(torch.tensor(result["logit"].values), logits[:, -1, 4])


def test_freeze_holds_a_site_whatever_happens_before(llama: Model) -> None:
    edits = [edit.zero("L0.mlp_out"), edit.freeze("L1.attn_out", "input")]
    held = value(llama, IDS, "L1.attn_out")
    logits = by_hand.run(llama.native, IDS, {"L0.mlp_out": torch.zeros_like, "L1.attn_out": lambda _: held})[0]
    by_hand.close(llama.run(IDS, edits=edits).logits, logits)


class TestMean:
    def test_over_examples_and_positions(self, llama: Model) -> None:
        found = patched(llama, edit.mean(SITE, over="other"), {"other": [*LONGER, [1, 2]]})
        every = torch.cat([value(llama, LONGER).flatten(0, 1), value(llama, [[1, 2]])[0]])
        by_hand.close(found, every.mean(0).expand(3, 5, 32))

    def test_for_each_position(self, llama: Model) -> None:
        found = patched(llama, edit.mean(SITE, over="other", per_position=True, pos=[1, 3]), {"other": OTHER})
        wanted = value(llama, IDS)
        wanted[:, [1, 3]] = value(llama, OTHER).mean(0)[[1, 3]]
        by_hand.close(found, wanted)

    def test_of_one_head(self, llama: Model) -> None:
        run = llama.run(IDS, edits=edit.mean("L1.z", over="input", head=2), capture=["L1.z"])
        wanted = value(llama, IDS, "L1.z")
        wanted[:, :, 2] = wanted[:, :, 2].mean((0, 1))
        by_hand.close(run["L1.z"], wanted)

    def test_for_each_position_needs_one_length(self, llama: Model) -> None:
        with pytest.raises(AssayError, match="one length"):
            llama.run(IDS, edits=edit.mean(SITE, "other", per_position=True), sources={"other": [[1, 2], [1, 2, 3]]})

    def test_over_a_run_with_edits(self, llama: Model) -> None:
        experiment = Experiment(
            inputs={"clean": IDS},
            runs={
                "off": Run(input="clean", edits=[edit.zero("L0.mlp_out")]),
                "main": Run(input="clean", edits=[edit.mean(SITE, over="off")], captures=[SITE]),
            },
            main="main",
        )
        off = by_hand.run(llama.native, IDS, {"L0.mlp_out": torch.zeros_like}, keep=[SITE])[1][SITE]
        found = torch.tensor(llama.measure(experiment)[SITE].values)
        by_hand.close(found, off.mean((0, 1)).expand(3, 5, 32))


class TestResample:
    def test_never_its_own_and_always_someone_elses(self, llama: Model) -> None:
        many = [[(11 * i + j) % 50 + 1 for j in range(4)] for i in range(7)]
        there = value(llama, many)
        seen = set()
        for seed in range(12):
            run = llama.run(many, edits=edit.resample(SITE, "input", seed=seed), capture=[SITE])
            distance = torch.cdist(run[SITE].flatten(1), there.flatten(1))
            drawn = distance.argmin(1).tolist()
            assert distance.amin(1).max() < 1e-4
            assert all(own != other for own, other in enumerate(drawn))
            seen.add(tuple(drawn))
        assert len(seen) > 3

    def test_the_same_seed_draws_the_same(self, llama: Model) -> None:
        one, two = (llama.run(IDS, edits=edit.resample(SITE, "o", seed=5), sources={"o": OTHER}).logits for _ in "ab")
        assert torch.equal(one, two)

    def test_batches_do_not_change_what_is_drawn(self, llama: Model) -> None:
        experiment = Experiment(
            inputs={"a": IDS + OTHER},
            runs={"main": Run(input="a", edits=[edit.resample(SITE, "a", seed=1)])},
            metrics=[metric.logit(5)],
        )
        whole = torch.tensor(llama.measure(experiment)["logit"].values)
        by_hand.close(torch.tensor(llama.measure(experiment, batch=2)["logit"].values), whole)

    def test_batches_of_a_schedule_neither(self, llama: Model) -> None:
        experiment = sweep(
            edit.resample("z", "a", seed=1), ["layer"], inputs={"a": IDS + OTHER}, base="a", metrics=[metric.logit(5)]
        )
        whole = torch.tensor(llama.measure(experiment)["logit"].values)
        by_hand.close(torch.tensor(llama.measure(experiment, engine="scheduled", batch=2)["logit"].values), whole)

    def test_a_single_example_is_refused(self, llama: Model) -> None:
        with pytest.raises(InputError, match="no other one to draw"):
            llama.run(IDS, edits=edit.resample(SITE, "o"), sources={"o": OTHER[:1]})


class TestSwap:
    BASIS = torch.linalg.qr(torch.randn(32, 3, generator=torch.Generator().manual_seed(2)))[0].double()

    def test_only_the_component_in_the_subspace_moves(self, llama: Model) -> None:
        mixed = self.BASIS @ torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.5, 0.0], [3.0, 0.0, 1.0]]).double()
        here, there = value(llama, IDS), value(llama, OTHER)
        projector = self.BASIS @ self.BASIS.T
        found = patched(llama, edit.swap(SITE, "o", basis=mixed), {"o": OTHER})
        by_hand.close(found, here - here @ projector + there @ projector)

    def test_the_whole_space_is_a_patch(self, llama: Model) -> None:
        found = patched(llama, edit.swap(SITE, "o", basis=torch.eye(32), pos=2), {"o": OTHER})
        by_hand.close(found, patched(llama, edit.patch(SITE, "o", pos=2), {"o": OTHER}))


def test_a_source_is_named_or_the_error_says_which_there_are(llama: Model) -> None:
    with pytest.raises(AssayError, match=r"othr.*other"):
        llama.run(IDS, edits=edit.patch(SITE, "othr"), sources={"other": OTHER})


def test_different_numbers_of_examples_are_refused(llama: Model) -> None:
    with pytest.raises(assay.AssayError, match=r"3.*2|2.*3"):
        llama.run(IDS, edits=edit.patch(SITE, "other"), sources={"other": OTHER[:2]})
