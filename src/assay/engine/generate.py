"""Generation with edits: the native model's own `generate`, with changes at sites in every pass.

Where an edit acts: `pos` counts in the prompt, as in a plain run; without `pos` it acts on the prompt and on every
token that is generated. `step` restricts it to generation steps: step 0 is the prompt's own pass, step k the pass over
the k-th generated token. So an edit means the same with a key/value cache and without one. Prompts of different length
are generated group by group, without padding. Sampling uses a seed and never the global random state's history.

Cost: one pass over the prompt and one token per step, with a cache; without, one pass over the whole text per step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from assay.core.errors import ExperimentError, InputError, SettingsError, nearest
from assay.core.seeds import child_seed
from assay.engine.changes import bind
from assay.engine.edges.binding import refuse_edges
from assay.engine.hooks import Action, Change, Tapping
from assay.engine.passes import check_length, on_device
from assay.engine.prepare import checked, prompts_of
from assay.engine.rows import groups, own_rows
from assay.engine.runner import Runner, executed, needed_sites
from assay.engine.select import Scope
from assay.engine.source_means import source_means
from assay.experiments.edits import Edit
from assay.experiments.experiment import Experiment
from assay.experiments.inputs import as_input
from assay.experiments.runs import Run
from assay.models.codebooks import refuse_generating
from assay.models.network import Network
from assay.models.prompts import Prompts
from assay.models.structure import Site

_CACHED = ("k_rot", "scores", "pattern")
"""Sites that an edit would change in the current pass only, while the cache keeps the unedited keys."""


@dataclass(frozen=True)
class Generation:
    """Generated text. `tokens` are the new token ids of each prompt, end-of-sequence token included."""

    prompts: Prompts
    tokens: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...] | None

    def __str__(self) -> str:
        if self.texts is None:
            return "\n".join(" ".join(map(str, row)) for row in self.tokens)
        return "\n".join(self.texts)


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. `temperature=0` is greedy."""

    max_new_tokens: int = 20
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    use_cache: bool = True

    @classmethod
    def of(cls, **given: Any) -> Sampling:
        """From settings by name. Raises SettingsError for one that is not known, or a value that makes no sense."""
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                raise SettingsError(
                    f"{name!r} is no setting of generate: expected {', '.join(known)}.{nearest(name, known)}"
                )
        return cls(**given)

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        allowed = {
            "max_new_tokens": (self.max_new_tokens >= 1, "at least 1"),
            "temperature": (self.temperature >= 0, "0 for greedy, or above"),
            "top_k": (self.top_k is None or self.top_k >= 1, "at least 1, or None"),
            "top_p": (self.top_p is None or 0 < self.top_p <= 1, "above 0 and at most 1, or None"),
        }
        for name, (fine, expected) in allowed.items():
            if not fine:
                raise SettingsError(f"{name}={getattr(self, name)} makes no sense: expected {expected}.")

    def arguments(self) -> dict[str, Any]:
        """For the native `generate`."""
        chosen: dict[str, Any] = {"max_new_tokens": self.max_new_tokens, "use_cache": self.use_cache}
        if self.temperature == 0:
            return {**chosen, "do_sample": False, "temperature": None, "top_k": None, "top_p": None}
        return {
            **chosen,
            "do_sample": True,
            "temperature": self.temperature,
            "top_k": self.top_k or 0,
            "top_p": self.top_p or 1.0,
        }


def generate(
    network: Network,
    inputs: Any,
    *,
    edits: Edit | Sequence[Edit] = (),
    sources: Mapping[str, Any] | None = None,
    sampling: Sampling,
) -> Generation:
    """Continue each prompt. Raises ExperimentError for edits that a cache would make meaningless."""
    given = {"input": as_input(inputs), **{n: as_input(v) for n, v in (sources or {}).items()}}
    experiment = Experiment(inputs=given, runs={"main": Run(input="input", edits=edits)}, main="main")
    run = experiment.run("main")
    prompts = prompts_of(network, experiment)
    checked(network, experiment, prompts, steps=sampling.max_new_tokens)
    refuse_generating(network.native)
    if not hasattr(network.native, "generate"):
        raise ExperimentError("this model cannot generate: it is no transformers model with a generate method.")
    refuse_uncacheable(network, run.edits, sampling)
    order = executed(experiment)
    runs = {name: experiment.run(name) for name in order}
    needed, means = needed_sites(network, experiment, [runs]), source_means(network, experiment, prompts, [runs])
    tokens: dict[int, tuple[int, ...]] = {}
    for rows in groups(prompts, list(dict.fromkeys(r.input for r in runs.values()))):
        runner = Runner(network, experiment, prompts, rows, means, needed)
        for name in order:
            if name != "main":
                runner.make(name, runs[name])
        tokens |= dict(zip(rows, _generate_group(runner, run, rows, sampling), strict=True))
    ordered = tuple(tokens[row] for row in range(len(prompts["input"])))
    decode = network.tokenizer.decode if network.tokenizer is not None else None
    texts = None if decode is None else tuple(str(decode(list(row), skip_special_tokens=True)) for row in ordered)
    return Generation(prompts["input"], ordered, texts)


def refuse_uncacheable(network: Network, edits: Sequence[Edit], sampling: Sampling) -> None:
    """Raise ExperimentError for edits that would mean something else with a cache than without one."""
    refuse_edges(edits, "a text is generated")
    for edit in edits:
        if sampling.use_cache and any(site.name.name in _CACHED for site in network.sites_named(edit.site)):
            raise ExperimentError(
                f"{edit}: with a key/value cache this would act in one pass only. Edit q, k or v, "
                "or give use_cache=False."
            )


def _generate_group(runner: Runner, run: Run, rows: Sequence[int], sampling: Sampling) -> list[tuple[int, ...]]:
    out, start = native_output(runner, run, rows, sampling)
    return [until_end(row, runner.network) for row in out[:, start:].tolist()]


def native_output(
    runner: Runner, run: Run, rows: Sequence[int], sampling: Sampling, **settings: Any
) -> tuple[Any, int]:
    """What the native `generate` gives for examples of one length under a run's edits, and how many tokens of it are
    the prompt. The runs that edits take values from must have been made."""
    network = runner.network
    scope = _Moving(runner.scope(run), decoding=_encoder_decoder(network.native))
    changes = [
        (site, scope.follow(edit, site, runner)) for edit in run.edits for site in network.sites_named(edit.site)
    ]
    inputs, chosen = native_arguments(runner, run, rows, sampling, [site for site, _ in changes])
    with (
        torch.random.fork_rng(devices=[]),
        Tapping(network, [Action(s, change=c) for s, c in changes]),
        scope.watching(network.native),
        torch.no_grad(),
    ):
        torch.manual_seed(native_seed(sampling.seed))
        out = network.native.generate(**inputs, **chosen, **settings)  # type: ignore[operator]
    length = (out if isinstance(out, Tensor) else out.sequences).shape[1]
    return out, length - scope.passes if _encoder_decoder(network.native) else inputs["input_ids"].shape[1]


def native_arguments(
    runner: Runner, run: Run, rows: Sequence[int], sampling: Sampling, edited: Iterable[Site]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and settings for the native `generate` of examples of one length, under edits at the sites `edited`."""
    network, prompts = runner.network, runner.prompts[run.input]
    inputs = on_device(network, prompts.inputs(own_rows(prompts, rows)))
    inputs.pop("use_cache", None)
    if not _encoder_decoder(network.native) and any(max(p) == n - 1 for p, n in _paddings(prompts)):
        raise InputError("a prompt is padded at its end, and the text would go on after the padding: pad at the left.")
    if not _encoder_decoder(network.native):
        check_length(network, inputs.get("input_ids"), sampling.max_new_tokens - 1)
    if "input_ids" in inputs and "attention_mask" not in inputs:
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    settings = sampling.arguments()
    generation = getattr(network.native, "generation_config", None)
    if getattr(generation, "pad_token_id", None) is None:
        settings["pad_token_id"] = _first(getattr(generation, "eos_token_id", None))
    if network.takes("logits_to_keep") and _all_positions(network, run, edited):
        settings["logits_to_keep"] = 0  # native code would compute the last ones only, and positions count them all
    return inputs, settings


def _paddings(prompts: Prompts) -> list[tuple[frozenset[int], int]]:
    """The padded positions of each prompt that has some, and its length."""
    return [(padded, n) for padded, n in zip(prompts.padded or (), prompts.lengths, strict=False) if padded]


def _all_positions(network: Network, run: Run, edited: Iterable[Site]) -> bool:
    """Whether edits need positions that native code leaves out of a prompt's pass: at the logits, and in layers that
    read other layers' keys and values, where only the last position is of use."""
    config: Any = getattr(network.native, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    partly = any(edit.pos is not None or edit.step is not None for edit in run.edits)
    return any(site.name.name == "logits" for site in edited) or (
        partly and bool(getattr(text, "num_kv_shared_layers", 0))
    )


def native_seed(seed: int) -> int:
    """What torch's own generator is seeded with for one call of the native `generate`."""
    return child_seed(seed, "generate") % 2**31


class _Moving:
    """The scope of each pass of a generation: which absolute positions it covers."""

    def __init__(self, scope: Scope, *, decoding: bool) -> None:
        self.scope, self.decoding = scope, decoding
        self.done = self.passes = 0

    @contextmanager
    def watching(self, native: nn.Module) -> Iterator[None]:
        """Follow the native passes while the context lasts."""
        handle = native.register_forward_pre_hook(self.begin, with_kwargs=True, prepend=True)
        try:
            yield
        finally:
            handle.remove()

    def begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """At the start of each native pass: how many tokens it has, and how many came before."""
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is None:
            ids = kwargs["decoder_input_ids"]
        tokens = ids.shape[1]
        if self.decoding and self.passes == 0:  # what the decoder starts with is its prompt; names are of the encoder's
            self.scope = replace(self.scope, prompt=tokens, named={})
        self.passes += 1
        offset = 0 if self.done == 0 or tokens > self.done else self.done
        self.done = offset + tokens
        self.scope = replace(self.scope, offset=offset, tokens=tokens)

    def follow(self, edit: Edit, site: Site, runner: Runner) -> Change:
        """The edit, bound afresh in each pass."""

        def change(value: Tensor) -> Tensor:
            return bind(edit, site, self.scope, runner)(value)

        return change


def until_end(row: list[int], network: Network) -> tuple[int, ...]:
    """A row of new tokens up to its end token, which stays."""
    end = getattr(getattr(network.native, "generation_config", None), "eos_token_id", None)
    ends = set(end if isinstance(end, list) else [end])
    stop = next((i + 1 for i, token in enumerate(row) if token in ends), len(row))
    return tuple(row[:stop])


def _first(value: Any) -> int | None:
    first = value[0] if isinstance(value, list) else value
    return None if first is None else int(first)


def _encoder_decoder(native: nn.Module) -> bool:
    return bool(getattr(getattr(native, "config", None), "is_encoder_decoder", False))
