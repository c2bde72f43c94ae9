"""Before anything runs: inputs tokenised, and the experiment checked against the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.core.errors import ExperimentError
from assay.engine.edges.untraced import refuse_untraced
from assay.engine.unread import refuse_unread
from assay.engine.what_follows import refuse_what_follows
from assay.experiments.check import check
from assay.experiments.experiment import Experiment
from assay.experiments.inputs import Chats, Input, ModelInputs, Texts, Tokens
from assay.experiments.nested import nested
from assay.experiments.network_facts import NetworkFacts
from assay.models.codebooks import refuse_rows
from assay.models.decoder_start import started
from assay.models.network import Network
from assay.models.prompts import Prompts, tokenise


def only_experiments(given: object) -> None:
    """Raise ExperimentError for something else than an experiment."""
    if not isinstance(given, Experiment):
        raise ExperimentError(
            f"expected an Experiment, such as sweep(…) makes, and got a {type(given).__name__}: edits alone are for model.run."
        )


def prompts_of(network: Network, experiment: Experiment, given: Mapping[str, Any] | None = None) -> dict[str, Prompts]:
    """The tokenised inputs by name."""
    return {name: prompts_for(network, value) for name, value in experiment.inputs.items()}


def prompts_for(network: Network, value: Input) -> Prompts:
    """One input, tokenised; a decoder that nothing is given for starts as in generation."""
    found = _tokenised(network, value)
    refuse_rows(found, network.native)
    return started(found, network.native)


def _tokenised(network: Network, value: Input) -> Prompts:
    if isinstance(value, Texts):
        texts = value.texts[0] if value.single else list(value.texts)
        return tokenise(texts, network.tokenizer, special_tokens=value.special_tokens)
    if isinstance(value, Tokens):
        return tokenise([list(row) for row in value.tokens], network.tokenizer)
    if isinstance(value, Chats):
        chats = [[m.model_dump() for m in chat] for chat in value.chats]
        return tokenise(chats, network.tokenizer, generation_prompt=value.generation_prompt)
    assert isinstance(value, ModelInputs)
    return tokenise(nested({name: a.tensor for name, a in value.tensors.items()}), network.tokenizer)


def checked(network: Network, experiment: Experiment, prompts: Mapping[str, Prompts], *, steps: int = 1) -> None:
    """Raise what can be known to be wrong before running: one problem as it is, several as a list.

    Cost: nothing, but for metrics that a look ahead would spoil: once for each model, two passes of a few tokens.
    """
    for name, given in prompts.items():
        refuse_unread(network, name, given)
    refuse_untraced(network, experiment.runs.values(), prompts)
    check(experiment, NetworkFacts(network, prompts), steps=steps)
    refuse_what_follows(network, experiment, prompts)
