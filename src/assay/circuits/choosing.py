"""A circuit from scores, or from a file: what studies and the command line begin an evaluation with."""

from __future__ import annotations

from typing import Annotated

from assay.circuits.circuit import Circuit
from assay.circuits.evaluation.curves import graph_of
from assay.circuits.evaluation.held_out import described
from assay.circuits.evaluation.single import on_model
from assay.circuits.ranking import Select, rank
from assay.circuits.same_prompts import made_on, prompt_ids
from assay.core.errors import DataError
from assay.core.protocols import Scores
from assay.core.provenance import Provenance
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.engine.model import Model


@method(
    gives=Circuit,
    cites="arXiv:2504.13151",
    cost="none",
    assumes="that the best edges by themselves are the best together",
    fails_when="parts stand in for one another: each looks idle alone, and none is taken",
)
def choose_circuit(
    model: Model,
    pairs: Pairs,
    *,
    scores: Scores,
    fraction: Annotated[float, "how many of all scored edges or nodes are taken, before pruning"],
    absolute: Annotated[bool, "rank by the size of a score, whatever its sign; else what helps most first"],
    select: Annotated[Select, "top: the highest scores anywhere; greedy: from the logits backwards"] = "top",
) -> Circuit:
    """The best edges (or nodes with all their edges) by their scores, pruned; `pairs` are those the scores were made on."""
    if not 0 < fraction <= 1:
        raise DataError(f"A circuit's fraction must be above 0 and at most 1, not {fraction:g}.")
    graph = graph_of(model, scores)
    size = int(fraction * len(rank(graph, scores, absolute=absolute, select=select)))
    made = Provenance.now(model_fingerprint=model.fingerprint, model_source=model.network.source.name)
    facts = (f"scores: {scores.quantity}", *scores.facts, f"found on {described(pairs)}")
    known = {"facts": facts, "provenance": made, "found_on": tuple(sorted({*prompt_ids(pairs), *made_on(scores)}))}
    return Circuit.of_scores(graph, scores, size=size, absolute=absolute, select=select, **known)


@method(
    gives=Circuit,
    cites="none: reads a file",
    cost="none",
    assumes="a file of a circuit of this very model",
    fails_when="the model has the same shape and other weights: see the circuit's provenance",
)
def read_circuit(model: Model, pairs: Pairs, *, path: Annotated[str, "assay's JSON, or MIB's .json or .pt"]) -> Circuit:
    """A circuit from a file, on the model's own graph."""
    found = on_model(model, Circuit.load(path))
    known = found.provenance.model_fingerprint
    if known is not None and known != model.fingerprint:
        raise DataError(
            f"The circuit in {path} was found in another model ({found.provenance.model_source}, {known[:19]}…): load that "
            "model, or take the provenance out of the file if you mean to carry the circuit over."
        )
    return found
