"""A network: native code and weights, the tokenizer, and the map of named sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from assay.core.errors import SiteError, nearest
from assay.core.sites import SiteName
from assay.models.arguments import arguments_of, own_arguments
from assay.models.attention import implementation_holders
from assay.models.codebooks import token_tables
from assay.models.example_inputs import example_inputs
from assay.models.fingerprint import fingerprint, stamp
from assay.models.norms import norms_of
from assay.models.offloaded import input_device
from assay.models.ports import FIRST, Port
from assay.models.source import Loaded, Source
from assay.models.stand_ins import stand_ins
from assay.models.structure import Site, Structure, structure_of
from assay.models.taps import Direct, NormScale


@dataclass(frozen=True)
class Network:
    """A loaded model with its sites. Nothing of the native model is changed, copied or hooked (`stand_ins`: for the trace)."""

    native: nn.Module
    tokenizer: PreTrainedTokenizerBase | None
    source: Source
    structure: Structure = field(repr=False)
    token_argument: str = "input_ids"
    """The argument of the native forward that takes token ids."""
    examples: Sequence[Mapping[str, Any]] = field(default=(), repr=False, compare=False)
    """Inputs on which it was, or can be, traced."""

    @classmethod
    def of(cls, loaded: Loaded, trace_inputs: Mapping[str, Any] | None = None) -> Network:
        """Find the sites of a loaded model. `trace_inputs` are inputs for one forward pass of a module of your own."""
        choices = [trace_inputs] if trace_inputs is not None else example_inputs(loaded.native)
        with stand_ins(loaded.native):
            structure = structure_of(loaded.native, choices)
        argument = _token_argument(trace_inputs or {})
        network = cls(loaded.native, loaded.tokenizer, loaded.source, structure, argument, choices)
        if loaded.fingerprint is not None:
            network.remember(loaded.fingerprint)  # computed while loading
        return network

    @property
    def fingerprint(self) -> str:
        """Hash of configuration and weights, as they are now: it is taken again when they were changed since the last."""
        known: tuple[object, str] | None = self.__dict__.get("_fingerprint")
        if known is None or known[0] != stamp(self.native):
            self.remember(fingerprint(self.native))
        found: str = self.__dict__["_fingerprint"][1]
        return found

    def remember(self, found: str) -> None:
        """This is the fingerprint of the model as it is now."""
        self.__dict__["_fingerprint"] = stamp(self.native), found
        self.__dict__.setdefault("first_fingerprint", found)

    @property
    def facts(self) -> tuple[str, ...]:
        """What was done to the model while loading, and how it stands now: goes into every result."""
        training = any(module.training for module in self.modules.values())
        now = ("the model is in training mode: dropout may be on",) if training else ()
        return (*self.source.facts, *now)

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        return input_device(self.native)

    @cached_property
    def holders(self) -> list[tuple[object, str]]:
        """Where the model names its attention implementation."""
        return implementation_holders(self.native)

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        """Native modules by path."""
        return dict(self.native.named_modules())

    @cached_property
    def _weights(self) -> dict[str, tuple[int, int]]:
        return {}

    def weights_in(self, path: str) -> tuple[int, int]:
        """How many weights the module at a path has, vectors left out: outside of routed experts, and in them."""
        if path not in self._weights:
            count = [0, 0]
            for name, parameter in self.modules[path].named_parameters():
                if parameter.ndim >= 2:
                    count["experts" in name and "shared" not in name] += parameter.numel()
            self._weights[path] = count[0], count[1]
        return self._weights[path]

    @cached_property
    def norms(self) -> tuple[NormScale, ...]:
        """The scale of every norm that is a module, wherever it is; found when first asked for."""
        with stand_ins(self.native):
            return norms_of(self.native, self.examples)

    @cached_property
    def _in_layers(self) -> dict[tuple[str, str | None], list[Site]]:
        """The sites of all layers by name and stack, from the first layer to the last."""
        found: dict[tuple[str, str | None], list[Site]] = {}
        for name, site in self.structure.sites.items():
            found.setdefault((name.name, name.stack), []).append(site)
        return {key: sorted(sites, key=lambda site: site.layer or 0) for key, sites in found.items()}

    @cached_property
    def longest(self) -> int | None:
        """The most tokens that its learned positions allow, None where positions are not looked up in a table."""
        sites = [s for s in self.structure.sites.values() if s.name.name == "pos_embed" and s.name.stack != "vision"]
        modules = [self.modules.get(site.tap.port.module) for site in sites]
        tables = [module for module in modules if isinstance(module, nn.Embedding)]
        if not tables:
            return None
        rows = min(t.num_embeddings - (0 if t.padding_idx is None else t.padding_idx + 1) for t in tables)
        stated = getattr(getattr(self.native, "config", None), "max_position_embeddings", rows)
        return min(rows, stated) if isinstance(stated, int) else rows

    @cached_property
    def vocabulary(self) -> int | None:
        """Number of token ids that the embedding (of each codebook) knows, None without a token embedding."""
        sizes = [getattr(table, "num_embeddings", None) for table in token_tables(self.native)]
        return min((size for size in sizes if size is not None), default=None)

    def takes(self, argument: str) -> bool:
        """Whether the native model's forward names this argument."""
        own = "forward" in vars(self.native)  # not remembered: it may hold the model, as accelerate's does
        return argument in (
            signature(self.native.forward).parameters if own else _parameters(type(self.native).forward)
        )

    @cached_property
    def own_arguments(self) -> tuple[str, ...]:
        """The inputs that the native model's forward names."""
        return own_arguments(self.native)

    @cached_property
    def arguments(self) -> frozenset[str]:
        """The inputs that the native model reads, here or in its parts, as far as its code and its example inputs tell."""
        known = arguments_of(self.native).union(*self.examples)
        return known | {"input_ids"} if self.token_argument in known else known

    def multiplier(self, layer: int) -> Tensor | None:
        """The number by which a layer of the only stack multiplies its whole stream at the end; None where it does not."""
        name = self.structure.rescaled.get((None, layer))
        if name is None:
            return None
        path, _, own = name.rpartition(".")
        number: Tensor = getattr(self.modules[path], own)
        return number.detach().reshape(())

    def site(self, name: str | SiteName) -> Site:
        """The site of this name. Raises SiteError with the reason, or the nearest names that exist."""
        parsed = self._absolute(SiteName.parse(name))
        if parsed.native is not None:
            return self._native_site(parsed)
        found = self.structure.sites.get(parsed)
        if found is not None:
            return found
        raise SiteError(self._missing(parsed))

    def sites_named(self, name: str | SiteName) -> list[Site]:
        """The site, or, where the name gives no layer, the site of every layer that has it."""
        parsed = SiteName.parse(name)
        if not parsed.in_layers or parsed.layer is not None:
            return [self.site(parsed)]
        found = self._in_layers.get((parsed.name, parsed.stack))
        if found is None:
            raise SiteError(self._missing(parsed))
        return list(found)

    def why_not(self, name: str | SiteName) -> str | None:
        """Why a site is absent; None when it is there."""
        parsed = self._absolute(SiteName.parse(name))
        if parsed.native is not None:
            return None if parsed.native in self.modules else f"no module is called {parsed.native!r}"
        if parsed.in_layers and parsed.layer is None:
            found = any(k.name == parsed.name and k.stack == parsed.stack for k in self.structure.sites)
            return None if found else self._first_reason(parsed) or self._missing(parsed)
        if parsed in self.structure.sites:
            return None
        return self.structure.reasons.get(parsed) or self._missing(parsed)

    def _absolute(self, name: SiteName) -> SiteName:
        if name.layer is None or name.layer >= 0:
            return name
        depth = self.structure.depth.get(name.stack)
        return name if depth is None or name.layer < -depth else name.at(depth + name.layer)

    def _native_site(self, name: SiteName) -> Site:
        path = name.native or ""
        if path not in self.modules:
            raise SiteError(
                f"{str(name)!r} is not in this model: no module is called {path!r}.{nearest(path, self.modules)}"
            )
        side: Any = name.name
        shape = self.structure.native_shapes.get((path, side), ())
        known = ("batch", "pos")[: len(self._traced_sizes(shape))]
        axes = known + tuple(f"dim_{i}" for i in range(len(known), len(shape)))
        sizes = {a: n for a, n in zip(axes, shape, strict=True) if a not in ("batch", "pos")}
        return Site(name, axes, sizes, writable=True, tap=Direct(Port(path, side, FIRST)))

    def _traced_sizes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The leading sizes of a traced shape that are the batch and the positions of the traced pass."""
        embedded = next(
            (s for (_, side), s in self.structure.native_shapes.items() if side == "out" and len(s) == 3), ()
        )
        same = [n for n, known in zip(shape, embedded[:2], strict=False) if n == known]
        return shape[: len(same)] if shape[: len(same)] == embedded[: len(same)] else ()

    def _missing(self, name: SiteName) -> str:
        label = f"{str(name)!r} is not in this model"
        depth = self.structure.depth
        if name in self.structure.reasons:
            return f"{label}: {self.structure.reasons[name]}."
        if name.in_layers and name.layer is None:
            return self._without_layer(name, label)
        if not depth:
            why = self.structure.failure or "no stack of blocks was found in it"
            return f"{label}: {why}. Native sites exist: native:<module path>:<in|out>."
        if name.stack not in depth:
            return f"{label}: its layers are called {self._stacks()}."
        last = depth[name.stack] - 1
        if name.layer is not None and not 0 <= name.layer <= last:
            near = f"{name.at(last)} (the last layer)"
            return f"{label}: it has layers 0-{last}. Nearest: {near}."
        return f"{label}.{nearest(str(name), map(str, self.structure.sites))}"

    def _without_layer(self, name: SiteName, label: str) -> str:
        there = [key for key in self.structure.sites if key.name == name.name and key.stack == name.stack]
        if there:
            return f"{str(name)!r} is a site of {len(there)} layers: name one of them, {there[0]} say."
        why = self._first_reason(name) or self.structure.failure
        if why is None and self.structure.depth and name.stack not in self.structure.depth:
            why = f"its layers are called {self._stacks()}"
        return f"{label}: {why or 'no stack of blocks was found in it'}."

    def _stacks(self) -> str:
        return ", ".join(f"{s}.L<layer>" if s else "L<layer>" for s in self.structure.depth)

    def _first_reason(self, name: SiteName) -> str | None:
        reasons = self.structure.reasons
        return next((why for k, why in reasons.items() if k.name == name.name and k.stack == name.stack), None)


def _token_argument(inputs: Mapping[str, Any]) -> str:
    """The one argument that is a table of integers, among the inputs of a module of the user's own."""
    ids = [n for n, v in inputs.items() if isinstance(v, Tensor) and v.ndim == 2 and not v.is_floating_point()]
    return ids[0] if len(ids) == 1 else "input_ids"


@lru_cache(maxsize=64)
def _parameters(forward: Callable[..., Any]) -> frozenset[str]:
    return frozenset(signature(forward).parameters)
