"""A circuit as a result: which edges of a graph are in, the scores they were chosen by, and where they come from.

>>> graph = Graph.sequential(layers=1, heads=2)
>>> circuit = Circuit.of_edges(graph, ["embed->L0.H1.v", "L0.H1->logits"])
>>> circuit.edge_count, circuit.nodes
(2, ('embed', 'L0.H1'))

`save` writes one JSON file, whole or not at all; `load` reads it, and MIB's `.json` and `.pt` too (`mib_format.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from jaxtyping import Bool

from assay.circuits.graph import Graph
from assay.circuits.ranking import Select, rank
from assay.circuits.same_prompts import made_on
from assay.core.caveats import caveat
from assay.core.codec import canonical
from assay.core.errors import DataError, StorageError
from assay.core.files import write_text
from assay.core.protocols import Scores
from assay.core.provenance import Provenance

FORMAT = 1
KEY = "assay_circuit"


@dataclass(frozen=True, eq=False)
class Circuit:
    """Edges of a graph, with what is known about them."""

    handed_on: ClassVar[bool] = True

    graph: Graph
    mask: Bool[np.ndarray, "sender receiver"]
    scores: Scores | None = None
    """What the edges (or nodes) were ranked by: all that were scored, also those outside."""
    facts: tuple[str, ...] = ()
    """How it was chosen, on what, and what to keep in mind."""
    provenance: Provenance = field(default_factory=Provenance)
    found_on: tuple[str, ...] = ()
    """A short hash of each prompt that it was found on (`same_prompts.prompt_ids`); empty where that is not known."""

    def __post_init__(self) -> None:
        self.graph.checked(self.mask)

    @classmethod
    def of_edges(cls, graph: Graph, edges: Iterable[str], **more: Any) -> Circuit:
        """The circuit of these edges, as they are: nothing is pruned."""
        return cls(graph, graph.mask(edges), **more)

    @classmethod
    def of_scores(
        cls, graph: Graph, scores: Scores, *, size: int, absolute: bool, select: Select = "top", **more: Any
    ) -> Circuit:
        """The best `size` edges or nodes, pruned; found on the prompts that the scores were made on, if that is known."""
        ranking = rank(graph, scores, absolute=absolute, select=select)
        mask = ranking.circuit(size)
        kind, by = ("nodes" if ranking.of_nodes else "edges"), "absolute" if absolute else "signed"
        facts = [
            f"the {size} best of {len(ranking)} {kind} by {by} score ({select}); {int(mask.sum())} edges after pruning"
        ]
        facts += ranking.ties([size])
        if not mask.any():
            facts.append(
                caveat("no edge is left: none of the chosen ones lies on a path from the embedding to the logits")
            )
        more.setdefault("found_on", made_on(scores))
        return cls(graph, mask, scores, facts=(*facts, *more.pop("facts", ())), **more)

    @property
    def edges(self) -> tuple[str, ...]:
        """The edges that are in, by name."""
        return self.graph.names(self.mask)

    @property
    def edge_count(self) -> int:
        """How many edges are in."""
        return int(self.mask.sum())

    @property
    def nodes(self) -> tuple[str, ...]:
        """The senders of edges that are in."""
        return tuple(self.graph.senders[i] for i in np.flatnonzero(self.mask.any(axis=1)))

    def pruned(self) -> Circuit:
        """Without edges that lie on no path from the embedding to the logits."""
        return replace(self, mask=self.graph.prune(self.mask))

    def score_table(self) -> np.ndarray:
        """The scores as [sender, receiver], NaN where there is none; a node's score stands at each of its edges."""
        table = np.full(self.graph.allowed.shape, np.nan)
        if self.scores is None:
            return table
        for name, value in zip(self.scores.components, self.scores.values, strict=True):
            if "->" in name:
                table[self.graph.index(name)] = value
            else:
                table[self.graph.sender(name)] = value
        return np.where(self.graph.allowed, table, np.nan)

    def on(self, graph: Graph) -> Circuit:
        """The same edges on another graph of the same names: a model's own, for a circuit read from a file.

        Raises:
            DataError: the graphs have other names or other edges.
        """
        same = graph.senders == self.graph.senders and graph.receivers == self.graph.receivers
        if not same or not np.array_equal(graph.reach, self.graph.reach):
            raise DataError(
                f"This circuit is of a graph with {len(self.graph.senders)} senders, {len(self.graph.receivers)} receivers "
                f"and {self.graph.edge_count:,} edges; the model's has {len(graph.senders)}, {len(graph.receivers)} and "
                f"{graph.edge_count:,}. Take the model it was found in, and the same way to count shared keys and values."
            )
        return replace(self, graph=graph)

    def svg(self, *, most: int = 500, title: str | None = None) -> str:
        """A drawing: layers as columns, an edge's width by its score, its colour by sign; the `most` strongest edges."""
        from assay.circuits.drawing import circuit_picture  # which knows circuits itself

        return str(circuit_picture(self, most=most, title=title))

    @staticmethod
    def curve_svg(data: xr.Dataset, *, title: str = "What circuits recover") -> str:
        """A drawing of a faithfulness curve, as `circuit_curves` gives it, with its intervals and random circuits."""
        from assay.circuits.drawing import curve_picture

        return str(curve_picture(data, title=title))

    def _repr_svg_(self) -> str:
        return self.svg()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one JSON file, whole or not at all."""
        write_text(path, canonical(self.to_json()) + "\n")
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Circuit:
        """Read what `save` wrote, or a circuit in MIB's format (.json or .pt; tensors only, no code is run).

        Raises:
            StorageError: there is no such file, it is damaged, or of a newer version.
        """
        from assay.circuits.mib_format import from_mib, read_mib_pt

        file = Path(path)
        if not file.is_file():
            raise StorageError(f"There is no file {file}.")
        if file.suffix == ".pt":
            return read_mib_pt(file)
        try:
            data = json.loads(file.read_text(encoding="utf-8"))  # NaN too: MIB writes it for what has no score
        except (ValueError, RecursionError) as error:
            raise StorageError(
                f"{file.name} is not valid JSON: {error}. Check the file, or name it .pt if it is one."
            ) from None
        if isinstance(data, dict) and KEY in data:
            return cls.from_json(data)
        if isinstance(data, dict) and {"cfg", "nodes", "edges"} <= set(data):
            return from_mib(data, what=file.name)
        raise StorageError(f"{file.name} is no circuit: expected {KEY!r} of assay, or cfg, nodes and edges of MIB.")

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` gives the same circuit back."""
        return {
            KEY: FORMAT,
            "graph": self.graph.to_json(),
            "edges": list(self.edges),
            "scores": None if self.scores is None else self.scores.to_json(),
            "facts": list(self.facts),
            "provenance": self.provenance.model_dump(mode="json"),
            "found_on": list(self.found_on),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Circuit:
        """The circuit that `to_json` wrote.

        Raises:
            StorageError: something is missing or of the wrong kind, or it comes from a newer version.
        """
        if not isinstance(data.get(KEY), int) or data[KEY] > FORMAT:
            raise StorageError(
                f"This circuit has format {data.get(KEY)!r}; this version reads up to {FORMAT}: upgrade assay."
            )
        try:
            graph = Graph.from_json(data["graph"])
            scores = None if data["scores"] is None else Scores.from_json(data["scores"])
            made = Provenance.model_validate(data["provenance"])
            known = {"facts": tuple(data["facts"]), "found_on": tuple(map(str, data.get("found_on", ())))}
            return cls.of_edges(graph, data["edges"], scores=scores, provenance=made, **known)
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(
                f"This circuit is damaged ({type(error).__name__}: {error}): find or save it again."
            ) from None
