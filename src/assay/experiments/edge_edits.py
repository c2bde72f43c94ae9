"""Edges cut: some parts of the network read, in place of what other parts write, what these wrote in another run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from assay.core.attachments import Attachment
from assay.core.edge_names import parse_receiver, parse_sender
from assay.core.errors import ExperimentError, ShapeError
from assay.experiments.edits import PLACES, Edit

STREAM = "resid_pre"
"""The site of an edit of edges: the residual stream, as it is read."""


class Edges(Edit):
    """Let receivers read what senders wrote in another run, edge by edge; everything else reads what they write here."""

    op: Literal["edges"] = "edges"
    source: str
    """The run or input that cut senders' values come from. A run with edits gives means, zeros, …"""
    senders: tuple[str, ...] = Field(min_length=1)
    """Who writes: `embed`, heads `L3.H2`, MLPs `L3.mlp`; whole mixers `L3.attn`."""
    receivers: tuple[str, ...] = Field(min_length=1)
    """Who reads: `L3.H2.q` (or k, v; `L3.KV0.k` for a shared head), `L3.mlp`, `L3.attn`, `logits`."""
    kept: Attachment
    """How much of each edge is kept, [sender, receiver]: 1 or true all of it, 0 or false none. Pairs that are no edges
    mean nothing."""

    @property
    def source_run(self) -> str:
        """The run that cut senders' values come from."""
        return self.source

    def is_free(self, axis: str) -> bool:
        """False: edges say where they are."""
        return False

    @model_validator(mode="after")
    def _fits(self) -> Edges:
        set_ = [name for name in PLACES if getattr(self, name) is not None]
        if set_ or self.site != STREAM:
            raise ExperimentError(f"edges say where they are by their names: leave out {', '.join(set_) or 'site'}.")
        for names, parse in ((self.senders, parse_sender), (self.receivers, parse_receiver)):
            if len(set(names)) < len(names):
                raise ExperimentError("edges: a sender or receiver is named twice.")
            for name in names:
                parse(name)
        wanted = (len(self.senders), len(self.receivers))
        if self.kept.shape != wanted:
            raise ShapeError(
                f"edges: kept has shape {list(self.kept.shape)}, expected [sender, receiver] {list(wanted)}."
            )
        return self

    def __str__(self) -> str:
        cut = int((self.kept.tensor != 1).sum())
        return f"edges from {self.source}: {cut} of {self.kept.tensor.numel()} pairs cut"
