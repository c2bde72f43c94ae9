"""A small imaginary model for tests that need facts of one: 3 layers (layer 2 has no attention), 4 heads, width 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from assay.core.errors import InputError, SiteError
from assay.core.sites import SiteName
from assay.experiments.experiment import Experiment
from assay.experiments.inputs import Texts

WIDTH = {"d_model": 8}
SITES: dict[str, tuple[tuple[str, ...], dict[str, int], tuple[int, ...]]] = {
    "resid_post": (("batch", "pos", "d_model"), WIDTH, (0, 1, 2)),
    "mlp_out": (("batch", "pos", "d_model"), WIDTH, (0, 1, 2)),
    "attn_out": (("batch", "pos", "d_model"), WIDTH, (0, 1)),
    "z": (("batch", "pos", "head", "d_head"), {"head": 4, "d_head": 2}, (0, 1)),
    "k": (("batch", "pos", "kv_head", "d_head"), {"kv_head": 2, "d_head": 2}, (0, 1)),
    "pattern": (("batch", "head", "query", "key"), {"head": 4}, (0, 1)),
    "mlp_norm_scale": (("batch", "pos", "one"), {"one": 1}, (0, 1, 2)),
}


@dataclass(frozen=True)
class TinySite:
    name: str
    axes: tuple[str, ...]
    sizes: Mapping[str, int]
    layer: int | None
    writable: bool = True


@dataclass(frozen=True)
class TinyFacts:
    """Texts are split at spaces; `wider` layers have twice the heads."""

    experiment: Experiment | None = None
    wider: tuple[int, ...] = ()
    vocabulary: int | None = 100
    tokenizer: bool = True
    untokenised: tuple[str, ...] = field(default=())

    def sites(self, name: str) -> list[TinySite]:
        parsed = SiteName.parse(name)
        if parsed.name == "logits":
            return [TinySite("logits", ("batch", "pos", "vocab"), {"vocab": 100}, None)]
        if parsed.name not in SITES:
            raise SiteError(f"{name!r} is not in this model.")
        axes, sizes, layers = SITES[parsed.name]
        found = [
            TinySite(f"L{i}.{parsed.name}", axes, self._sizes(sizes, i), i, parsed.name != "mlp_norm_scale")
            for i in layers
            if parsed.layer in (None, i)
        ]
        if not found:
            raise SiteError(f"{name!r} is not in this model: layers {layers}.")
        return found

    def _sizes(self, sizes: dict[str, int], layer: int) -> dict[str, int]:
        factor = 2 if layer in self.wider else 1
        return {axis: size * (factor if axis == "head" else 1) for axis, size in sizes.items()}

    def tokens(self, input_name: str) -> Sequence[Sequence[str]] | None:
        if input_name in self.untokenised:
            return None
        assert self.experiment is not None
        given = self.experiment.inputs[input_name]
        assert isinstance(given, Texts)
        return [[w if i == 0 else f" {w}" for i, w in enumerate(text.split())] for text in given.texts]

    def lengths(self, input_name: str) -> list[int] | None:
        tokens = self.tokens(input_name)
        return None if tokens is None else [len(row) for row in tokens]

    def padded(self, input_name: str) -> None:
        return None

    def split(self, text: str) -> list[str]:
        if not self.tokenizer:
            raise InputError("no tokenizer")
        words = text.split(" ")
        return [word if i == 0 else f" {word}" for i, word in enumerate(words) if word or i]


@pytest.fixture
def facts() -> type[TinyFacts]:
    return TinyFacts
