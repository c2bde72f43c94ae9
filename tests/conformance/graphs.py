"""Which causal language models have a graph whose edges can be cut, and of what: `python -m tests.conformance.graphs`.

Each tiny model of the zoo gets its graph; every edge is cut once, which must give the other run (`engine/edges/trial.py`),
and nothing is guessed where that fails. Prints a line for each type, and the counts that docs/circuits/edges.md tells.
Takes about three minutes.
"""

from __future__ import annotations

import sys
from collections import defaultdict

from tests.conformance import zoo

from assay.circuits.graph import Graph
from assay.circuits.layers import why_whole
from assay.core.edge_names import parse_receiver, parse_sender
from assay.core.errors import AssayError
from assay.engine.edges.expanded import refuse_shared
from assay.engine.edges.trial import refuse_untrue
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model, load

KINDS = (
    "each head",
    "shared heads",
    "heads and whole mixers",
    "whole mixers",
    "none",
    "some whole layers",
    "whole layers",
)


def kind_of(model: Model) -> tuple[str, str]:
    """What a model's graph is made of, and why it is no finer."""
    try:
        graph = Graph.of(model, grouped=True)
        wires = wiring(model.network)
        for part in (*map(parse_sender, graph.senders), *map(parse_receiver, graph.receivers[:-1])):
            wires.refuse_missing(part)
        for receiver in map(parse_receiver, graph.receivers[:-1]):
            wires.port(receiver)
        refuse_untrue(wires, [*map(parse_sender, graph.senders), *map(parse_receiver, graph.receivers)])
    except AssayError as error:
        return "none", str(error)
    if graph.blocks:
        why = "; ".join(dict.fromkeys(why_whole(model).values()))
        return KINDS[6 if len(graph.blocks) == len(graph.layers) else 5], why
    if graph.whole:
        heads = any(layer.heads for layer in graph.layers)
        why = "; ".join(dict.fromkeys(why_whole(model).values()))
        return KINDS[2] if heads else KINDS[3], why
    if all(layer.heads == layer.kv_heads for layer in graph.layers):
        return KINDS[0], ""
    try:
        refuse_shared(model.network)
    except AssayError as error:
        return KINDS[1], str(error)
    return KINDS[0], ""


def loaded(name: str) -> Model:
    """A tiny model as a user loads it: with inputs where assay has no example inputs with which it runs."""
    native, inputs = zoo.build(name)
    model = load(native)
    return model if model.network.structure.failure is None else load(native, inputs=inputs)


def main(names: list[str]) -> None:
    """Print the table."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names or zoo.causal_types():
        if name in zoo.unavailable():
            found["not built"].append(name)
            continue
        kind, why = kind_of(loaded(name))
        found[kind].append(name)
        print(f"{name} | {kind} | {why}", flush=True)
    for kind, those in found.items():
        print(f"\n{kind}: {len(those)}: {', '.join(those)}")


if __name__ == "__main__":
    main(sys.argv[1:])
