"""What is kept of a corpus and how it is run: every rule of a harvest, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from pydantic import TypeAdapter

from assay.core.codec import digest
from assay.core.errors import InputError, SettingsError, nearest
from assay.engine.select import Positions, position_axis
from assay.experiments.captures import Dtype
from assay.experiments.positions import END, Pos, Slice, resolve
from assay.models.decoder_start import has_decoder
from assay.models.network import Network
from assay.models.structure import Site

Layout = Literal["bucketed", "padded", "packed", "joined"]
Kind = Literal["mean", "covariance", "norm", "top"]
KINDS: tuple[str, ...] = get_args(Kind)
Wanted = str | Iterable[str] | Mapping[str, str | Iterable[str]]
"""Statistics: names for all sites, or names for each site."""

COUNTS = ("context", "batch", "documents_per_shard", "top")
FORMAT = 2
"""Of the folder; another one is not gone on with."""


class MoreRules(TypedDict, total=False):
    """Rules of a harvest that have a default."""

    layout: Layout
    """How pieces share a pass: `"bucketed"` by equal length, `"padded"` at the right, `"packed"` side by side, each
    seeing only itself, or `"joined"` into rows of `context` tokens that see each other."""
    context: int
    """Tokens of a piece at most."""
    batch: int
    """Pieces (or packed rows) in one pass."""
    documents_per_shard: int
    """Documents in one file."""
    statistics: Wanted
    """What is summed up at each site: `"mean"`, `"covariance"`, `"norm"`, `"top"`; or a dict from sites to these."""
    top: int
    """How many examples `"top"` keeps for each unit."""
    activations: bool
    """Whether the activations themselves are kept."""


@dataclass(frozen=True)
class Rules:
    """What is kept of a corpus, and how it is run."""

    sites: tuple[str, ...]
    pos: Positions = None
    dtype: str = "float32"
    layout: str = "bucketed"
    context: int = 512
    batch: int = 16
    documents_per_shard: int = 256
    statistics: tuple[tuple[str, tuple[str, ...]], ...] = ()
    top: int = 10
    activations: bool = True

    @classmethod
    def of(cls, sites: str | Iterable[str], pos: Any = None, dtype: str = "float32", **given: Any) -> Rules:
        """From rules by name.

        Raises:
            SettingsError: a rule that is not known, or a value that makes no sense.
            InputError: positions that no piece of `context` tokens has.
        """
        known = tuple(MoreRules.__annotations__)
        for name in given:
            if name not in known:
                raise SettingsError(
                    f"{name!r} is no rule of a harvest: expected {', '.join(known)}.{nearest(name, known)}"
                )
        for name in COUNTS:
            _at_least_one(name, given.get(name, 1))
        _one_of("dtype", dtype, get_args(Dtype))
        _one_of("layout", given.get("layout", "bucketed"), get_args(Layout))
        if not isinstance(given.get("activations", True), bool):
            raise SettingsError(f"activations={given['activations']!r} makes no sense: expected True or False.")
        wanted = _statistics(given.pop("statistics", ()))
        names = (sites,) if isinstance(sites, str) else tuple(dict.fromkeys(sites))
        rules = cls(names, _positions(pos), dtype, statistics=wanted, **given)
        rules._refuse_nothing()
        return rules

    def _refuse_nothing(self) -> None:
        if not self.sites:
            raise SettingsError("no site was named: expected at least one, such as 'L5.resid_post'.")
        if not self.activations and not self.statistics:
            raise SettingsError("activations=False without statistics would keep nothing: give statistics=.")
        try:
            resolve(self.pos, length=self.context)
        except InputError as error:
            raise InputError(
                f"no piece has these positions, since pieces have {self.context} tokens: {error}"
            ) from None

    def found(self, network: Network) -> tuple[list[Site], dict[Site, tuple[str, ...]]]:
        """The sites in this model, and what is summed up at which of them.

        Raises:
            SiteError: a site that is not there.
            InputError: a site that has no value for each token.
            SettingsError: statistics of a site that is not harvested, or is as wide as the prompt.
        """
        sites = list(dict.fromkeys(site for name in self.sites for site in network.sites_named(name)))
        if has_decoder(network.native) and (later := [site for site in sites if _of_decoder(site)]):
            raise InputError(
                f"{later[0]} is of the decoder, and a corpus is read by the encoder. Harvest its sites, enc.…, or capture the "
                "decoder's with model.run on {'input_ids': …, 'decoder_input_ids': …}."
            )
        if flat := [site for site in sites if position_axis(site.axes) is None]:
            raise InputError(f"{flat[0]} has no position axis, so it has no value for each token.")
        if (square := _square(sites)) and self.layout != "bucketed":
            raise InputError(f"{square[0]} is as wide as the prompt: expected layout='bucketed' and one length.")
        wanted: dict[Site, tuple[str, ...]] = {}
        for name, kinds in self.statistics:
            for site in network.sites_named(name) if name else sites:
                if site not in sites:
                    raise SettingsError(f"statistics are asked for at {site}, which is not among the harvested sites.")
                wanted[site] = tuple(dict.fromkeys((*wanted.get(site, ()), *kinds)))
        if square := _square(wanted):
            raise SettingsError(f"{square[0]} is as wide as the prompt, so it has no units to sum up.")
        return sites, wanted

    def key(self, fingerprint: str) -> str:
        """Two harvests with the same key can share a folder. `batch` changes no number beyond rounding."""
        return digest(
            {
                "format": FORMAT,
                "model": fingerprint,
                "sites": self.sites,
                "pos": str(self.pos),
                "dtype": self.dtype,
                "layout": self.layout,
                "context": self.context,
                "documents_per_shard": self.documents_per_shard,
                "statistics": self.statistics,
                "top": self.top if any("top" in kinds for _, kinds in self.statistics) else None,
                "activations": self.activations,
            }
        )


def _of_decoder(site: Site) -> bool:
    """In a model with an encoder; the output is the decoder's."""
    return site.name.stack == "dec" or (site.name.stack is None and site.name.native is None)


def _square(sites: Iterable[Site]) -> list[Site]:
    return [site for site in sites if "key" in site.axes]


def _at_least_one(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingsError(f"{name}={value!r} makes no sense: expected a whole number, at least 1.")


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SettingsError(f"{name} {value!r} is not known: expected {', '.join(known)}.{nearest(str(value), known)}")


def _positions(pos: Any) -> Positions:
    """Positions as data. Documents have no named positions but "end"."""
    found: Positions = TypeAdapter(Pos).validate_python(pos)
    ends = (found.start, found.stop) if isinstance(found, Slice) else (found,)
    parts = [part for end in ends for part in (end if isinstance(end, tuple) else (end,))]
    if named := [part for part in parts if isinstance(part, str) and part != END]:
        raise InputError(f"{named[0]!r} is no position of a corpus: expected indices, a slice, or {END!r}.")
    return found


def _statistics(wanted: Wanted) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """For each site by name ("" is all) what is summed up."""
    each = wanted if isinstance(wanted, Mapping) else {"": wanted}
    found = []
    for site, kinds in each.items():
        names = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        for name in names:
            _one_of("the statistic", name, KINDS)
        if names:
            found.append((site, names))
    return tuple(found)
