"""One native pass through which derivatives are followed: backwards from what comes later, or forwards from a tangent.

Weights need no gradient meanwhile, so that native code keeps nothing for them, and nothing at all before the first site
from which gradients are taken: at the 28th of the embedded model's 30 layers that is a tenth of the memory. A pass whose
results are all at sites ends at the last of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from assay.engine.ends import EnoughError
from assay.engine.hooks import Action, Change, Tapping
from assay.engine.passes import Kept, main_output, on_device, refuse_unreached
from assay.models.decoder_start import told_without_decoder_inputs
from assay.models.network import Network
from assay.models.structure import Site


def followed(
    network: Network,
    inputs: Mapping[str, Any],
    changes: Sequence[tuple[Site, Change]] = (),
    keep: Iterable[Site] = (),
    *,
    attach: Iterable[Site] = (),
    frozen: Sequence[Action] = (),
    lifted: Sequence[Action] = (),
    ends: bool = False,
) -> Kept:
    """Run the native model with the tensors of `attach` being the very ones that native code computes on from.

    `frozen` is done before the changes, `lifted` after them. What a pass does not reach needs no freezing; everything
    else must be reached, or the pass is an error. With `ends` there is no output, and changes after the last site that is
    kept are not reached. Kept tensors are copies where a tangent is carried; otherwise native code that writes into one
    afterwards is an error of autograd.
    """
    kept, attached = Kept(None), dict.fromkeys(attach)
    wanted = dict.fromkeys((*keep, *attached))

    def keeper(site: Site) -> Callable[[Tensor], None]:
        def store(value: Tensor) -> None:
            kept.sites[site] = value.clone() if lifted else value
            if ends and len(kept.sites) == len(wanted):
                raise EnoughError

        return store

    changing = [Action(site, change=change) for site, change in changes]
    keeping = [Action(site, keep=keeper(site), attach=site in attached) for site in wanted]
    actions = [*frozen, *changing, *lifted, *keeping]
    with (
        torch.enable_grad(),
        Tapping(network, actions) as tapping,
        weights_at_rest(network.native),
        told_without_decoder_inputs(network.native, inputs),
        suppress(EnoughError),
    ):
        kept.native = network.native(**on_device(network, inputs))
    ended = kept.native is None
    refuse_unreached([*(() if ended else changing), *lifted, *keeping], tapping)
    kept.output = None if ended else main_output(network, kept.native)
    return kept


@contextmanager
def weights_at_rest(native: nn.Module) -> Iterator[None]:
    """No weight requires a gradient in this context; afterwards those do that did."""
    resting = [p for p in native.parameters() if p.requires_grad and p.is_leaf]
    try:
        for parameter in resting:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in resting:
            parameter.requires_grad_(True)
