"""Steered generation in each library: a direction added to the residual stream after layer 12, at every position and step.

assay generates all strengths and prompts as rows of one batch; the others generate one variant after the other, or by hand all
strengths of a prompt as a batch, or in nnsight some as invokes of one generation. All choose the likeliest token, with a
key/value cache; but TransformerLens 4.3.0 without: with its cache it gave other tokens for this model than without, wrong ones
from the second on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from side_by_side import by_transformer_lens
from side_by_side.by_hooks import twin
from side_by_side.sweep_rows import spread
from torch import Tensor, nn

LAYER = 12
PROMPTS = (
    "My favourite thing in the world is",
    "Today I went to",
    "The best way to learn is",
    "When I was young, my father",
)
Tokens = list[list[int]]
Variant = tuple[int, int]
"""The number of a strength and that of a prompt."""
Generate = Callable[[list[Variant]], Tokens]


@dataclass(frozen=True)
class Steering:
    """Prompts, strengths and the direction. A variant is one strength on one prompt."""

    ids: tuple[Tensor, ...]
    scales: tuple[float, ...]
    direction: Tensor
    tokens: int
    tokenizer: Any

    @classmethod
    def of(cls, model: Any, variants: int, tokens: int) -> Steering:
        prompts = PROMPTS if variants >= 4 * len(PROMPTS) else PROMPTS[:2]
        ids = tuple(torch.tensor([model.tokenizer(text, add_special_tokens=False)["input_ids"]]) for text in prompts)
        count = variants // len(prompts)
        direction = torch.randn(model.d_model, generator=torch.Generator().manual_seed(0))
        scales = tuple(40.0 * (i + 1) / count for i in range(count))
        return cls(ids, scales, direction / direction.norm(), tokens, model.tokenizer)

    @property
    def variants(self) -> list[Variant]:
        return list(itertools.product(range(len(self.scales)), range(len(self.ids))))

    def some(self, count: int) -> list[Variant]:
        """A few variants: each another strength, prompts in turn."""
        strengths = spread(range(len(self.scales)), min(count, len(self.scales)))
        return [(strength, i % len(self.ids)) for i, strength in enumerate(strengths)]

    def some_prompts(self, count: int) -> list[Variant]:
        """All strengths of a few prompts."""
        prompts = spread(range(len(self.ids)), min(count, len(self.ids)))
        return [(strength, prompt) for strength in range(len(self.scales)) for prompt in prompts]

    def added(self, strength: int) -> Tensor:
        return self.scales[strength] * self.direction


def swept(model: Any, steering: Steering) -> dict[Variant, list[int]]:
    """assay: every variant."""
    from assay import edit

    made = model.generate_sweep(
        [row[0].tolist() for row in steering.ids], edit.add(f"L{LAYER}.resid_post", steering.direction),
        over={"scale": list(steering.scales)}, max_new_tokens=steering.tokens,
    )  # fmt: skip
    rows = made["tokens"].values.reshape(-1, made["tokens"].shape[-1]).tolist()
    return dict(zip(steering.variants, rows, strict=True))


def naive(model: Any, steering: Steering, variants: list[Variant]) -> Tokens:
    """assay without rows: each variant by itself."""
    from assay import edit

    found = []
    for strength, prompt in variants:
        made = model.generate_sweep(
            [steering.ids[prompt][0].tolist()], edit.add(f"L{LAYER}.resid_post", steering.direction),
            over={"scale": [steering.scales[strength]]}, max_new_tokens=steering.tokens, without=["rows"],
        )  # fmt: skip
        found.append(made["tokens"].values.reshape(-1).tolist())
    return found


def one_by_one(native: nn.Module, steering: Steering) -> Generate:
    return by_prompt(native, steering, size=1)


def by_prompt(native: nn.Module, steering: Steering, size: int = 16) -> Generate:
    """Strengths of one prompt as rows of a batch."""
    native = twin(native)
    layer: Any = native.model.layers[LAYER]

    def run(variants: list[Variant]) -> Tokens:
        found: dict[Variant, list[int]] = {}
        for p, prompt in enumerate(steering.ids):
            strengths = [strength for strength, at in variants if at == p]
            for start in range(0, len(strengths), size):
                some = strengths[start : start + size]
                vectors = torch.stack([steering.added(strength) for strength in some])[:, None]
                handle = layer.register_forward_hook(lambda module, args, out, v=vectors: out + v)
                try:
                    made = native.generate(
                        prompt.repeat(len(some), 1), attention_mask=torch.ones(len(some), prompt.shape[1]).long(),
                        max_new_tokens=steering.tokens, do_sample=False, pad_token_id=2,
                    )  # fmt: skip
                finally:
                    handle.remove()
                found |= {(s, p): row for s, row in zip(some, made[:, prompt.shape[1] :].tolist(), strict=True)}
        return [found[variant] for variant in variants]

    return run


def by_lens(native: nn.Module, steering: Steering) -> Generate:
    bridge = by_transformer_lens.build(native)
    bridge.tokenizer = bridge.tokenizer or steering.tokenizer
    name = by_transformer_lens.theirs(f"L{LAYER}.mlp_out").replace("hook_mlp_out", "hook_resid_post")

    def run(variants: list[Variant]) -> Tokens:
        found = []
        for strength, at in variants:
            prompt, vector = steering.ids[at], steering.added(strength)
            with bridge.hooks(fwd_hooks=[(name, lambda value, hook, v=vector: value + v)]):
                made = bridge.generate(
                    prompt, max_new_tokens=steering.tokens, do_sample=False, eos_token_id=2, use_past_kv_cache=False,
                    verbose=False, return_type="tokens",
                )  # fmt: skip
            found.append(made[0, prompt.shape[1] :].tolist())
        return found

    return run


def by_traces(native: nn.Module, steering: Steering) -> Generate:
    wrapped, layer = _generating(native, steering)

    def run(variants: list[Variant]) -> Tokens:
        found = []
        for strength, at in variants:
            prompt, vector = steering.ids[at], steering.added(strength)
            with wrapped.generate(prompt, max_new_tokens=steering.tokens, do_sample=False, pad_token_id=2) as tracer:
                for _ in tracer.iter[: steering.tokens]:
                    layer.output[:] += vector
                made = tracer.result.save()
            found.append(made[0, prompt.shape[1] :].tolist())
        return found

    return run


def by_invokes(native: nn.Module, steering: Steering, size: int = 16) -> Generate:
    """Variants as invokes of one generation; prompts of different lengths are padded on the left."""
    wrapped, layer = _generating(native, steering)

    def run(variants: list[Variant]) -> Tokens:
        found: Tokens = []
        for start in range(0, len(variants), size):
            some = variants[start : start + size]
            with wrapped.generate(max_new_tokens=steering.tokens, do_sample=False, pad_token_id=2) as tracer:
                made = list().save()  # noqa: C408 (a literal has no save)
                for strength, at in some:
                    vector = steering.added(strength)
                    with tracer.invoke(steering.ids[at]):
                        for _ in tracer.iter[: steering.tokens]:
                            layer.output[:] += vector
                        made.append(tracer.result)
            found += [row[0, -steering.tokens :].tolist() for row in made]
        return found

    return run


def _generating(native: nn.Module, steering: Steering) -> tuple[Any, Any]:
    from nnsight.modeling.transformers import TransformersModel

    wrapped: Any = TransformersModel(twin(native), tokenizer=steering.tokenizer, task="text-generation")
    return wrapped, wrapped.model.layers[LAYER]
