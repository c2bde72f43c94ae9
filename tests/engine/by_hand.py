"""What the engine is compared with: torch hooks written by hand on the native module, for a Llama.

Nothing here uses assay. A place is a site's name; the tensor at it is read from, or written to, the module that the
architecture's own code says it flows through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

PLACES: dict[str, tuple[str, str, int | None]] = {
    "resid_pre": ("", "in", None),
    "attn_in": ("input_layernorm", "out", None),
    "q": ("self_attn.q_proj", "out", 4),
    "k": ("self_attn.k_proj", "out", 2),
    "v": ("self_attn.v_proj", "out", 2),
    "z": ("self_attn.o_proj", "in", 4),
    "attn_out": ("self_attn", "out", None),
    "mlp_in": ("post_attention_layernorm", "out", None),
    "mlp_pre": ("mlp.gate_proj", "out", None),
    "mlp_up": ("mlp.up_proj", "out", None),
    "mlp_post": ("mlp.down_proj", "in", None),
    "mlp_out": ("mlp", "out", None),
    "resid_post": ("", "out", None),
}
"""Site: the submodule of a block, which side of it, and into how many heads its last axis is cut."""

Change = Callable[[Tensor], Tensor]


def run(
    native: nn.Module,
    ids: Any,
    changes: Mapping[str, Change] | None = None,
    keep: Iterable[str] = (),
    *,
    grad: bool = False,
    **inputs: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and the tensors at the sites of `keep` after the changes. Keys are such as "L1.z"."""
    kept: dict[str, Tensor] = {}
    wanted = set(keep)

    def at(site: str, value: Tensor, heads: int | None) -> Tensor:
        shape = value.shape
        value = value if heads is None else value.unflatten(-1, (heads, -1))
        value = (changes or {}).get(site, lambda x: x)(value)
        if site in wanted:
            kept[site] = value if grad else value.clone()
        return value.reshape(shape)

    handles = [_hook(native, site, at) for site in dict.fromkeys([*(changes or {}), *wanted])]
    try:
        with torch.enable_grad() if grad else torch.no_grad():
            logits = native(input_ids=torch.tensor(ids), use_cache=False, **inputs).logits
    finally:
        for handle in handles:
            handle.remove()
    return logits, kept


def close(got: Tensor, wanted: Tensor) -> None:
    """Equal up to rounding: Llama's own norms and softmax compute in float32, and so does a batch of another size."""
    torch.testing.assert_close(got.double(), wanted.double(), atol=2e-6, rtol=1e-5)


def put(index: Any, new: Tensor | float) -> Change:
    """The change that writes `new`, a number or a tensor of the site's own shape, at an index."""

    def change(value: Tensor) -> Tensor:
        value = value.clone()
        value[index] = new[index] if isinstance(new, Tensor) else new
        return value

    return change


def give(new: Tensor) -> Change:
    """The change that replaces everything."""
    return lambda _: new


def _hook(native: nn.Module, site: str, at: Callable[[str, Tensor, int | None], Tensor]) -> Any:
    layer, name = site[1:].split(".")
    path, side, heads = PLACES[name]
    module = native.get_submodule(f"model.layers.{layer}" + (f".{path}" if path else ""))
    if side == "in":
        return module.register_forward_pre_hook(
            lambda _, args, kwargs: (
                ((at(site, args[0], heads), *args[1:]), kwargs)
                if args
                else (args, {**kwargs, "hidden_states": at(site, kwargs["hidden_states"], heads)})
            ),
            with_kwargs=True,
        )

    def after(_: nn.Module, args: Any, out: Any) -> Any:
        return (at(site, out[0], heads), *out[1:]) if isinstance(out, tuple) else at(site, out, heads)

    return module.register_forward_hook(after)
