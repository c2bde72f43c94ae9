"""The model that a person works with: a network and the verbs on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from assay.core.result import Result
from assay.core.sites import SiteName
from assay.engine.dispatch import Engine, measure
from assay.engine.explain import Explanation, explain
from assay.engine.generate import Generation, Sampling, generate
from assay.engine.generation.sweep import SweepSettings, generate_sweep
from assay.engine.gradients import Under, gradients
from assay.engine.harvest import Harvest, MoreRules, Rules, harvest
from assay.engine.hooks import Action, Tapping
from assay.engine.integrated import IntegratedGradients, More, integrated_gradients
from assay.engine.jvp import To, jvp
from assay.engine.known_elsewhere import missing
from assay.engine.load import load as load
from assay.engine.run_result import RunResult, run_once
from assay.engine.schedule.measure import Asked, reads
from assay.engine.store.through import AnyStore
from assay.experiments.captures import Capture
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.given_edits import by_site
from assay.experiments.metrics import Metric
from assay.models.network import Network
from assay.models.prompts import Prompts, tokenise
from assay.models.structure import Site


class Model:
    """A network with its own native code, named sites, and what can be done with it.

    `model.native` is the untouched module: with no edits, its outputs are what they always were.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    def __repr__(self) -> str:
        sites = len(self.network.structure.sites)
        return f"Model({self.network.source.name}: {type(self.native).__name__}, {sites} sites)"

    if not TYPE_CHECKING:  # for a type checker there is nothing else

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(missing(name, dir(type(self))))

        def __call__(self, *_: Any, **__: Any) -> Any:
            """No: other libraries' models are called."""
            raise TypeError(
                "a Model is not called: model.run(inputs).logits runs it, and model.native is the native module."
            )

    @property
    def native(self) -> nn.Module:
        """The native module."""
        return self.network.native

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer, or None."""
        return self.network.tokenizer

    @property
    def fingerprint(self) -> str:
        """Hash of configuration and weights."""
        return self.network.fingerprint

    @property
    def config(self) -> Any:
        """The native model's configuration, or None."""
        return getattr(self.native, "config", None)

    @property
    def sites(self) -> list[Site]:
        """All named sites in forward order."""
        return list(self.network.structure.sites.values())

    @property
    def n_layers(self) -> int:
        """Layers of the main stack: the only one, or the decoder."""
        depth = self.network.structure.depth
        return depth.get(None, depth.get("dec", max(depth.values(), default=0)))

    @property
    def n_heads(self) -> int:
        """Query heads of the first layer that has attention, 0 without any."""
        return next((s.sizes["head"] for s in self.sites if s.name.name in ("z", "pattern", "cross_z")), 0)

    @property
    def d_model(self) -> int:
        """Width of the residual stream of the main stack, 0 if there is none."""
        return next((s.sizes["d_model"] for s in reversed(self.sites) if s.name.name == "resid_pre"), 0)

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        return self.network.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the first parameter."""
        parameter = next(self.native.parameters(), None)
        return parameter.dtype if parameter is not None else torch.float32

    def site(self, name: str | SiteName) -> Site:
        """A site by name or alias. Raises SiteError with the reason or the nearest names."""
        return self.network.site(name)

    def why_not(self, name: str | SiteName) -> str | None:
        """Why a site is absent in this model; None when it is there."""
        return self.network.why_not(name)

    def tokens(self, inputs: Any) -> Prompts:
        """How an input is tokenised."""
        return tokenise(inputs, self.tokenizer)

    def run(
        self,
        inputs: Any,
        *,
        capture: str | Capture | Sequence[str | Capture] = (),
        edits: Edit | Sequence[Edit] = (),
        metrics: Metric | Sequence[Metric] = (),
        sources: Mapping[str, Any] | None = None,
        positions: Mapping[str, Sequence[int]] | None = None,
        output: bool = True,
    ) -> RunResult:
        """One run: look at sites, change them, measure the output.

        `sources` are further inputs that edits take values from, by name. `positions` names positions of the prompts,
        one index for each. Captured tensors are [batch, pos, …]; prompts of different length are run in groups and
        padded with NaN at the right in what is returned. Cost: one forward pass for each prompt length; with `output=False`,
        which returns no logits, only the blocks up to the last captured site, and of logits what metrics read.
        """
        return run_once(
            self.network,
            inputs,
            capture=capture,
            edits=edits,
            metrics=metrics,
            sources=sources or {},
            positions=positions or {},
            reads=None if output else reads,
        )

    def measure(
        self,
        experiment: Experiment,
        *,
        engine: Engine = "scheduled",
        batch: int | None = None,
        without: Collection[str] = (),
        memory: str | float | None = None,
        store: AnyStore | None = None,
        dtype: str | None = None,
    ) -> Result:
        """Run an experiment: labelled arrays with provenance and cost.

        `engine="scheduled"`: variants begin at the first block and position that differ, many in one pass; what it
        can't do is left to the naive engine, and the result says why. `engine="naive"`: one plain forward pass for each
        variant; the same numbers within rounding. `engine="ray"` shares the work out over a Ray cluster (extra `ray`);
        `Ray(...)` says which, and how. `without` names parts of the schedule to switch off: "depth", "position", "noop",
        "stagger", "together", "head_out", "unembed", "vocab", "early", "attention". `batch` limits the examples in one
        pass, `memory` what batches of variants may take ("4GiB", or a fraction of what is free). With a `store` (or its folder)
        what is there is read, and what is not is kept as it is finished. `dtype="bfloat16"` runs a copy of the model in fewer
        bits, and says how far a sample is from the model itself. Who listens to `assay.core.progress` hears how many variants
        are done.
        """
        options = {"batch": batch, "without": without, "memory": memory, "store": store, "dtype": dtype}
        return measure(self.network, experiment, engine=engine, **options)  # type: ignore[arg-type]

    def explain(
        self,
        experiment: Experiment,
        *,
        engine: Literal["scheduled", "naive"] = "scheduled",
        batch: int | None = None,
        without: Collection[str] = (),
        memory: str | float | None = None,
    ) -> Explanation:
        """What `measure` will do, before it does it: its passes, token-layers, operations, seconds and memory."""
        return explain(self.network, experiment, engine=engine, asked=Asked.of(batch, without, memory))

    def gradients(
        self, inputs: Any, *, of: Metric, sites: str | Sequence[str], **under: Unpack[Under]
    ) -> dict[str, Tensor]:
        """The gradient of a metric, summed over examples and positions, at each site; one backward pass for all.

        `frozen` names what is taken for constant: "norms", "patterns", "mlps".
        """
        return gradients(self.network, inputs, of=of, sites=sites, **under)

    def jvp(
        self, inputs: Any, *, at: str, tangent: Any, to: To | Sequence[To], pos: Any = None, **under: Unpack[Under]
    ) -> dict[str, Tensor]:
        """How the sites and metrics `to` move when the site `at` moves along `tangent` (at `pos`), to first order."""
        return jvp(self.network, inputs, at=at, tangent=tangent, to=to, pos=pos, **under)

    def integrated_gradients(
        self, inputs: Any, *, of: Metric, sites: str | Sequence[str], source: Any = None, **more: Unpack[More]
    ) -> IntegratedGradients:
        """What entries of sites account for of a metric's change from the run of `source` (None: zero) to this run."""
        return integrated_gradients(self.network, inputs, of=of, sites=sites, source=source, **more)

    def generate(
        self,
        inputs: Any,
        *,
        edits: Edit | Sequence[Edit] = (),
        sources: Mapping[str, Any] | None = None,
        max_new_tokens: int = 20,
        temperature: float = 0.0,
        **sampling: Any,
    ) -> Generation:
        """Continue prompts, with edits in the prompt (`pos`) and at chosen generation steps (`step`).

        `temperature=0` is greedy; otherwise `top_k`, `top_p` and `seed` say how tokens are drawn. `use_cache=False`
        runs the whole text at every step; the same edits then mean the same.
        """
        chosen = Sampling.of(max_new_tokens=max_new_tokens, temperature=temperature, **sampling)
        return generate(self.network, inputs, edits=edits, sources=sources, sampling=chosen)

    def generate_sweep(
        self,
        inputs: Any,
        edits: Edit | Sequence[Edit],
        *,
        over: Any = None,
        max_new_tokens: int = 20,
        temperature: float = 0.0,
        seed: int | Sequence[int] = 0,
        **more: Unpack[SweepSettings],
    ) -> Result:
        """Continue prompts under every variant of edits along the axes `over`, as rows of batches with a cache.

        Gives `tokens` (−1 after the end), `logprob` and `text` along the axes. Each row is what `generate` gives its
        prompt alone with the same seed; several seeds make an axis. `docs/generation.md` says what is shared.
        """
        asked = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
        return generate_sweep(self.network, inputs, edits, over=over, **asked, **more)  # type: ignore[arg-type]

    def harvest(
        self,
        corpus: Iterable[Any],
        sites: str | Sequence[str],
        *,
        to: str | Path | None = None,
        pos: Any = None,
        dtype: str = "float32",
        **rules: Unpack[MoreRules],
    ) -> Harvest:
        """Activations at sites over a corpus of texts or token lists, in memory or as shards in the folder `to`.

        Documents are cut into pieces of at most `context` tokens; `pos` says which positions of each piece are kept
        (`slice(1, None)` leaves out an attention sink at the first). `statistics=("mean", "covariance", "norm", "top")`
        sums up on the fly, with `activations=False` nothing else is kept; `MoreRules` tells of the other rules. With
        `to`, the same call after an interruption goes on where it stopped. Cost: a forward pass up to the last site.
        """
        return harvest(self.network, corpus, Rules.of(sites, pos, dtype, **rules), to=to)

    @contextmanager
    def hooked(self, functions: Mapping[str, Callable[[Tensor], Tensor | None]]) -> Iterator[nn.Module]:
        """Plain Python functions at sites while the context lasts, for exploration: `with model.hooked({...}) as
        native:`.

        A function gets the site's tensor and returns the new one, or None to leave it. Contexts nest. Another thread that
        runs the model waits until the context is left.
        """

        functions = by_site(functions)

        def changing(function: Callable[[Tensor], Tensor | None]) -> Callable[[Tensor], Tensor]:
            def change(value: Tensor) -> Tensor:
                new = function(value)
                return value if new is None else new

            return change

        named = [(site, fn) for name, fn in functions.items() for site in self.network.sites_named(name)]
        with Tapping(self.network, [Action(site, change=changing(fn)) for site, fn in named]):
            yield self.native
