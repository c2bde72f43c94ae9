"""A native pass of which only some positions are unembedded: after the last block it goes on with their rows alone.

The unembedding of a small model costs as much as several blocks, and of most passes one position's logits are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from assay.engine.passes import Kept
from assay.models.chain import Chain
from assay.models.network import Network
from assay.models.ports import get_output, put_output


@contextmanager
def narrowed(network: Network, chain: Chain, read: Bool[Tensor, "batch pos"] | None) -> Iterator[None]:
    """Let passes in this context give the output [1, row, vocab] of the positions in `read` alone; None is all."""
    if read is None:
        yield
        return
    link = chain.links[-1]
    handle = network.modules[link.path].register_forward_hook(_narrowing(link.leaves.key, read))
    try:
        yield
    finally:
        handle.remove()


def narrow(network: Network, read: Bool[Tensor, "batch pos"] | None, make: Callable[[], Kept]) -> Kept:
    """A pass that `make` makes, with the output of the positions in `read` alone, NaN at the others; None is all."""
    chain = network.structure.main_chain
    if read is None or chain is None:
        return make()
    with narrowed(network, chain, read):
        kept = make()
    kept.output = spread_out(kept.output, read)
    return kept


def spread_out(
    output: Float[Tensor, "..."] | None, read: Bool[Tensor, "batch pos"] | None
) -> Float[Tensor, "batch pos vocab"] | None:
    """The rows that a narrowed pass gave where they belong, NaN elsewhere. Any other output is left as it is."""
    if read is None or output is None or output.shape[:2] != (1, int(read.sum())):
        return output
    whole = output.new_full((*read.shape, output.shape[-1]), float("nan"))
    with torch.enable_grad():  # gradients that were asked for pass here, also where the caller has switched them off
        return whole.index_put(tuple(read.to(output.device).nonzero(as_tuple=True)), output[0])


def _narrowing(key: Any, read: Bool[Tensor, "batch pos"]) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
        state = get_output(out, key)
        if state.shape[:2] != read.shape:  # tokens that are not in the prompt: the output is left whole
            return None
        rows: Tensor = state[read.to(state.device)][None]
        return put_output(out, key, rows)

    return hook
