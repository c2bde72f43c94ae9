"""The clean run of a set of pairs, ready to be made with edges of a graph cut; and the sites at which its senders write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.circuits.ablation import AnyAblation, Resample
from assay.circuits.graph import Graph
from assay.circuits.places import EMBED, Part, parts_named
from assay.circuits.replacement import Replacement
from assay.core.edge_names import BLOCK, MIXER, Receiver
from assay.core.errors import SiteError
from assay.engine.edges.many import ManyCircuits
from assay.engine.edges.mixers import mixer_outputs
from assay.engine.edges.side_by_side import BOTH
from assay.engine.edges.wiring import wiring
from assay.engine.model import Model
from assay.experiments.experiment import Experiment
from assay.experiments.metrics import Metric
from assay.experiments.runs import Run


def cutting(model: Model, graph: Graph, *, replaced: Replacement, metrics: Sequence[Metric]) -> ManyCircuits:
    """The clean run under any circuit of the graph; what cut senders are replaced by is given."""
    runs = {**replaced.runs, "main": Run(input="clean")}
    experiment = Experiment(inputs=replaced.inputs, runs=runs, metrics=metrics, main="main")
    return ManyCircuits.of(
        model.network, experiment, senders=graph.senders, receivers=graph.receivers, source=replaced.source
    )


def senders_of(model: Model, graph: Graph) -> Iterator[Part]:
    """The senders as parts that can be ablated."""
    whole = {f"L{layer}.{MIXER}": layer for layer in graph.whole}
    for name in graph.senders:
        if name == EMBED.name:
            yield EMBED
        elif name in whole:
            yield Part(name, "attn", whole[name], tuple(map(str, mixer_outputs(model.network, whole[name]))))
    yield from parts_named(model, [name for name in graph.senders if name != EMBED.name and name not in whole])


def written(model: Model, graph: Graph) -> Iterator[str]:
    """The sites at which senders write; one without a layer is that of every layer that has it.

    What a whole layer adds is the stream behind it less that before it, so both are replaced.
    """
    yield "L0.resid_pre"
    for layer in graph.blocks:
        yield from [f"L{layer}.resid_post"] if layer == 0 else [f"L{layer}.resid_pre", f"L{layer}.resid_post"]
    if len(graph.blocks) == len(graph.layers):
        return
    if len(graph.whole) < len(graph.layers) and model.why_not("z") is None:
        yield "z"
    for layer in graph.whole:
        yield from map(str, mixer_outputs(model.network, layer))
    if model.why_not("mlp_out") is None:
        yield "mlp_out"


def refuse_values(model: Model, graph: Graph, ablation: AnyAblation) -> None:
    """Raise SiteError where values of whole layers can't be had: resampled ones, or of what they read beside their stream."""
    if graph.blocks and isinstance(ablation, Resample):
        raise SiteError(
            f"L{graph.blocks[0]}.{BLOCK} adds the stream behind it less that before it, and each is resampled by itself: take "
            "another ablation where whole layers are nodes."
        )
    wires = wiring(model.network)
    if graph.blocks and wires.block(graph.blocks[0]).port.site.name.name == BOTH:
        raise SiteError(
            f"two streams go past L{graph.blocks[0]}.{BLOCK}, and only other prompts have other values of both: take the "
            "counterfactual ablation."
        )
    for given in () if len(graph.layers) - 1 in graph.blocks else wires.beside:
        raise SiteError(
            f"logits are made of more of {given.sender.name} than its stream ({given.site}), and only other prompts have other "
            "values of that: take the counterfactual ablation."
        )
    for layer, shape in enumerate(graph.layers):
        if not shape.block and not shape.mlp:
            continue
        reads = Receiver(layer, slot=BLOCK if shape.block else None)
        for given in wires.port(reads).given:
            raise SiteError(
                f"{reads.name} reads more of {given.sender.name} than its stream ({given.site}), and only other prompts "
                "have other values of that: take the counterfactual ablation."
            )
