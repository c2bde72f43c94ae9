"""Every edit operation against the same change made by a torch hook on the native model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.engine import by_hand
from torch import Tensor

from assay import edit
from assay.engine.model import Model

IDS = [[5, 7, 11, 13, 17], [6, 9, 12, 15, 18]]
OTHER = [[21, 3, 8, 19, 2], [14, 4, 1, 16, 10]]
VECTOR = torch.linspace(-1, 1, 32)
BASIS = torch.linalg.qr(torch.randn(32, 3, generator=torch.Generator().manual_seed(1)))[0].double()


def zeroed(value: Tensor, *index: object) -> Tensor:
    value = value.clone()
    value[index] = 0
    return value


def put(value: Tensor, index: tuple[object, ...], new: Tensor | float) -> Tensor:
    value = value.clone()
    value[index] = new
    return value


def check(model: Model, edits: object, changes: dict[str, Callable[[Tensor], Tensor]], **more: object) -> None:
    """The run under edits and the native run under hooks agree in their logits, which differ from the plain ones."""
    run = model.run(IDS, edits=edits, capture=list(changes), **more)  # type: ignore[arg-type]
    logits, kept = by_hand.run(model.native, IDS, changes, keep=changes)
    by_hand.close(run.logits, logits)
    for site, value in kept.items():
        by_hand.close(run[site], value)
    assert not torch.allclose(run.logits, by_hand.run(model.native, IDS)[0], atol=1e-4), "the edit did nothing"


@pytest.mark.parametrize("name", by_hand.PLACES)
def test_zero_at_every_site(llama: Model, name: str) -> None:
    check(
        llama,
        edit.zero(f"L1.{name}", pos=slice(1, None)),
        {f"L1.{name}": lambda x: zeroed(x, slice(None), slice(1, None))},
    )


GIVEN = {
    "set number": (edit.set("L1.mlp_out", 0.5), lambda x: torch.full_like(x, 0.5)),
    "set vector": (edit.set("L1.mlp_out", VECTOR), lambda x: VECTOR.to(x).expand_as(x)),
    "add": (edit.add("L1.mlp_out", VECTOR), lambda x: x + VECTOR.to(x)),
    "add scaled at a position": (
        edit.add("L1.mlp_out", VECTOR, scale=-3.0, pos=-2),
        lambda x: put(x, (slice(None), -2), x[:, -2] - 3 * VECTOR.to(x)),
    ),
    "scale": (edit.scale("L1.mlp_out", -2.0), lambda x: -2 * x),
    "clamp": (edit.clamp("L1.mlp_out", min=-0.1, max=0.2), lambda x: x.clamp(-0.1, 0.2)),
    "clamp one side": (edit.clamp("L1.mlp_out", max=0.0), lambda x: x.clamp(max=0.0)),
    "project out a direction": (
        edit.project_out("L1.mlp_out", VECTOR),
        lambda x: x - (x @ VECTOR.to(x))[..., None] * VECTOR.to(x) / (VECTOR.double() @ VECTOR.double()),
    ),
    "project out several that are not orthogonal": (
        edit.project_out("L1.mlp_out", torch.stack([BASIS[:, 0], BASIS[:, 0] + 0.1 * BASIS[:, 1]])),
        lambda x: x - x @ BASIS[:, :2] @ BASIS[:, :2].T,
    ),
    "dims": (edit.zero("L1.mlp_out", dims=[0, 3, -1]), lambda x: zeroed(x, ..., [0, 3, -1])),
    "examples": (edit.zero("L1.mlp_out", examples=1), lambda x: zeroed(x, 1)),
    "examples from the end": (edit.zero("L1.mlp_out", examples=-2), lambda x: zeroed(x, 0)),
    "examples as a slice": (edit.zero("L1.mlp_out", examples=slice(-1, None)), lambda x: zeroed(x, 1)),
    "positions": (edit.zero("L1.mlp_out", pos=[0, -1]), lambda x: zeroed(x, slice(None), [0, -1])),
    "all together": (
        edit.set("L1.mlp_out", 2.0, pos=slice(1, 3), dims=slice(0, 4), examples=[0]),
        lambda x: put(x, (0, slice(1, 3), slice(0, 4)), 2.0),
    ),
    "function": (edit.call("L1.mlp_out", lambda x: x.flip(1)), lambda x: x.flip(1)),
    "function at a position": (
        edit.call("L1.mlp_out", lambda x: x.flip(1), pos=0),
        lambda x: put(x, (slice(None), 0), x[:, -1]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GIVEN)
def test_values_that_an_edit_brings(llama: Model, name: str) -> None:
    made, wanted = GIVEN[name]
    check(llama, made, {"L1.mlp_out": wanted})


@pytest.mark.parametrize("head", [0, -1, [1, 2], slice(0, 4, 2)])
def test_heads(llama: Model, head: object) -> None:
    check(llama, edit.zero("L1.z", head=head), {"L1.z": lambda x: zeroed(x, slice(None), slice(None), head)})  # type: ignore[arg-type]


def test_key_value_heads_are_counted_as_they_are(llama: Model) -> None:
    check(llama, edit.zero("L1.v", head=1, pos=0), {"L1.v": lambda x: zeroed(x, slice(None), 0, 1)})


def test_a_tensor_for_each_head_at_one_position(llama: Model) -> None:
    value = torch.arange(32.0).reshape(4, 8)
    check(llama, edit.set("L1.z", value, pos=2), {"L1.z": lambda x: put(x, (slice(None), 2), value.to(x))})


def test_head_out_zero_is_z_zero(llama: Model) -> None:
    one = llama.run(IDS, edits=edit.zero("L1.head_out", head=2)).logits
    by_hand.close(one, llama.run(IDS, edits=edit.zero("L1.z", head=2)).logits)


def test_pattern_zero_at_a_key_removes_that_value(llama: Model) -> None:
    """With one key's column of one head at zero, z loses exactly that key's weighted value."""
    plain = llama.run(IDS, capture=["L1.pattern", "L1.v", "L1.z"])
    run = llama.run(IDS, edits=edit.zero("L1.pattern", head=3, dims=1), capture=["L1.z", "L1.pattern"])
    lost = plain["L1.pattern"][:, 3, :, 1, None] * plain["L1.v"][:, None, 1, 1]
    by_hand.close(run["L1.z"][:, :, 3], plain["L1.z"][:, :, 3] - lost)
    by_hand.close(run["L1.z"][:, :, :3], plain["L1.z"][:, :, :3])
    assert (run["L1.pattern"][:, 3, :, 1] == 0).all()


def test_scores_edit_passes_through_softmax(llama: Model) -> None:
    run = llama.run(IDS, edits=edit.set("L1.scores", 0.0, head=0, pos=-1), capture=["L1.pattern"])
    by_hand.close(run["L1.pattern"][:, 0, -1], torch.full((2, 5), 0.2))


def test_without_a_layer_every_layer_is_edited(llama: Model) -> None:
    check(llama, edit.scale("z", 0.5), {f"L{i}.z": lambda x: 0.5 * x for i in range(3)})


def test_edits_at_one_site_apply_in_order(llama: Model) -> None:
    add, scale = edit.add("L1.mlp_out", VECTOR), edit.scale("L1.mlp_out", 2.0)
    check(llama, [add, scale], {"L1.mlp_out": lambda x: 2 * (x + VECTOR.to(x))})
    check(llama, [scale, add], {"L1.mlp_out": lambda x: 2 * x + VECTOR.to(x)})


def test_edits_at_two_views_of_one_tensor(llama: Model) -> None:
    """The residual stream leaves a block and enters the next: both names mean it, and both edits act."""
    by_hand.close(
        llama.run(IDS, edits=[edit.scale("L0.resid_post", 2.0), edit.add("L1.resid_pre", VECTOR)]).logits,
        by_hand.run(llama.native, IDS, {"L1.resid_pre": lambda x: 2 * x + VECTOR.to(x)})[0],
    )


def test_resid_mid_changes_what_comes_after_attention(llama: Model) -> None:
    by_hand.close(
        llama.run(IDS, edits=edit.add("L1.resid_mid", VECTOR)).logits,
        by_hand.run(llama.native, IDS, {"L1.attn_out": lambda x: x + VECTOR.to(x)})[0],
    )


def test_named_positions(llama: Model) -> None:
    made = edit.zero("L1.mlp_out", pos=["subject", "end"])
    wanted = {"L1.mlp_out": lambda x: zeroed(zeroed(x, 0, [1, 4]), 1, [2, 4])}
    check(llama, made, wanted, positions={"subject": [1, 2]})


def test_ragged_named_slices(llama: Model) -> None:
    """A slice from a named position takes another number of tokens in each example."""
    made = edit.zero("L1.mlp_out", pos=slice("subject", None))  # type: ignore[misc]
    wanted = {"L1.mlp_out": lambda x: zeroed(zeroed(x, 0, slice(1, None)), 1, slice(3, None))}
    check(llama, made, wanted, positions={"subject": [1, 3]})


def test_examples_are_those_of_the_input_whatever_their_length(llama: Model) -> None:
    ragged = [[5, 7, 11], [6, 9, 12, 15, 18], [1, 2, 3]]
    run = llama.run(ragged, edits=edit.zero("L1.mlp_out", examples=slice(2, None)))
    wanted = [
        by_hand.run(llama.native, [ids], {"L1.mlp_out": torch.zeros_like} if row == 2 else None)[0]
        for row, ids in enumerate(ragged)
    ]
    for row, ids in enumerate(ragged):
        by_hand.close(run.logits[row, : len(ids)], wanted[row][0])


def test_noise_is_seeded_and_the_same_in_another_process(llama: Model) -> None:
    made = edit.noise("L1.mlp_out", 0.5, seed=3)
    run, plain = (llama.run(IDS, edits=e, capture=["L1.mlp_out"]) for e in ([made], []))
    torch.manual_seed(99)
    assert torch.equal(run.logits, llama.run(IDS, edits=made).logits)
    assert not torch.equal(run.logits, llama.run(IDS, edits=edit.noise("L1.mlp_out", 0.5, seed=4)).logits)
    drawn = (run["L1.mlp_out"] - plain["L1.mlp_out"])[1, 2, :3] / 0.5
    elsewhere = torch.tensor([1.1295052766799927, -1.107179880142212, 0.3579515218734741])  # drawn by another process
    by_hand.close(drawn, elsewhere)


def test_noise_has_its_size_and_is_independent_over_entries(llama: Model) -> None:
    many = [[(7 * i + j) % 50 + 1 for j in range(8)] for i in range(60)]
    plain = llama.run(many, capture=["L1.mlp_out"])["L1.mlp_out"]
    drawn = llama.run(many, edits=edit.noise("L1.mlp_out", 0.5), capture=["L1.mlp_out"])["L1.mlp_out"] - plain
    assert drawn.mean().item() == pytest.approx(0, abs=0.5 * 4 / drawn.numel() ** 0.5)  # four standard errors
    assert drawn.std().item() == pytest.approx(0.5, abs=0.5 * 4 / (2 * drawn.numel()) ** 0.5)
    rows = torch.corrcoef(drawn.flatten(1))
    assert (rows - torch.eye(60)).abs().max() < 0.35  # 256 entries each: 5.5 standard errors


def test_noise_at_an_example_does_not_depend_on_its_company(llama: Model) -> None:
    made = edit.noise("L1.mlp_out", 0.5)
    plain, alone = (llama.run(IDS[:1], edits=e, capture=["L1.mlp_out"])["L1.mlp_out"] for e in ([], [made]))
    both = llama.run(IDS, edits=made, capture=["L1.mlp_out"])["L1.mlp_out"]
    by_hand.close(both[0], alone[0])
    some = llama.run(IDS, edits=edit.noise("L1.mlp_out", 0.5, pos=[1, 3]), capture=["L1.mlp_out"])["L1.mlp_out"]
    by_hand.close(some[0, [1, 3]], alone[0, [1, 3]])
    by_hand.close(some[0, [0, 2, 4]], plain[0, [0, 2, 4]])


class TestFeature:
    """A dictionary of four features, of which the edit changes one."""

    @pytest.fixture
    def dictionary(self, tmp_path: Path) -> tuple[str, dict[str, Tensor]]:
        random = torch.Generator().manual_seed(0)
        tensors = {
            "encoder": torch.randn(32, 4, generator=random),
            "encoder_bias": torch.randn(4, generator=random),
            "decoder": torch.randn(4, 32, generator=random),
            "decoder_bias": torch.randn(32, generator=random),
        }
        save_file(tensors, tmp_path / "dictionary.safetensors")
        (tmp_path / "dictionary.json").write_text(json.dumps({"activation": "relu"}))
        return str(tmp_path), {name: t.double() for name, t in tensors.items()}

    @staticmethod
    def encode(x: Tensor, t: dict[str, Tensor]) -> Tensor:
        return ((x - t["decoder_bias"]) @ t["encoder"] + t["encoder_bias"]).relu()

    def test_the_error_is_kept(self, llama: Model, dictionary: tuple[str, dict[str, Tensor]]) -> None:
        folder, t = dictionary

        def wanted(x: Tensor) -> Tensor:
            features = self.encode(x, t)
            error = x - (features @ t["decoder"] + t["decoder_bias"])
            features[..., 2] = 5.0
            return features @ t["decoder"] + t["decoder_bias"] + error

        check(llama, edit.feature("L1.mlp_out", folder, values={2: 5.0}), {"L1.mlp_out": wanted})

    def test_without_the_error_it_is_the_reconstruction(
        self, llama: Model, dictionary: tuple[str, dict[str, Tensor]]
    ) -> None:
        folder, t = dictionary

        def wanted(x: Tensor) -> Tensor:
            features = self.encode(x, t)
            features[..., 2] *= 3.0
            return features @ t["decoder"] + t["decoder_bias"]

        made = edit.feature("L1.mlp_out", folder, values={2: 1.5}, scale=2.0, relative=True, keep_error=False)
        check(llama, made, {"L1.mlp_out": wanted})

    def test_features_are_swapped_with_another_run_and_the_error_stays(
        self, llama: Model, dictionary: tuple[str, dict[str, Tensor]]
    ) -> None:
        folder, t = dictionary
        there = llama.run(OTHER, capture="L1.mlp_out")["L1.mlp_out"]

        def wanted(x: Tensor) -> Tensor:
            change = (self.encode(there, t) - self.encode(x, t))[..., [1, 3]]
            return x + change @ t["decoder"][[1, 3]]

        made = edit.swap_features("L1.mlp_out", "other", dictionary=folder, features=[1, 3])
        changed = llama.run(IDS, edits=made, sources={"other": OTHER}).logits
        by_hand.close(changed, llama.run(IDS, edits=edit.call("L1.mlp_out", wanted)).logits)
        same = edit.swap_features("L1.mlp_out", "same", dictionary=folder, features=[1, 3])
        by_hand.close(llama.run(IDS, edits=same, sources={"same": IDS}).logits, llama.run(IDS).logits)

    def test_its_own_activation_changes_nothing(self, llama: Model, dictionary: tuple[str, dict[str, Tensor]]) -> None:
        made = edit.feature("L1.mlp_out", dictionary[0], values={0: 1.0, 3: 1.0}, relative=True)
        by_hand.close(llama.run(IDS, edits=made).logits, llama.run(IDS).logits)
