"""Steered generation in each library: a direction added to the residual stream after layer 12, at every position and step.

assay generates all strengths and prompts as rows of one batch; the others generate one variant after the other, or, by hand,
all strengths of a prompt as a batch. All choose the likeliest token, with a key/value cache; but TransformerLens 4.3.0
without: with its cache it gave other tokens for this model than without, wrong ones from the second on.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from side_by_side import by_transformer_lens
from side_by_side.contestants import built
from torch import Tensor, nn

LAYER = 12
PROMPTS = (
    "My favourite thing in the world is",
    "Today I went to",
    "The best way to learn is",
    "When I was young, my father",
)
Tokens = list[list[int]]


def works(model: Any, variants: int, tokens: int) -> dict[str, Callable[[], Tokens]]:
    """Each tool's work, and under `naive` what it is checked against: tokens of all prompts at each strength."""
    from assay import edit

    prompts = PROMPTS if variants >= 4 * len(PROMPTS) else PROMPTS[:2]
    ids = [torch.tensor([model.tokenizer(text, add_special_tokens=False)["input_ids"]]) for text in prompts]
    count = variants // len(prompts)
    scales = [40.0 * (i + 1) / count for i in range(count)]
    direction = torch.randn(model.d_model, generator=torch.Generator().manual_seed(0))
    direction /= direction.norm()

    def swept(*without: str) -> Tokens:
        made = model.generate_sweep(
            [row[0].tolist() for row in ids], edit.add(f"L{LAYER}.resid_post", direction), over={"scale": scales},
            max_new_tokens=tokens, without=list(without),
        )  # fmt: skip
        return made["tokens"].values.reshape(-1, made["tokens"].shape[-1]).tolist()

    def given(build: Any) -> Any:
        return lambda native: build(native, model.tokenizer, ids, [s * direction for s in scales], tokens)

    builders = {
        "loop by hand": ("torch", given(one_by_one)),
        "batches by hand": ("torch", given(by_prompt)),
        "TransformerLens": ("transformer_lens", given(by_lens)),
        "nnsight": ("nnsight", given(by_traces)),
    }
    return {"naive": lambda: swept("rows"), "assay": swept, **built(builders, model.native)}


def check(name: str, found: Tokens, wanted: Tokens) -> float:
    """The share of texts that differ. One in ten may: two tokens whose scores are within rounding change places."""
    differ = sum(_ended(f) != _ended(w) for f, w in zip(found, wanted, strict=True))
    assert differ <= len(wanted) / 10, (
        f"{name}: {differ} of {len(wanted)} texts differ from one-by-one generation in assay"
    )
    return differ / len(wanted)


def _ended(row: list[int]) -> list[int]:
    """Without what fills a row up after its end."""
    end = next((i for i, token in enumerate(row) if token in (-1, 2)), len(row))
    return row[:end]


def one_by_one(
    native: nn.Module, tokenizer: Any, ids: list[Tensor], added: list[Tensor], tokens: int
) -> Callable[[], Tokens]:
    return by_prompt(native, tokenizer, ids, added, tokens, size=1)


def by_prompt(
    native: nn.Module, tokenizer: Any, ids: list[Tensor], added: list[Tensor], tokens: int, size: int = 16
) -> Callable[[], Tokens]:
    native = copy.deepcopy(native)
    layer: Any = native.model.layers[LAYER]

    def run() -> Tokens:
        found: dict[tuple[int, int], list[int]] = {}
        for p, prompt in enumerate(ids):
            for start in range(0, len(added), size):
                vectors = torch.stack(added[start : start + size])[:, None]
                handle = layer.register_forward_hook(lambda module, args, out, v=vectors: out + v)
                try:
                    made = native.generate(
                        prompt.repeat(len(vectors), 1), attention_mask=torch.ones(len(vectors), prompt.shape[1]).long(),
                        max_new_tokens=tokens, do_sample=False, pad_token_id=2,
                    )  # fmt: skip
                finally:
                    handle.remove()
                for i, row in enumerate(made[:, prompt.shape[1] :].tolist()):
                    found[start + i, p] = row
        return [found[key] for key in sorted(found)]

    return run


def by_lens(
    native: nn.Module, tokenizer: Any, ids: list[Tensor], added: list[Tensor], tokens: int
) -> Callable[[], Tokens]:
    bridge = by_transformer_lens.build(native)
    bridge.tokenizer = bridge.tokenizer or tokenizer
    name = by_transformer_lens.theirs(f"L{LAYER}.mlp_out").replace("hook_mlp_out", "hook_resid_post")

    def run() -> Tokens:
        found = []
        for vector in added:
            for prompt in ids:
                with bridge.hooks(fwd_hooks=[(name, lambda value, hook, v=vector: value + v)]):
                    made = bridge.generate(
                        prompt,
                        max_new_tokens=tokens,
                        do_sample=False,
                        eos_token_id=2,
                        use_past_kv_cache=False,
                        verbose=False,
                        return_type="tokens",
                    )
                found.append(made[0, prompt.shape[1] :].tolist())
        return found

    return run


def by_traces(
    native: nn.Module, tokenizer: Any, ids: list[Tensor], added: list[Tensor], tokens: int
) -> Callable[[], Tokens]:
    from nnsight import LanguageModel

    wrapped: Any = LanguageModel(copy.deepcopy(native), tokenizer=tokenizer)
    layer = wrapped.model.layers[LAYER]

    def run() -> Tokens:
        found = []
        for vector in added:
            for prompt in ids:
                with wrapped.generate(prompt, max_new_tokens=tokens, do_sample=False, pad_token_id=2) as tracer:
                    for _ in tracer.iter[:tokens]:
                        layer.output[:] += vector
                    made = tracer.result.save()
                found.append(made[0, prompt.shape[1] :].tolist())
        return found

    return run
