"""Whether the schedule gives the naive engine's numbers on this architecture: tried, not believed.

Blocks may mix tokens outside attention, number positions themselves, or take arguments that can't be cut into rows. So, the
first time that a model is scheduled, a small sweep over its first, middle and last blocks is run both ways, layout by
layout; the first that agrees is used. Cost: about ten passes on two sequences of at most seven tokens, once for each model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from assay.core.result import Result
from assay.core.sites import SiteName
from assay.engine.tried import FAILURES
from assay.experiments.experiment import Experiment
from assay.experiments.given_edits import Scale
from assay.experiments.inputs import Input, as_input
from assay.experiments.metrics import Entropy, Logit
from assay.experiments.runs import Run
from assay.experiments.sourced_edits import Patch
from assay.experiments.sweep import Sweep
from assay.models.decoder_start import has_decoder
from assay.models.network import Network

TOLERANCE = 1e-4
"""Relative to the largest number. A mistake (a wrong position, a missing key) is of the order of the effect itself; rounding
in float32 stays near 1e-6 in these few layers, in bfloat16 models near 1e-2, so there the schedule is compared in kind."""

LAYOUTS = ((True, False), (True, True), (False, False), (False, True))
"""(flat rows, output padded to whole sequences), the best first."""


@dataclass(frozen=True)
class Proof:
    """What was found: the layout that holds, or why none does."""

    flat: bool = False
    padded: bool = False
    refused: str | None = None
    why_whole: str | None = None


def proof(
    network: Network,
    naive: Callable[[Network, Experiment], Result],
    scheduled: Callable[[Network, Experiment, Proof], tuple[Result, str | None]],
    *,
    try_flat: bool,
) -> Proof:
    """The best layout that agrees with the naive engine on a small sweep. `scheduled` also tells why it took whole rows."""
    experiment = _experiment(network)
    if experiment is None:
        return Proof(
            refused="this model takes no token ids, or fewer than five, so the schedule could not be tried on it"
        )
    try:
        expected = naive(network, experiment)
    except FAILURES as error:
        return Proof(refused=f"it could not be tried on this model: {_said(error)}")
    reason, why_whole = "", None
    for flat, padded in LAYOUTS:
        if flat and not try_flat:
            continue
        candidate = Proof(flat, padded, why_whole=None if flat else why_whole)
        try:
            found, whole = scheduled(network, experiment, candidate)
        except FAILURES as error:
            reason = _said(error)
        else:
            if _agree(expected, found, network):
                return candidate if not flat or whole is None else replace(candidate, why_whole=whole)
            reason = "its numbers differ from those of plain passes"
        if flat:
            why_whole = f"cutting sequences into rows was tried: {reason}"
    return Proof(refused=f"it was tried on this architecture: {reason}")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"


def _experiment(network: Network) -> Experiment | None:
    size, chain = network.vocabulary, network.structure.main_chain
    stack = None if chain is None else chain.stack
    layers = sorted(
        {
            s.name.layer
            for s in network.structure.sites.values()
            if s.name.name == "resid_pre" and s.name.layer is not None and s.name.stack == stack
        }
    )
    length = min(7, network.longest or 7)
    if size is None or not layers or not network.takes("input_ids") or length < 5:
        return None
    draw = torch.Generator().manual_seed(0)
    clean = torch.randint(size // 2, size, (2, length), generator=draw)
    corrupt = clean.clone()
    corrupt[:, 2] = torch.randint(0, size // 2, (2,), generator=draw)
    chosen = sorted({layers[0], layers[len(layers) // 2], layers[-1]})
    site = str(SiteName("resid_pre", stack=stack))
    runs = {"main": Run(input="clean", edits=(Patch(site=site, source="corrupt"), Scale(site=site, factor=1.5, pos=3)))}
    given = {name: _given(network, ids) for name, ids in (("clean", clean), ("corrupt", corrupt))}
    metrics = (Logit(answer=size // 3), Entropy(pos=(0, 1, 3, 4, -1)))  # some rows: what needs whole sequences fails
    return Experiment(
        inputs=given, runs=runs, metrics=metrics, main="main", sweep=Sweep(axes={"layer": chosen, "pos": (1, 2, 4)})
    )


def _given(network: Network, ids: Tensor) -> Input:
    """Tokens; an encoder-decoder's decoder reads as many, and its encoder others."""
    if has_decoder(network.native):
        return as_input({"input_ids": ids[:, 1:], "decoder_input_ids": ids})
    return as_input(ids)


def _agree(expected: Result, found: Result, network: Network) -> bool:
    dtype = next(network.native.parameters()).dtype
    tolerance = TOLERANCE if dtype in (torch.float32, torch.float64) else 0.05
    for name in expected.data:
        here, there = expected[str(name)].values, found[str(name)].values
        if here.shape != there.shape or not np.isfinite(there).all():
            return False
        if np.abs(here - there).max() > tolerance * np.abs(here).max():
            return False
    return True
