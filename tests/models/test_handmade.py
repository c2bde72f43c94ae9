"""Networks of the user's own: every site's value and effect, worked out by hand from the native parts."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from tests.models.follow import Call, follow
from tests.models.handmade import HEADS, SIZE, WIDTH, Gaze, House, house, numbers
from torch import Tensor, nn

import assay
from assay import edit, metric
from assay.core.errors import SiteError

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
"""Sums of a few dozen float32 terms of order 1 to 10, taken in another order."""


def load(native: nn.Module) -> assay.Model:
    return assay.load(native, inputs={"numbers": numbers()})


@cache
def pair(gaze: type[nn.Module] = Gaze, *, parallel: bool = False) -> tuple[House, assay.Model]:
    """A house and the model that was made of it."""
    native = house(gaze=gaze, parallel=parallel)
    return native, load(native)


def heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, (HEADS, SIZE))


def by_hand(native: House, calls: dict[str, Call], layer: int) -> dict[str, Tensor]:
    """All sites of a floor, from the calls of its native parts."""
    at = f"floors.{layer}"
    floor = native.floors[layer]
    x, calm, still = calls[at].x, calls[f"{at}.calm"].y, calls[f"{at}.still"].y
    q, k, v = (heads(calls[f"{at}.gaze.{n}"].y) for n in ("ask", "offer", "give"))
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / SIZE**0.5
    scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), float("-inf"))
    z = heads(calls[f"{at}.gaze.gather"].x)
    weight = floor.gaze.gather.weight
    shares = [z[:, :, h] @ weight[:, h * SIZE : (h + 1) * SIZE].T for h in range(HEADS)]
    attn, mlp = calls[f"{at}.gaze"].y, calls[f"{at}.mill"].y
    middle = x + attn

    def scale(t: Tensor) -> Tensor:
        return (t.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()

    return {
        "resid_pre": x, "attn_in": calm, "attn_norm_scale": scale(x), "q": q, "k": k, "v": v, "scores": scores,
        "pattern": scores.softmax(-1), "z": z, "head_out": torch.stack(shares, 2), "attn_out": attn,
        "mlp_norm_scale": scale(x if floor.parallel else middle), "mlp_in": still,
        "mlp_pre": calls[f"{at}.mill.widen"].y, "mlp_post": calls[f"{at}.mill.narrow"].x, "mlp_out": mlp,
        "resid_post": calls[at].y, **({} if floor.parallel else {"resid_mid": middle}),
    }  # fmt: skip


@pytest.mark.parametrize("parallel", [False, True])
def test_every_site_of_a_network_with_odd_names(parallel: bool) -> None:
    native, model = pair(parallel=parallel)
    other = numbers(batch=3, length=9, seed=5)  # neither the batch nor the length that structure was found on
    calls, out = follow(native, {"numbers": other})
    names = [str(site) for site in model.sites]
    run = model.run({"numbers": other}, capture=names)
    assert torch.equal(run.logits, out)
    for layer in range(2):
        expected = by_hand(native, calls, layer)
        mine = {n.split(".")[1] for n in names if n.startswith(f"L{layer}.")}
        assert mine == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(run[f"L{layer}.{name}"], value, **CLOSE, msg=lambda m, n=name: f"{n}: {m}")
    torch.testing.assert_close(run["embed"], native.words(other))
    torch.testing.assert_close(run["pos_embed"], native.places.weight[:9].expand(3, 9, WIDTH))
    torch.testing.assert_close(run["final_norm"], calls["roof"].y)
    kinds = set(model.network.structure.kinds.values())
    assert kinds == {"parallel" if parallel else "sequential"}


def test_a_parallel_block_has_no_middle() -> None:
    _, model = pair(parallel=True)
    assert model.why_not("L0.resid_mid") == "a parallel block has no residual stream between attention and MLP"
    with pytest.raises(SiteError, match=r"'L0.resid_mid' is not in this model: a parallel block"):
        model.site("L0.resid_mid")


def test_sizes_are_those_of_the_network() -> None:
    _, model = pair()
    assert (model.n_layers, model.n_heads, model.d_model) == (2, HEADS, WIDTH)
    assert model.site("L0.q").axes == ("batch", "pos", "head", "d_head")
    assert dict(model.site("L0.q").sizes) == {"head": HEADS, "d_head": SIZE}
    assert dict(model.site("L0.mlp_pre").sizes) == {"d_mlp": 40}


def replay(native: House, ids: Tensor, changes: dict[str, Any]) -> Tensor:
    """The house's forward pass written out, with a change at each named place."""

    def at(name: str, value: Tensor) -> Tensor:
        return changes[name](value) if name in changes else value

    x = at("embed", native.words(ids)) + at("pos_embed", native.places(torch.arange(ids.shape[1])))
    for i, floor in enumerate(native.floors):
        x = at(f"L{i}.resid_pre", x)
        a = at(f"L{i}.attn_in", floor.calm(x))
        gaze = floor.gaze
        q, k, v = (at(f"L{i}.{n}", heads(f(a))) for n, f in zip("qkv", (gaze.ask, gaze.offer, gaze.give), strict=True))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / SIZE**0.5
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), float("-inf"))
        pattern = at(f"L{i}.pattern", at(f"L{i}.scores", scores).softmax(-1))
        z = at(f"L{i}.z", torch.einsum("bhqk,bkhd->bqhd", pattern, v))
        rows = gaze.gather.weight.T.unflatten(0, (HEADS, SIZE))
        shares = at(f"L{i}.head_out", torch.einsum("bphd,hdm->bphm", z, rows))
        x = at(f"L{i}.resid_mid", x + at(f"L{i}.attn_out", shares.sum(2) + gaze.gather.bias))
        m = at(f"L{i}.mlp_in", floor.still(x))
        hidden = at(f"L{i}.mlp_post", nn.functional.gelu(at(f"L{i}.mlp_pre", floor.mill.widen(m))))
        x = at(f"L{i}.resid_post", x + at(f"L{i}.mlp_out", floor.mill.narrow(hidden)))
    return native.voice(at("final_norm", native.roof(x)))


PLACES = (
    "embed", "pos_embed", "L0.resid_pre", "L1.attn_in", "L0.q", "L1.k", "L0.v", "L1.scores", "L0.pattern", "L1.z",
    "L0.head_out", "L1.attn_out", "L0.resid_mid", "L1.mlp_in", "L0.mlp_pre", "L1.mlp_post", "L0.mlp_out",
    "L1.resid_post", "final_norm",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_change_at_a_site_is_the_change_in_native_code(place: str) -> None:
    native, model = pair()
    ids = numbers(seed=3)

    def change(value: Tensor) -> Tensor:
        return torch.where(value.isfinite(), value.sin(), value)

    with torch.no_grad():
        expected = replay(native, ids, {place: change})
        assert not torch.allclose(expected, native(ids), atol=1e-3), "the change must matter"
    run = model.run({"numbers": ids}, edits=[edit.call(place, change)])
    torch.testing.assert_close(run.logits, expected, rtol=1e-4, atol=1e-4)  # logits are of order 100


@pytest.mark.parametrize("place", PLACES)
def test_a_set_value_is_what_is_seen_afterwards(place: str) -> None:
    _, model = pair()
    ids = {"numbers": numbers(seed=3)}
    before = model.run(ids, capture=[place])[place]
    wanted = before.clone()
    wanted[1, ..., -1] = 0.25
    after = model.run(ids, edits=[edit.set(place, wanted)], capture=[place])[place]
    torch.testing.assert_close(after, wanted, rtol=1e-6, atol=1e-5)  # a sum can be set within one rounding


def test_a_patch_of_a_sites_own_value_is_bit_for_bit_nothing() -> None:
    native, model = pair()
    ids = {"numbers": numbers(seed=3)}
    with torch.no_grad():
        plain = native(**ids)
    for site in model.sites:
        run = model.run(ids, edits=[edit.patch(str(site), "same")], sources={"same": ids})
        assert torch.equal(run.logits, plain), site


def test_gradients_at_sites_are_those_of_the_written_out_pass() -> None:
    native, model = pair()
    ids = numbers(seed=3)
    names = ["L0.z", "L1.pattern", "L0.head_out", "L0.resid_mid", "L1.mlp_pre", "L0.q", "embed"]
    found = model.gradients({"numbers": ids}, of=metric.logit_diff(5, 7), sites=names)
    for name in names:
        leaves: list[Tensor] = []

        def leaf(value: Tensor, leaves: list[Tensor] = leaves) -> Tensor:
            leaves.append(value.detach().requires_grad_())
            return leaves[-1]

        logits = replay(native, ids, {name: leaf})[:, -1]
        (logits[:, 5] - logits[:, 7]).sum().backward()
        scale = float(leaves[0].grad.abs().max())
        torch.testing.assert_close(found[name], leaves[0].grad, rtol=1e-4, atol=1e-5 * scale)


def test_nothing_is_left_on_the_network() -> None:
    native, model = pair()
    model.run({"numbers": numbers()}, capture=["L0.pattern"], edits=[edit.zero("L0.z")])

    def explode(value: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.run({"numbers": numbers()}, capture=["L1.scores"], edits=[edit.call("L0.pattern", explode)])
    for module in native.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert not torch.overrides._get_current_function_mode_stack()


class Wordless(nn.Module):
    """No stack of blocks at all."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).relu())


def test_any_module_by_path() -> None:
    torch.manual_seed(0)
    native = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.randn(5, 4)
    model = assay.load(native, inputs={"input": x})
    assert model.sites == []
    run = model.run({"input": x}, capture=["native:0:out", "native:2:in", "native:1:in"])
    with torch.no_grad():
        assert torch.equal(run["native:0:out"], native[0](x))
        assert torch.equal(run["native:2:in"], native[0](x).relu())
        changed = model.run({"input": x}, edits=[edit.scale("native:2:in", 2.0)]).logits
        torch.testing.assert_close(changed, native[2](2 * native[0](x).relu()))


def test_a_module_that_was_not_run_says_so() -> None:
    model = assay.load(nn.Sequential(nn.Linear(4, 8)))
    assert model.sites == []
    assert "give inputs= to load" in (model.why_not("L0.resid_post") or "")
    with pytest.raises(SiteError, match="no transformers model, so what it takes is not known: give inputs= to load"):
        model.site("L0.resid_post")
    x = torch.randn(3, 4)
    assert model.run({"input": x}, capture=["native:0:out"])["native:0:out"].shape == (3, 8)
    with pytest.raises(SiteError, match=r"no module is called '00'"):
        model.site("native:00:out")


def test_inputs_that_do_not_fit_say_why() -> None:
    model = assay.load(nn.Sequential(nn.Linear(4, 8)), inputs={"input": torch.randn(3, 5)})
    reason = model.why_not("logits") or ""
    assert "could not be run on example inputs (RuntimeError" in reason
    assert "give inputs= to load" in reason


def test_without_a_stack_sites_are_absent_with_a_reason() -> None:
    model = assay.load(Wordless(), inputs={"x": torch.randn(3, 4)})
    assert model.n_layers == 0
    assert "no stack of blocks was found" in (model.why_not("L0.resid_post") or "")


class Murky(nn.Module):
    """A block that multiplies the stream: no sum of parts explains what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.part(x)) + x.square()


def test_a_block_that_cannot_be_explained_has_its_ends_and_a_reason() -> None:
    native = House(Murky(), Murky()).eval()
    model = load(native)
    assert model.network.structure.kinds == {(None, 0): "unknown", (None, 1): "unknown"}
    why = "no outputs of this block's modules add up to the change of the residual stream"
    for name in ("attn_out", "mlp_out", "resid_mid"):
        assert model.why_not(f"L0.{name}") == why
    calls, _ = follow(native, {"numbers": numbers()})
    run = model.run({"numbers": numbers()}, capture=["resid_pre", "resid_post"])
    assert torch.equal(run["L1.resid_pre"], calls["floors.0"].y)
    assert torch.equal(run["L1.resid_post"], calls["floors.1"].y)


class Turned(nn.Module):
    """A linear layer that keeps its weight as [in, out]; square, so that no shape tells."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH) * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Bent(nn.Linear):
    """Looks like a linear layer, and does more."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(super().forward(x))


class TurnedGaze(Gaze):
    def __init__(self) -> None:
        super().__init__()
        self.gather = Turned()


class BentGaze(Gaze):
    def __init__(self) -> None:
        super().__init__()
        self.gather = Bent(WIDTH, WIDTH)


class EinsumGaze(Gaze):
    """As research code often writes it."""

    def forward(self, river: Tensor) -> Tensor:
        q, k, v = (heads(f(river)) for f in (self.ask, self.offer, self.give))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / SIZE**0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        pattern = scores.masked_fill(future, float("-inf")).softmax(-1)
        return self.gather(torch.einsum("bkhd,bhqk->bqhd", v, pattern).flatten(-2))


class BareGaze(nn.Module):
    """All weights are parameters: no module reads or returns q, k, v or z."""

    def __init__(self) -> None:
        super().__init__()
        self.three = nn.Parameter(torch.randn(3, HEADS, WIDTH, SIZE) * 0.2)
        self.out = nn.Parameter(torch.randn(HEADS, SIZE, WIDTH) * 0.2)

    def forward(self, river: Tensor) -> Tensor:
        q, k, v = (torch.einsum("bpm,hmd->bphd", river, w) for w in self.three)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / SIZE**0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        pattern = scores.masked_fill(future, float("-inf")).softmax(-1)
        return torch.einsum("bphd,hdm->bpm", torch.einsum("bhqk,bkhd->bqhd", pattern, v), self.out)


class FusedGaze(Gaze):
    """A kernel that shows neither scores nor pattern."""

    def forward(self, river: Tensor) -> Tensor:
        q, k, v = (heads(f(river)).transpose(1, 2) for f in (self.ask, self.offer, self.give))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.gather(mixed.transpose(1, 2).flatten(-2))


class TorchGaze(nn.Module):
    """torch's own module, which computes everything in one call."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, river: Tensor) -> Tensor:
        return self.whole(river, river, river, need_weights=False)[0]


class OneGaze(Gaze):
    """One head, without an axis for it."""

    def forward(self, river: Tensor) -> Tensor:
        return self.gather(self.weigh(self.ask(river), self.offer(river)) @ self.give(river))


def test_a_weight_that_is_stored_the_other_way_round() -> None:
    """A square matrix fits both ways: only the values tell which rows are a head's."""
    native, model = pair(TurnedGaze)
    run = model.run({"numbers": numbers()}, capture=["L1.head_out", "L1.z", "L1.attn_out"])
    weight = native.floors[1].gaze.gather.weight
    for h in range(HEADS):
        share = run["L1.z"][:, :, h] @ weight[h * SIZE : (h + 1) * SIZE]
        torch.testing.assert_close(run["L1.head_out"][:, :, h], share.detach(), **CLOSE)
    torch.testing.assert_close(run["L1.head_out"].sum(2), run["L1.attn_out"], **CLOSE)


def test_what_only_looks_linear_has_no_shares_of_heads() -> None:
    _, model = pair(BentGaze)
    assert model.site("L0.z")
    assert "more than multiply by its weight" in (model.why_not("L0.head_out") or "")


def test_attention_as_einsum_has_every_site() -> None:
    (_, model), (_, plain) = pair(EinsumGaze), pair()
    names = [str(site) for site in plain.sites]
    assert [str(site) for site in model.sites] == names
    ids = {"numbers": numbers(seed=8)}
    one, other = model.run(ids, capture=names), plain.run(ids, capture=names)
    for name in names:
        torch.testing.assert_close(one[name], other[name], **CLOSE)


def test_without_an_output_projection_no_other_layer_is_taken_for_it() -> None:
    """The MLP's first layer reads as many numbers as the heads give: it must not become z."""
    _, model = pair(BareGaze)
    for name in ("z", "head_out"):
        assert model.why_not(f"L0.{name}") == "no linear layer reads the heads' outputs side by side"
    for name in ("q", "k", "v"):
        assert f"no projection of this block gives {name}" in (model.why_not(f"L0.{name}") or "")
    for name in ("pattern", "scores", "attn_out", "mlp_in", "mlp_pre", "mlp_post"):
        assert model.why_not(f"L0.{name}") is None


def test_a_fused_kernel_is_attention_without_scores() -> None:
    (_, model), (_, plain) = pair(FusedGaze), pair()
    names = [str(s) for s in plain.sites if s.name.name not in ("scores", "pattern")]
    assert [str(site) for site in model.sites] == names
    assert "fused kernel" in (model.why_not("L0.pattern") or "")
    assert model.why_not("L0.ssm_out") == "this block has no recurrent branch"
    ids = {"numbers": numbers(seed=8)}
    one, other = model.run(ids, capture=names), plain.run(ids, capture=names)
    for name in names:
        torch.testing.assert_close(one[name], other[name], **CLOSE)


def test_torchs_own_attention_module_is_attention() -> None:
    native, model = pair(TorchGaze)
    calls, _ = follow(native, {"numbers": numbers()})
    run = model.run({"numbers": numbers()}, capture=["L1.attn_out", "L1.attn_in"])
    assert torch.equal(run["L1.attn_out"], calls["floors.1.gaze"].y)
    assert torch.equal(run["L1.attn_in"], calls["floors.1.calm"].y)
    for name in ("pattern", "q", "z", "head_out"):
        assert "fused kernel" in (model.why_not(f"L0.{name}") or "")


def test_one_head_without_an_axis_has_an_axis_in_its_sites() -> None:
    native, model = pair(OneGaze)
    calls, _ = follow(native, {"numbers": numbers()})
    run = model.run({"numbers": numbers()}, capture=["L1.pattern", "L1.q", "L1.z", "L1.head_out", "L1.attn_out"])
    assert run["L1.pattern"].shape == (4, 1, 6, 6)
    assert torch.equal(run["L1.q"][:, :, 0], calls["floors.1.gaze.ask"].y)
    assert torch.equal(run["L1.z"][:, :, 0], calls["floors.1.gaze.gather"].x)
    weighed = run["L1.pattern"][:, 0] @ calls["floors.1.gaze.give"].y
    torch.testing.assert_close(run["L1.z"][:, :, 0], weighed, **CLOSE)


def test_a_language_model_that_returns_a_bare_tensor_has_logits() -> None:
    native, model = pair()
    ids = numbers(seed=4)
    run = model.run({"numbers": ids}, capture=["logits"], edits=[edit.zero("logits", dims=3)])
    with torch.no_grad():
        plain = native(ids)
    plain[..., 3] = 0
    assert torch.equal(run["logits"], plain)
    assert torch.equal(run.logits, plain)


def test_token_ids_go_to_the_argument_that_takes_them() -> None:
    native, model = pair()
    ids = numbers(seed=4)
    assert torch.equal(model.run(ids).logits, model.run({"numbers": ids}).logits)
    ragged = model.run([[1, 2, 3], [4, 5, 6, 7]], capture=["L1.resid_post"])
    calls, _ = follow(native, {"numbers": torch.tensor([[1, 2, 3]])})
    torch.testing.assert_close(ragged["L1.resid_post"][0, :3], calls["floors.1"].y[0], **CLOSE)


def test_a_wrong_name_is_told_what_there_is() -> None:
    _, model = pair()
    cases = {
        "L2.z": r"'L2.z' is not in this model: it has layers 0-1. Nearest: L1.z \(the last layer\)",
        "L-3.z": r"'L-3.z' is not in this model: it has layers 0-1",
        "z": r"'z' is a site of 2 layers: name one of them, L0.z say",
        "router": "'router' is not in this model: this block has no such part",
        "enc.L0.z": "its layers are called L<layer>",
        "enc.z": "its layers are called L<layer>",
        "L0.mlp_up": "this MLP is not gated",
        "native:floors.0.gase:out": "no module is called 'floors.0.gase'. Nearest: floors.0.gaze",
    }
    for name, message in cases.items():
        with pytest.raises(SiteError, match=message):
            model.site(name)
        if name != "z":
            assert model.why_not(name)
    assert model.why_not("z") is None
    assert model.site("L-1.z") == model.site("L1.z") == model.site("blocks.1.attn.hook_z")


class Soft(nn.Module):
    """The softmax as a module of its own, with the projection outside the module that mixes."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x, -1)


class NestedGaze(Gaze):
    def __init__(self) -> None:
        super().__init__()
        self.soft = Soft()

    def weigh(self, q: Tensor, k: Tensor) -> Tensor:
        scores = torch.matmul(q, k.transpose(-1, -2)) / SIZE**0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        return self.soft(scores.masked_fill(future, float("-inf")))


def test_a_softmax_that_is_a_module_of_its_own() -> None:
    (_, model), (_, plain) = pair(NestedGaze), pair()
    names = ["L1.z", "L1.head_out", "L1.pattern", "L1.scores"]
    ids = {"numbers": numbers(seed=8)}
    one, other = model.run(ids, capture=names), plain.run(ids, capture=names)
    for name in names:
        torch.testing.assert_close(one[name], other[name], **CLOSE)
