"""Parts of a model that derivatives take for constants: the scales of norms, attention patterns, outputs of MLPs.

With norms and patterns frozen a transformer without MLPs is linear in its residual stream, so that a gradient times an
activation is that activation's share of the output, exactly: what attribution graphs and direct effects are made of.
Values stay what they are, bit for bit.

    norms      the scale that a norm divides by is a constant. Centring, weight and bias are differentiated as they are:
               they are linear. Norms are found by what they do (`Network.norms`), those inside attention included
    patterns   the attention pattern is a constant: no derivative through queries and keys. Runs the eager kernel
    mlps       what an MLP adds to the residual stream is a constant
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from assay.core.errors import ExperimentError, SettingsError, nearest
from assay.core.sites import SiteName
from assay.engine.hooks import Action
from assay.models.network import Network
from assay.models.structure import Site
from assay.models.taps import NormScale

_SITES: dict[str, tuple[str, ...]] = {"patterns": ("pattern", "cross_pattern"), "mlps": ("mlp_out",)}
KINDS = ("norms", *_SITES)


def freezing(network: Network, frozen: str | Sequence[str], edited: Sequence[Site] = ()) -> list[Action]:
    """What to do at the sites of these kinds before anything else. A norm whose scale is among the sites that are
    `edited` is left alone: the edit gives it a constant already.

    Raises:
        ExperimentError: a kind of which this model has none, or none that can be written.
    """
    found: list[Action] = []
    for kind in kinds(frozen):
        sites = _norms(network, edited) if kind == "norms" else _named(network, kind)
        found += [Action(site, lift=Tensor.detach) for site in sites]
    return found


def kinds(frozen: str | Sequence[str]) -> tuple[str, ...]:
    """One or several kinds by name, each once. Raises SettingsError for one that does not exist."""
    named = tuple(dict.fromkeys([frozen] if isinstance(frozen, str) else frozen))
    for kind in named:
        if kind not in KINDS:
            raise SettingsError(f"{kind!r} can't be frozen: expected {', '.join(KINDS)}.{nearest(kind, KINDS)}")
    return named


def _norms(network: Network, edited: Sequence[Site]) -> list[Site]:
    if not network.norms:
        raise ExperimentError("frozen norms: no module of this model divides its input by a scale.")
    given = {site.tap.port for site in edited if isinstance(site.tap, NormScale)}
    return [
        Site(SiteName("out", native=tap.port.module), ("batch", "pos", "one"), {"one": 1}, True, tap)
        for tap in network.norms
        if tap.port not in given
    ]


def _named(network: Network, kind: str) -> list[Site]:
    sites = [site for site in network.structure.sites.values() if site.name.name in _SITES[kind]]
    if not sites:
        why = network.why_not(_SITES[kind][0])
        raise ExperimentError(f"frozen {kind}: {why or 'this model has none'}.")
    fixed = [site for site in sites if not site.writable]
    if fixed:
        raise ExperimentError(f"frozen {kind}: {fixed[0]} can be read only.")
    return sites
