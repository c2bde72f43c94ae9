"""What each layer of a model holds, as a graph of components names it: heads where they are known, else the mixer whole.

A layer has heads where its queries, keys, values and what its heads write are established, and attention reads nothing else
(`engine/edges/wiring.py`). Where that is not so, all that mixes positions in it (latent attention, a recurrent mixer, both
side by side) is one node, `L3.attn`. Where its parts are not known, the layer itself is one, `L3.block`. Cost: a few passes on
the model's example inputs, once for each model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from assay.core.errors import SiteError
from assay.core.sites import SiteName
from assay.engine.edges.mixers import Mixer
from assay.engine.edges.twice import OUTSIDE
from assay.engine.edges.wiring import Wiring, wiring
from assay.engine.model import Model
from assay.models.structure import Site

Grouped = bool | Literal["whole", "block"]
GROUPED = (
    "key/value heads shared by query heads as one receiver each (true), or one for each query head, as MIB counts (false); "
    "or all heads of a layer as one node (whole), or each layer as one node (block)"
)
Attention = Literal["auto", "heads", "whole", "block"]


@dataclass(frozen=True)
class Layer:
    """What one layer holds: query heads, key/value heads, whether it has an MLP, whether both read the same stream.

    `whole`: what mixes positions in it is one node, and it has no heads. `block`: it is one node itself, and has no parts.
    `keys`: its heads take over the keys and values of that earlier layer, and read only their queries themselves; -1: those
    of another model.
    """

    heads: int
    kv_heads: int
    mlp: bool = True
    parallel: bool = False
    whole: bool = False
    block: bool = False
    keys: int | None = None

    @property
    def mixing(self) -> int:
        """How many nodes mix positions: its heads, or one."""
        return self.heads + self.whole + self.block


def layers_of(model: Model, attention: Attention) -> tuple[Layer, ...]:
    """The layers of a decoder: with heads where they are known (auto), or with heads, mixers or no parts at all.

    Raises:
        SiteError: the residual stream of some layer is no sum of what is known, or it has not what `attention` asks for.
    """
    depth = _depth(model)
    wires = wiring(model.network)
    return tuple(_layer(model, wires, layer, attention) for layer in range(depth))


def why_whole(model: Model) -> dict[int, str]:
    """Of the layers that are one node in `Graph.of(model)`, or whose attention or mixer is, why they have no parts or heads."""
    found = layers_of(model, "auto")
    wires = wiring(model.network)
    heads = {i: _why_no_heads(model, wires, i) or "" for i, layer in enumerate(found) if layer.whole}
    return heads | {i: wires.blocked[i] for i, layer in enumerate(found) if layer.block}


def _layer(model: Model, wires: Wiring, i: int, attention: Attention) -> Layer:
    if attention == "block":
        wires.block(i)  # says why it can't be one
    if attention == "block" or (i in wires.blocked and attention != "heads"):
        return Layer(0, 0, mlp=False, block=True)
    if i in wires.odd:
        raise SiteError(f"Layer {i} has no parts to name ({wires.odd[i]}), and can't be one node: {wires.blocks[i]}.")
    has_mlp, parallel = _site(model, "mlp_out", i) is not None, wires.parallel[i]
    if not any(_site(model, name, i) for name in ("attn_out", "ssm_out", "cross_attn_out")):
        return Layer(0, 0, has_mlp, parallel)
    why = _why_no_heads(model, wires, i)
    keys = wires.keys.get(i)
    heads = None if attention == "whole" or _unnamed(model, wires, i) else _heads(model, wires, i)
    if heads is not None and (why is None or attention == "heads"):
        return Layer(*heads, has_mlp, parallel, keys=keys)
    if attention == "heads":
        raise SiteError(f"Layer {i} has no heads to name: {why}.")
    mixer = wires.mixers[i]
    if isinstance(mixer, Mixer):
        return Layer(0, 0, has_mlp, parallel, True)
    if heads is not None:
        return Layer(*heads, has_mlp, parallel, keys=keys)  # their edges can't be cut, and the error then says why
    no_heads = "" if why is None else f" has no heads to name ({why}), and"
    raise SiteError(f"Layer {i}{no_heads} can't be one node: {mixer}.")


def _why_no_heads(model: Model, wires: Wiring, i: int) -> str | None:
    return _unnamed(model, wires, i) or wires.why_no_heads(i)


def _unnamed(model: Model, wires: Wiring, i: int) -> str | None:
    """Why heads have no names in a layer; None where they have."""
    if _site(model, "ssm_out", i) is not None or _site(model, "cross_attn_out", i) is not None:
        return "it mixes positions by other means than self-attention"
    owner = wires.keys.get(i, i)
    own = (("q", i), ("z", i)) if owner == OUTSIDE else (("q", i), ("k", owner), ("v", owner), ("z", i))
    for name, layer in own:
        if _site(model, name, layer) is None:
            return str(model.why_not(f"L{layer}.{name}"))
    if owner == OUTSIDE:
        return None
    k, v = (model.site(f"L{owner}.{name}").sizes["kv_head"] for name in "kv")
    return None if k == v else "it has other numbers of keys than of values"


def _heads(model: Model, wires: Wiring, i: int) -> tuple[int, int]:
    owner = wires.keys.get(i, i)
    keys = f"L{i}.k_rot" if owner == OUTSIDE else f"L{owner}.k"
    return model.site(f"L{i}.z").sizes["head"], model.site(keys).sizes["kv_head"]


def _site(model: Model, name: str, i: int) -> Site | None:
    return model.network.structure.sites.get(SiteName(name, i))


def _depth(model: Model) -> int:
    structure = model.network.structure
    depth = structure.depth
    if None not in depth or depth.keys() & {"enc", "dec"}:  # an image tower comes before the first layer
        why = structure.failure or f"this model has {len(depth)}"
        raise SiteError(f"A graph of components needs one stack of layers: {why}.")
    return depth[None]
