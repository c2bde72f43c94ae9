"""A native pass of which only some positions are unembedded: after the last block it goes on with their rows alone.

The unembedding of a small model costs as much as several blocks, and of most passes one position's logits are read.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from assay.engine.few_logits import few_logits
from assay.engine.hooks import alone
from assay.engine.passes import Kept
from assay.models.network import Network
from assay.models.ports import get_output, put_output


def narrow(
    network: Network,
    read: Bool[Tensor, "batch pos"] | None,
    make: Callable[[], Kept],
    *,
    tokens: Int[Tensor, " named"] | None = None,
) -> Kept:
    """A pass that `make` makes, with the output of the positions in `read` alone, NaN at the others; None is all.

    With `tokens`, it is the logits of these tokens only.
    """
    chain = network.structure.main_chain
    if read is None or chain is None:
        with alone(network), few_logits(network, tokens):
            return make()
    link = chain.links[-1]
    with alone(network), few_logits(network, tokens):
        handle = network.modules[link.path].register_forward_hook(_narrowing(link.leaves.key, read))
        try:
            kept = make()
        finally:
            handle.remove()
    kept.output = _spread_out(kept.output, read)
    return kept


def _spread_out(output: Tensor | None, read: Bool[Tensor, "batch pos"]) -> Tensor | None:
    """The rows that a narrowed pass gave where they belong, NaN elsewhere. Any other output is left as it is."""
    if output is None or output.shape[:2] != (1, int(read.sum())):
        return output
    whole = output.new_full((*read.shape, output.shape[-1]), float("nan"))
    with torch.enable_grad():  # gradients that were asked for pass here, also where the caller has switched them off
        return whole.index_put(tuple(read.to(output.device).nonzero(as_tuple=True)), output[0])


def _narrowing(key: Any, read: Bool[Tensor, "batch pos"]) -> Any:
    thread = get_ident()

    def hook(module: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
        if get_ident() != thread:
            return None
        state = get_output(out, key)
        if state.shape[:2] != read.shape:  # tokens that are not in the prompt: the output is left whole
            return None
        rows: Tensor = state[read.to(state.device)][None]
        return put_output(out, key, rows)

    return hook
