"""One shard: its passes, and what becomes of every tensor as it passes a site.

A tensor is used up while the model runs (copied into the shard's rows, summed up), so memory holds one site's tensor
beside the shard. The pass ends after the last site that is asked for; nothing later is computed, no logits either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import ExperimentError, InputError
from assay.engine.ends import EnoughError
from assay.engine.harvest.pieces import Batch, Piece, batches, labels
from assay.engine.harvest.rules import Rules
from assay.engine.harvest.statistics import Statistics
from assay.engine.hooks import Action, Tapping
from assay.engine.passes import on_device
from assay.engine.select import position_axis
from assay.models.network import Network
from assay.models.structure import Site


@dataclass
class Shard:
    """The rows of one shard, filled in pass by pass."""

    network: Network
    sites: Sequence[Site]
    rules: Rules
    statistics: Statistics
    labels: Mapping[str, Tensor]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def fill(self, batch: Batch) -> None:
        """Run one batch."""
        waiting = set(self.sites)
        mine = {name: label[batch.rows] for name, label in self.labels.items()}
        size = batch.inputs["input_ids"].shape

        def taking(site: Site) -> Callable[[Tensor], None]:
            def take(value: Tensor) -> None:
                self._use(site, _rows(value, site, size, batch), batch, mine)
                waiting.discard(site)
                if not waiting:
                    raise EnoughError

            return take

        actions = [Action(site, keep=taking(site)) for site in self.sites]
        with torch.no_grad(), Tapping(self.network, actions), suppress(EnoughError):
            self.network.native(**on_device(self.network, batch.inputs))
        if waiting:
            raise ExperimentError(
                f"{min(map(str, waiting))} was not reached in this pass ({len(waiting)} of {len(self.sites)} sites): "
                "the model did not run that part with these inputs."
            )

    def _use(self, site: Site, values: Tensor, batch: Batch, mine: Mapping[str, Tensor]) -> None:
        self.statistics.add(site, values, mine)
        if not self.rules.activations:
            return
        held = self.tensors.get(str(site))
        if held is None:
            dtype = getattr(torch, self.rules.dtype)
            held = self.tensors[str(site)] = torch.empty(len(self.labels["tokens"]), *values.shape[1:], dtype=dtype)
        held[batch.rows] = values.to(device=held.device, dtype=held.dtype)


def run_shard(
    network: Network, sites: Sequence[Site], rules: Rules, pieces: Sequence[Piece], statistics: Statistics
) -> tuple[int, dict[str, Tensor]]:
    """Run all pieces: the number of rows, and the rows themselves with their labels. `statistics` grow on the way."""
    shard = Shard(network, sites, rules, statistics, labels(pieces))
    rows = len(shard.labels["tokens"])
    wide = [site for site in sites if "key" in site.axes]
    if wide and len({len(piece) for piece in pieces}) > 1:
        raise InputError(f"{wide[0]} is as wide as the prompt: expected documents of one length.")
    for batch in batches(pieces, rules, filler=_filler(network)):
        shard.fill(batch)
    statistics.rows += rows
    return rows, {**shard.tensors, **shard.labels}


def _rows(value: Tensor, site: Site, size: torch.Size, batch: Batch) -> Float[Tensor, "row ..."]:
    """The tokens that are kept, of all examples of a pass."""
    axis = position_axis(site.axes)
    assert axis is not None  # refused before anything ran
    if value.shape[axis] != size[1] or value.shape[0] != size[0]:
        raise InputError(f"{site} has positions of its own, not the tokens', so it has no value for each token.")
    flat = value.movedim(axis, 1).flatten(0, 1)
    return flat if batch.take is None else flat.index_select(0, batch.take.to(flat.device))


def _filler(network: Network) -> int:
    """The token that fills rows up."""
    pad = getattr(getattr(network.native, "config", None), "pad_token_id", None)
    return pad if isinstance(pad, int) and 0 <= pad < (network.vocabulary or pad + 1) else 0
