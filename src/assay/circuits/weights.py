"""A baseline that has seen no prompt: heads by the size of their output weights."""

from __future__ import annotations

from assay.circuits.claims import BASELINE
from assay.core.errors import SiteError
from assay.core.protocols import Scores, head_name
from assay.core.registry import method
from assay.data.pairs import Pairs
from assay.engine.model import Model
from assay.models.taps import HeadOut, output_weight


@method(
    gives=Scores,
    cites="none: a baseline",
    cost="none: reads the weights",
    assumes="that a head with larger output weights matters more",
    fails_when="what a head reads is small, or cancels; that is the point of a baseline",
    claim=BASELINE,
)
def head_weight_norms(model: Model, pairs: Pairs) -> Scores:
    """The Frobenius norm of each head's rows of the output projection."""
    found: dict[str, float] = {}
    for site in model.network.sites_named("head_out"):
        if not isinstance(site.tap, HeadOut):
            raise SiteError(f"{site}: its output projection is not known, so heads have no weights of their own.")
        weight = output_weight(
            model.native.get_submodule(site.tap.projection), site.sizes["head"], turned=site.tap.turned
        )
        norms = weight.detach().float().flatten(1).norm(dim=1)
        found |= {head_name(site.layer or 0, head): float(norm) for head, norm in enumerate(norms)}
    return Scores.of(found, quantity="Frobenius norm of the head's output weights")
