"""The variants of a generation sweep: which runs they are, on which examples, and the numbers they give, labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray

from assay.core.errors import ExperimentError
from assay.engine.generate import Sampling, refuse_uncacheable
from assay.engine.generation.decode import Row, Written
from assay.engine.generation.departure import idle
from assay.engine.prepare import checked, prompts_of
from assay.engine.rows import groups
from assay.engine.runner import Runner, executed, needed_sites
from assay.engine.source_means import source_means
from assay.experiments.edits import Edit
from assay.experiments.expand import axes, expand
from assay.experiments.experiment import Experiment
from assay.experiments.given_edits import Call
from assay.experiments.inputs import as_input
from assay.experiments.network_facts import NetworkFacts
from assay.experiments.runs import Run
from assay.experiments.sourced_edits import Resample
from assay.experiments.sweep import Sweep
from assay.models.network import Network
from assay.models.prompts import Prompts

MISSING = -1
"""The token id after the end of a text."""


@dataclass
class Variants:
    """The variants, and which of them are really different: a strength of zero is the same in every layer."""

    network: Network
    experiment: Experiment
    prompts: Mapping[str, Prompts]
    along: Mapping[str, list[int | float | str]]
    index: list[tuple[int, ...]]
    """Each variant's place along the axes."""
    runs: list[Run]
    """The runs that are generated, each once."""
    same: list[int]
    """For each variant the number of its run among them."""
    means: Mapping[Any, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, network: Network, inputs: Any, edits: Any, over: Any, sources: Mapping[str, Any] | None, *, steps: int
    ) -> Variants:
        """The variants of edits along the axes `over`, checked against the model and the most steps there will be."""
        given = {"input": as_input(inputs), **{n: as_input(v) for n, v in (sources or {}).items()}}
        sweep = None if not over else Sweep(axes=over)
        experiment = Experiment(
            inputs=given, runs={"main": Run(input="input", edits=edits)}, main="main", sweep=sweep
        )  # fmt: skip
        prompts = prompts_of(network, experiment)
        checked(network, experiment, prompts, steps=steps)
        facts = NetworkFacts(network, prompts)
        plan = cls(network, experiment, prompts, axes(experiment, facts), [], [], [])
        found: dict[tuple[Any, ...], int] = {}
        for variant in expand(experiment, facts):
            run = variant.runs.get("main") or experiment.run("main")
            key = tuple(_identity(edit) for edit in run.edits if not idle(edit))
            if key not in found:
                found[key] = len(plan.runs)
                plan.runs.append(run)
            plan.index.append(variant.index)
            plan.same.append(found[key])
        plan.means = source_means(network, experiment, prompts, plan.every)
        return plan

    @property
    def every(self) -> list[dict[str, Run]]:
        """All runs of each variant."""
        order = executed(self.experiment)
        return [{name: run if name == "main" else self.experiment.run(name) for name in order} for run in self.runs]

    def refuse(self, sampling: Sampling) -> None:
        """Raise for what can't be generated."""
        if not hasattr(self.network.native, "generate"):
            raise ExperimentError("this model cannot generate: it is no transformers model with a generate method.")
        for run in self.runs:
            refuse_uncacheable(self.network, run.edits, sampling)

    def groups(self, batch: int) -> list[list[int]]:
        """Examples of equal length."""
        used = list(dict.fromkeys(self.experiment.run(name).input for name in executed(self.experiment)))
        whole = any(isinstance(edit, Resample) for run in self.runs for edit in run.edits)
        return groups(self.prompts, used, at_most=None if whole else batch)

    def runner(self, rows: Sequence[int]) -> Runner:
        """Examples with the runs that edits take values from."""
        needed = needed_sites(self.network, self.experiment, self.every)
        runner = Runner(self.network, self.experiment, self.prompts, rows, self.means, needed)
        for name in executed(self.experiment):
            if name != "main":
                runner.make(name, self.experiment.run(name))
        return runner

    def table(self, written: Mapping[Row, Written], seeds: Sequence[int]) -> xarray.Dataset:
        """`tokens`, `text` and `logprob` of every row, along the sweep's axes, seeds and examples if there are several,
        and generated tokens. Rows of `written` are (run, example, seed)."""
        examples = sorted({example for _, example, _ in written})
        single = self.experiment.inputs["input"].single and len(examples) == 1
        longest = max(len(w.tokens) for w in written.values())
        shape = [len(values) for values in self.along.values()] + [len(seeds), len(examples)]
        tokens = np.full([*shape, longest], MISSING, dtype=np.int64)
        logprobs = np.full([*shape, longest], np.nan)
        texts = np.full(shape, "", dtype=object)
        for place, run in zip(self.index, self.same, strict=True):
            for s, seed in enumerate(seeds):
                for e, example in enumerate(examples):
                    made, at = written[run, example, seed], (*place, s, e)
                    tokens[at][: len(made.tokens)] = made.tokens
                    logprobs[at][: len(made.tokens)] = made.logprobs
                    texts[at] = self._text(made.tokens)
        return self._labelled(tokens, logprobs, texts.astype(str), seeds, single=single)

    def _labelled(
        self, tokens: Any, logprobs: Any, texts: Any, seeds: Sequence[int], *, single: bool
    ) -> xarray.Dataset:
        drawn, example, token = (f"{n}_" if n in self.along else n for n in ("seed", "example", "token"))
        outer = (*self.along, drawn, example)
        variables = {"tokens": ((*outer, token), tokens), "logprob": ((*outer, token), logprobs)}
        if self.network.tokenizer is not None:
            variables["text"] = (outer, texts)
        found = xarray.Dataset(variables, coords={**self.along, drawn: list(seeds)})
        dropped = {drawn: 0} if len(seeds) == 1 else {}
        return found.isel({**dropped, **({example: 0} if single else {})}, drop=True)

    def _text(self, tokens: Sequence[int]) -> str:
        tokenizer = self.network.tokenizer
        return "" if tokenizer is None else str(tokenizer.decode(list(tokens), skip_special_tokens=True))


def _identity(edit: Edit) -> tuple[Any, ...]:
    """What tells edits apart."""
    if isinstance(edit, Call):
        return (str(edit), edit.name, id(edit.function))
    return (edit.model_dump_json(),)
