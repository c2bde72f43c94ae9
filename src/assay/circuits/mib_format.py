"""MIB's format of circuits, read and written: JSON, and PyTorch files of tensors.

Names: `input` is our `embed`, `a3.h2` our `L3.H2`, `m3` our `L3.mlp`; an edge `m0->a3.h2<q>` is `L0.mlp->L3.H2.q`. A JSON file
has `cfg` (layers, heads, whether blocks are parallel, width), `nodes` (`in_graph`, and a `score` where nodes were scored) and
`edges` (`in_graph`, `score`; a file of membership alone has no scores). A .pt file holds the same as [sender, receiver]
tensors, in the order of our graph. MIB counts a key and a value for each query head, so a grouped graph can't be written.

Signs agree: a score in MIB is the estimated rise of the loss when the edge is corrupted, so parts that help are positive.
Neuron-level files (`neurons`) are refused. A file of membership alone may lack scores, as the leaderboard's own reader takes
it. Formats: hannamw/MIB-circuit-track (circuit_loading.py, and its circuits/ioi-eap-ig.json, which is read and written again
without a difference) and hannamw/EAP-IG (Graph.to_json, to_pt).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from assay.circuits.graph import ARROW, Graph
from assay.core.codec import canonical
from assay.core.errors import DataError, StorageError
from assay.core.files import atomic_file, write_text
from assay.core.protocols import Scores

if TYPE_CHECKING:
    from assay.circuits.circuit import Circuit

_OURS = re.compile(r"^L(\d+)\.(?:H(\d+)(?:\.([qkv]))?|mlp)$")
_THEIRS = re.compile(r"^(?:a(\d+)\.h(\d+)(?:<([qkv])>)?|m(\d+))$")
QUANTITY = "score in a file of MIB's format"
_REFUSED: type[Exception] = torch.serialization.pickle.UnpicklingError  # type: ignore[attr-defined]
"""What torch.load(weights_only=True) refuses code with."""
MOST_LAYERS, MOST_HEADS = 1000, 1000


def to_mib_name(name: str) -> str:
    """`L3.H2.q` → `a3.h2<q>`, `embed` → `input`, `L0.mlp->logits` → `m0->logits`."""
    if ARROW in name:
        return ARROW.join(map(to_mib_name, name.split(ARROW)))
    if name in ("embed", "logits"):
        return "input" if name == "embed" else name
    match = _OURS.match(name)
    if match is None:
        raise DataError(f"{name!r} has no name in MIB's format, which knows heads, MLPs, the input and the logits.")
    layer, head, slot = match.groups()
    if head is None:
        return f"m{layer}"
    return f"a{layer}.h{head}" + (f"<{slot}>" if slot else "")


def from_mib_name(name: str) -> str:
    """`a3.h2<q>` → `L3.H2.q`, and so on."""
    if ARROW in name:
        return ARROW.join(map(from_mib_name, name.split(ARROW)))
    if name in ("input", "logits"):
        return "embed" if name == "input" else name
    match = _THEIRS.match(name)
    if match is None:
        raise DataError(f"{name!r} is no name of MIB's format: expected input, a3.h2, a3.h2<q>, m3 or logits.")
    layer, head, slot, mlp = match.groups()
    if mlp is not None:
        return f"L{mlp}.mlp"
    return f"L{layer}.H{head}" + (f".{slot}" if slot else "")


def to_mib(circuit: Circuit, *, d_model: int, with_scores: bool = True) -> dict[str, Any]:
    """A circuit as the data of MIB's JSON. An edge without a score is given 0; of scored nodes, the nodes have the scores.

    Raises:
        DataError: the graph is grouped, its layers differ, or have no heads, which MIB's format can't say.
    """
    config = _config(circuit.graph, d_model)
    graph, table = circuit.graph, circuit.score_table()
    of_nodes = circuit.scores is not None and not any(ARROW in name for name in circuit.scores.components)
    members = set(circuit.nodes)
    nodes: dict[str, dict[str, Any]] = {to_mib_name(s): {"in_graph": s in members} for s in graph.senders}
    nodes["logits"] = {"in_graph": True}
    if with_scores and of_nodes and circuit.scores is not None:
        for name, value in zip(circuit.scores.components, circuit.scores.values, strict=True):
            nodes[to_mib_name(name)]["score"] = float(value)
    edges: dict[str, dict[str, Any]] = {}
    senders, receivers = list(map(to_mib_name, graph.senders)), list(map(to_mib_name, graph.receivers))
    filled = np.nan_to_num(table, nan=0.0)
    for s, r in np.argwhere(graph.allowed):
        edge: dict[str, Any] = {"in_graph": bool(circuit.mask[s, r])}
        if with_scores:
            edge = {"score": 0.0 if of_nodes else float(filled[s, r]), **edge}
        edges[f"{senders[s]}{ARROW}{receivers[r]}"] = edge
    return {"cfg": config, "nodes": nodes, "edges": edges}


def from_mib(data: Mapping[str, Any], *, what: str = "this file") -> Circuit:
    """The circuit in the data of MIB's JSON.

    Raises:
        StorageError: the data are not of that format.
        DataError: it is of neurons, or has names or edges that its own graph does not have.
    """
    from assay.circuits.circuit import Circuit

    graph = _graph(data["cfg"], what)
    if any("neurons" in node or "neurons_scores" in node for node in data["nodes"].values()):
        raise DataError(f"{what} is of neurons of the residual stream: only edges and nodes can be read.")
    try:
        edges = {from_mib_name(name): entry for name, entry in data["edges"].items()}
        mask = graph.mask(name for name, entry in edges.items() if entry["in_graph"])
        scored = {name: float(entry["score"]) for name, entry in edges.items() if "score" in entry}
        nodes = {from_mib_name(name): float(n["score"]) for name, n in data["nodes"].items() if _scored(name, n)}
    except (KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{what} is no circuit of MIB's format ({type(error).__name__}: {error}).") from None
    found = nodes or scored
    return Circuit(
        graph, mask, Scores.of(found, QUANTITY) if found else None, facts=(f"read from {what} (MIB's format)",)
    )


def write_mib(circuit: Circuit, path: str | os.PathLike[str], *, d_model: int, with_scores: bool = True) -> Path:
    """Write a circuit in MIB's format, atomically: .json, or .pt by the name's end."""
    file = Path(path)
    if file.suffix == ".pt":
        tensors = _tensors(circuit, d_model)
        with atomic_file(file) as temporary:
            torch.save(tensors, temporary)
    elif file.suffix == ".json":
        write_text(file, canonical(to_mib(circuit, d_model=d_model, with_scores=with_scores)))
    else:
        raise DataError(f"MIB's circuits are .json or .pt files, not {file.name!r}.")
    return file


def read_mib_pt(path: str | os.PathLike[str]) -> Circuit:
    """Read MIB's .pt file. Only tensors and plain data are loaded: a file with code in it is refused.

    Raises:
        StorageError: it holds something else, or is damaged.
    """
    from assay.circuits.circuit import Circuit

    file = Path(path)
    try:
        data = torch.load(file, map_location="cpu", weights_only=True)
    except (_REFUSED, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise StorageError(f"{file.name} can't be read as tensors alone ({reason}); nothing in it was run.") from None
    wanted = {"cfg", "src_nodes", "dst_nodes", "edges_in_graph"}
    if not isinstance(data, dict) or not wanted <= set(data):
        missing = sorted(wanted - set(data)) if isinstance(data, dict) else sorted(wanted)
        raise StorageError(f"{file.name} is no circuit of MIB's format: it lacks {', '.join(missing)}.")
    graph = _graph(data["cfg"], file.name)
    _check_order(graph, data, file.name)
    if "neurons_scores" in data or "neurons_in_graph" in data:
        raise DataError(f"{file.name} is of neurons of the residual stream: only edges and nodes can be read.")
    _check_shapes(graph, data, file.name)
    mask, scores = data["edges_in_graph"].bool().numpy(), None
    if data.get("edges_scores") is not None:
        scores = Scores(graph.edges, data["edges_scores"].double().numpy()[graph.allowed], QUANTITY)
    if data.get("nodes_scores") is not None:
        rows = zip(graph.senders, data["nodes_scores"].double().tolist(), strict=True)
        scores = Scores.of({name: value for name, value in rows if value == value}, QUANTITY)
    return Circuit(graph, mask & graph.allowed, scores, facts=(f"read from {file.name} (MIB's format)",))


def _tensors(circuit: Circuit, d_model: int) -> dict[str, Any]:
    graph = circuit.graph
    of_nodes = circuit.scores is not None and not any(ARROW in name for name in circuit.scores.components)
    table = np.nan_to_num(circuit.score_table(), nan=0.0)
    data: dict[str, Any] = {
        "cfg": _config(graph, d_model),
        "src_nodes": [to_mib_name(name) for name in graph.senders],
        "dst_nodes": [to_mib_name(name) for name in graph.receivers],
        "edges_scores": torch.from_numpy(np.zeros_like(table) if of_nodes else table).float(),
        "edges_in_graph": torch.from_numpy(circuit.mask.copy()),
        "nodes_in_graph": torch.from_numpy(circuit.mask.any(axis=1)),
    }
    if of_nodes and circuit.scores is not None:
        known = dict(zip(circuit.scores.components, circuit.scores.values.tolist(), strict=True))
        data["nodes_scores"] = torch.tensor([known.get(name, float("nan")) for name in graph.senders])
    return data


def _config(graph: Graph, d_model: int) -> dict[str, Any]:
    if graph.whole:
        raise DataError(
            f"MIB's format knows heads and MLPs, and layer {graph.whole[0]}'s attention or mixer is one node here: it can't "
            "be written so. Save the circuit itself (.json), or take a graph by heads where the model has them."
        )
    if graph.blocks:
        layer = graph.blocks[0]
        raise DataError(
            f"MIB's format knows heads and MLPs, and layer {layer} is one node here: save the circuit itself."
        )
    if takers := [i for i, layer in enumerate(graph.layers) if layer.keys is not None]:
        raise DataError(
            f"MIB's format gives each head keys of its own, and layer {takers[0]}'s are another's: save the circuit."
        )
    kinds = {(layer.heads, layer.mlp, layer.parallel) for layer in graph.layers}
    if len(kinds) != 1 or not next(iter(kinds))[1]:
        raise DataError("MIB's format knows models whose layers are all alike, with heads and an MLP each.")
    heads, _, parallel = next(iter(kinds))
    if any(".KV" in name for name in graph.receivers):
        raise DataError("MIB counts a key and a value for each query head: take Graph.of(model, grouped=False).")
    return {"n_layers": len(graph.layers), "n_heads": heads, "parallel_attn_mlp": parallel, "d_model": d_model}


def _graph(config: Any, what: str) -> Graph:
    try:
        layers, heads, parallel = int(config["n_layers"]), int(config["n_heads"]), bool(config["parallel_attn_mlp"])
    except (KeyError, TypeError, ValueError):
        raise StorageError(f"{what} has no cfg with n_layers, n_heads and parallel_attn_mlp.") from None
    if not (0 < layers <= MOST_LAYERS and 0 < heads <= MOST_HEADS):
        raise StorageError(f"{what} says {layers} layers of {heads} heads: no such model can be read.")
    return (Graph.parallel if parallel else Graph.sequential)(layers=layers, heads=heads)


def _check_order(graph: Graph, data: Mapping[str, Any], what: str) -> None:
    """Rows and columns must be in the order that the format prescribes, which is that of the graph."""
    for key, ours in (("src_nodes", graph.senders), ("dst_nodes", graph.receivers)):
        if list(data[key]) != [to_mib_name(name) for name in ours]:
            raise StorageError(f"{what}: {key} are not in the order of its graph, so its tensors can't be told apart.")


def _check_shapes(graph: Graph, data: Mapping[str, Any], what: str) -> None:
    rows, columns = graph.allowed.shape
    wanted: dict[str, tuple[int, ...]] = {"edges_in_graph": (rows, columns)}
    known = {"edges_scores": (rows, columns), "nodes_scores": (rows,)}
    wanted |= {key: shape for key, shape in known.items() if data.get(key) is not None}
    if any(not isinstance(data[key], torch.Tensor) or tuple(data[key].shape) != shape for key, shape in wanted.items()):
        raise StorageError(f"{what}: its tensors do not fit a graph of {rows} senders and {columns} receivers.")


def _scored(name: str, node: Mapping[str, Any]) -> bool:
    """A node's own score; NaN stands for none."""
    value = node.get("score")
    return name != "logits" and value is not None and value == value
