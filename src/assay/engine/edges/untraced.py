"""Edges in passes that run more of a model than it was looked at with: attention to an encoder's states that were not there.

What such parts read and write is in no graph, so a cut would leave it out without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from assay.core.errors import InputError
from assay.experiments.edge_edits import Edges
from assay.experiments.runs import Run
from assay.models.network import Network
from assay.models.prompts import Prompts

STATES = ("encoder_hidden_states", "encoder_outputs")
"""Inputs that switch parts of every layer on."""


def refuse_untraced(network: Network, runs: Iterable[Run], prompts: Mapping[str, Prompts]) -> None:
    """Raise InputError where edges are cut with an encoder's states, in a model that was loaded without any."""
    known = frozenset[str]().union(*network.examples)
    for run in runs:
        given = prompts[run.input].tensors or {}
        more = [name for name in STATES if given.get(name) is not None and name not in known]
        if more and any(isinstance(edit, Edges) for edit in run.edits):
            raise InputError(
                f"edges are cut in a run with {more[0]}, and the model was loaded without: what reads them is in no graph. "
                f"Load it with them, inputs={{'input_ids': …, '{more[0]}': …}}."
            )
