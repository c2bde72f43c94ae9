"""Patching sweeps with pyvene: interchange interventions, all cells of a layer as rows of a batch with locations of their own.

`IntervenableModel` takes locations for each row of a batch, as its tutorials do, and activations that were collected before
(`source_representations`), so that the other prompt is not run again for each layer. Each row of a batch gives its own value.
Positions are of the unit `pos`, heads of `h` and `h.pos`. Path patching has no representation: what is patched there comes from
a run with more than sixty interventions.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from side_by_side.by_hooks import chunks
from side_by_side.sweep_rows import Cell, Part
from torch import Tensor, nn

COMPONENTS = {
    "resid_pre": "block_input", "z": "head_attention_value_output", "attn_out": "attention_output", "mlp_out": "mlp_output",
}  # fmt: skip
Config = dict[str, Any]


class PyveneBatches:
    def __init__(self, native: nn.Module) -> None:
        self.native: Any = native

    def can(self, part: Part) -> bool:
        return not part.sender and all(site in COMPONENTS for site in part.sites)

    def prepare(self, part: Part) -> Mapping[str, Tensor]:
        """Activations of the other prompts: [examples, positions, width], of heads [examples, heads, positions, width]."""
        import pyvene

        names = [(site, layer) for site in part.sites for layer in part.layers]
        examples, length = part.corrupt.shape
        config: list[Config] = [
            {"layer": layer, "component": whole(site), "intervention_type": pyvene.CollectIntervention,
             "max_number_of_units": length}
            for site, layer in names
        ]  # fmt: skip
        collecting = pyvene.IntervenableModel(config, model=self.native)
        everywhere = {"base": [[list(range(length))] * examples] * len(names)}
        (_, kept), _ = collecting({"input_ids": part.corrupt, "use_cache": False}, unit_locations=everywhere)
        width = self.native.config.head_dim
        return {
            f"L{layer}.{site}": value.unflatten(-1, (-1, width)).transpose(1, 2) if site == "z" else value
            for (site, layer), value in zip(names, kept, strict=True)
        }

    def cells(self, part: Part, values: Mapping[str, Tensor]) -> Tensor:
        found, examples = [], len(part.clean)
        for (site, layer), group in itertools.groupby(part.cells, key=lambda cell: cell[:2]):
            patching, key = self.built(site, layer, part)
            for chunk in chunks(list(group), examples):
                logits = self.patched(patching, key, part.clean, chunk, values[f"L{layer}.{site}"])
                found.append(part.score(logits).unflatten(0, (len(chunk), examples)))
        return torch.cat(found)

    def built(self, site: str, layer: int, part: Part) -> tuple[Any, str]:
        import pyvene

        unit = "pos" if part.heads is None else "h" if part.positions is None else "h.pos"
        config: Config = {"layer": layer, "component": COMPONENTS[site], "unit": unit}
        patching = pyvene.IntervenableModel(
            {**config, "intervention_type": pyvene.VanillaIntervention}, model=self.native
        )
        return patching, next(iter(patching.interventions))

    def patched(self, patching: Any, key: str, ids: Tensor, chunk: list[Cell], source: Tensor) -> Tensor:
        """Logits [cells × examples, vocabulary]."""
        examples = len(ids)
        taken, at = zip(*(located(source, pos, head) for _, _, pos, head in chunk), strict=True)
        every = [place for place in at for _ in range(examples)]
        places = (
            [every] if not isinstance(every[0], tuple) else [tuple(list(level) for level in zip(*every, strict=True))]
        )
        _, out = patching(
            {"input_ids": ids.repeat(len(chunk), 1), "use_cache": False, "logits_to_keep": 1},
            source_representations={key: torch.cat(taken)},
            unit_locations={"sources->base": (None, places)},
        )
        return out.logits[:, -1]


def whole(site: str) -> str:
    """Heads side by side: they are taken apart after collecting."""
    return "attention_value_output" if site == "z" else COMPONENTS[site]


def located(source: Tensor, pos: int | None, head: int | None) -> tuple[Tensor, Any]:
    """What is patched in [examples, units, …], and its location, as pyvene writes them."""
    if head is None:
        return source[:, [pos]], [pos]
    if pos is None:
        return source[:, [head]], [head]
    return source[:, [head]][:, :, [pos]], ([head], [pos])
