"""Norms are recognised by what they do."""

from __future__ import annotations

import pytest
import torch
from tests.conformance.zoo import build
from tests.models.follow import follow
from torch import Tensor, nn

from assay.engine.model import load
from assay.models.norms import norm_tap, norms_of
from assay.models.ports import Port
from assay.models.taps import Passing
from assay.models.trace import trace
from assay.models.views import Frame

FRAME = Frame(4, 6)


class OffsetNorm(nn.Module):
    """As in Gemma: the weight is stored less one, the epsilon has a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.randn(16) * 0.3), 1e-3

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + self.variance_epsilon).rsqrt() * (1 + self.weight)


class Unit(nn.Module):
    """No norm of ours: it divides by the length, then by a number of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x) / x.norm(dim=-1, keepdim=True)


def layer_norm() -> nn.Module:
    made = nn.LayerNorm(16, eps=1e-2)
    nn.init.normal_(made.weight)
    nn.init.normal_(made.bias)
    return made


def found(module: nn.Module) -> tuple[object, Tensor]:
    torch.manual_seed(0)
    native, x = nn.Sequential(module), torch.randn(4, 6, 16)
    event = next(e for e in trace(native, {"input": x}).events if e.path == "0")
    return norm_tap(native, event, FRAME), x


@pytest.mark.parametrize(
    ("make", "centred", "eps"),
    [(layer_norm, True, 1e-2), (lambda: nn.RMSNorm(16, eps=1e-4), False, 1e-4), (OffsetNorm, False, 1e-3)],
)
def test_the_scale_is_what_the_norm_divides_by(make: type[nn.Module], centred: bool, eps: float) -> None:
    module = make()
    tap, x = found(module)
    assert tap is not None
    assert tap.centred == centred
    assert tap.eps == pytest.approx(eps)
    native = nn.Sequential(module)
    run = Passing(FRAME, native, {tap.source: x})
    out = follow(native, {"input": x})[0]["0"].y.detach()
    scale = tap.read(out, run)
    wide = x - x.mean(-1, keepdim=True) if centred else x
    torch.testing.assert_close(scale, (wide.square().mean(-1, keepdim=True) + eps).sqrt())
    doubled = tap.write(out, scale, scale * 2, run)
    bias = getattr(module, "bias", None)
    bias = torch.zeros(16) if bias is None else bias
    torch.testing.assert_close(doubled - bias, (out - bias) / 2)
    assert torch.equal(tap.write(out, scale, scale.clone(), run), out)
    assert tap.port == Port("0", "out", None)


@pytest.mark.parametrize("module", [Unit(), nn.Linear(16, 16), nn.Tanh(), nn.Softmax(-1)])
def test_what_is_no_norm_has_no_scale(module: nn.Module) -> None:
    assert found(module)[0] is None


class Weighted(nn.Module):
    """Hands on what it is given, times a weight: after a norm it looks like one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 2, 16))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Around(nn.Module):
    """A norm and nothing else, in a module of its own."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class PerHead(nn.Module):
    """A norm of each head's vector, in a layout of its own, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(4, eps=1e-4)
        nn.init.normal_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        heads = x.unflatten(-1, (4, 4)).transpose(1, 2)
        return (self.norm(heads) + self.norm(heads.flip(-1))).transpose(1, 2).flatten(-2)


def test_every_norm_of_a_model_and_nothing_that_looks_like_one() -> None:
    plain = nn.RMSNorm(16, eps=1e-4, elementwise_affine=False)
    native = nn.Sequential(plain, Weighted(), nn.Dropout(), nn.Tanh(), Around(layer_norm()), PerHead(), Unit()).eval()
    found = norms_of(native, [{"wrong": 1}, {"input": torch.randn(4, 6, 16)}])
    assert [(t.port.module, t.port.call, t.centred) for t in found] == [
        ("0", 0, False), ("4.norm", 0, True), ("5.norm", 0, False), ("5.norm", 1, False),
    ]  # fmt: skip
    assert norms_of(native, []) == ()


@pytest.mark.parametrize(
    "name", ["llama", "gpt2", "gemma2", "gemma3_text", "qwen3", "olmo2", "deepseek_v3", "bloom", "BertForMaskedLM"]
)
def test_the_norms_of_an_architecture_are_those_that_are_called_so(name: str) -> None:
    native, _ = build(name)
    called = {path for path, module in native.named_modules() if "norm" in type(module).__name__.lower()}
    network = load(native).network
    assert {tap.port.module for tap in network.norms} == called
