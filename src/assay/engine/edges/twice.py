"""Evidence of what decides what: a model on its example inputs, and on the same tokens or embeddings in another order.

Values of one run are put into the other. If a part's inputs are known, then with those of the other run it gives what it
gave there, whatever the rest of the pass does. Cost: two passes on the example inputs, and one for each question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from assay.core.edge_names import SLOTS
from assay.core.errors import ExperimentError, InputError, SiteError
from assay.core.sites import SiteName
from assay.engine.edges.heads_out import HeadsOut
from assay.engine.edges.reading import Port, same
from assay.engine.hooks import Change
from assay.engine.passes import forward
from assay.models.network import Network
from assay.models.norms import CANNOT_RUN
from assay.models.structure import Site

OUTSIDE = -1
"""In place of a layer's number: keys and values that come from outside of the model, the same whatever it reads."""
REFUSED = (*CANNOT_RUN, InputError, ExperimentError)
"""What says that a model does not run with these inputs, or does not reach a site with them."""


@dataclass(frozen=True)
class Twice:
    """What passed at some sites in both runs. `there` is empty where there is nothing to reorder."""

    network: Network
    inputs: Mapping[str, Any] = field(repr=False)
    here: Mapping[Site, Tensor] = field(repr=False)
    there: Mapping[Site, Tensor] = field(repr=False)

    @classmethod
    def of(cls, network: Network, sites: Iterable[Site]) -> Twice:
        """Both runs. Raises SiteError where there are no inputs with which the model runs."""
        wanted = dict.fromkeys(sites)
        for inputs in network.examples:
            other = other_inputs(network, inputs)
            try:
                here = forward(network, inputs, keep=wanted, once=True).sites
                there = {} if other is None else forward(network, other, keep=wanted, once=True).sites
            except REFUSED:
                continue
            return cls(network, inputs, here, there)
        raise SiteError("edges: there are no example inputs on which to see how this model's parts are wired.")

    def under(self, values: Mapping[Site, Tensor], keep: Iterable[Site]) -> Mapping[Site, Tensor]:
        """What passes at sites in the run `here` with values put at others; nothing where native code refuses.

        Of a site that a value is put at too it is what arrives there.
        """
        wanted, arrived = dict.fromkeys(keep), dict[Site, Tensor]()
        changes = [(site, _constant(value, site, arrived)) for site, value in values.items()]
        others = [site for site in wanted if site not in values]
        try:
            passed = forward(self.network, self.inputs, changes, others, once=True).sites
        except REFUSED:
            return {}
        return passed | {site: value for site, value in arrived.items() if site in wanted}

    def undecided(self, parts: Mapping[Site, Sequence[Site]]) -> set[Site]:
        """Outputs that are not the other run's when the sites given for them hold the other run's values."""
        if not self.there or not parts:
            return set()
        values = {site: self.there[site] for sites in parts.values() for site in sites}
        found = self.under(values, parts)
        return {out for out in parts if out not in found or not same(found[out], self.there[out])}


def refuse_more(
    seen: Twice,
    ports: dict[tuple[int, str | None], Port | str],
    heads: dict[int, HeadsOut | str],
    keys: Mapping[int, int],
) -> None:
    """Take out the heads of layers whose attention, and MLPs, that read something else beside what is known."""
    parts: dict[Site, list[Site]] = {}
    sites = seen.network.structure.sites
    for layer in heads:
        read = [ports[layer, slot] for slot in (("q",) if keys.get(layer) == OUTSIDE else SLOTS)]
        if not isinstance(heads[layer], str) and not any(isinstance(port, str) for port in read):
            parts[sites[SiteName("attn_out", layer)]] = [port.site for port in read if not isinstance(port, str)]
        mlp, out = ports[layer, None], sites.get(SiteName("mlp_out", layer))
        if not isinstance(mlp, str) and out is not None:
            parts[out] = [mlp.site]
    for out in seen.undecided(parts):
        layer = out.layer or 0
        if out.name.name == "mlp_out":
            ports[layer, None] = "it reads something else beside the stream through its norm"
        else:
            heads[layer] = "attention reads something else beside its queries, keys and values"


def other_inputs(network: Network, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The inputs with their tokens, or embeddings, in another order; None where they hold none. All else stays."""
    name = network.token_argument if network.token_argument in inputs else "input_ids"
    tokens = inputs.get(name)
    if isinstance(tokens, Tensor):
        return {**inputs, name: tokens.flip(-1)}
    embeds = inputs.get("inputs_embeds")
    return {**inputs, "inputs_embeds": _moved_on(embeds)} if isinstance(embeds, Tensor) else None


def _moved_on(vectors: Tensor) -> Tensor:
    """Each vector in the place of the next, over positions and then examples; one alone is turned about."""
    if vectors.shape[:-1].numel() == 1:
        return vectors.flip(-1)
    return vectors.flatten(0, -2).roll(1, 0).reshape(vectors.shape)


def _constant(value: Tensor, site: Site, arrived: dict[Site, Tensor]) -> Change:
    def put(old: Tensor) -> Tensor:
        arrived[site] = old.clone()
        return value

    return put
