"""The key of a result: the hash of everything that its numbers depend on.

That is the model's fingerprint as the weights are now, the code of classes of one's own, the experiment with its
attachments, the tokens that its texts become, the engine, and what of the surroundings changes numbers: dtype, kind of
device, attention kernel, autocast, precision of matrix products, and the versions of torch, transformers, assay and this
format. Not in the key, since it moves numbers only by rounding: the size of batches, switched-off parts of a schedule,
the number of threads.

Cost: one pass over the weights (0.2 s for 540 MB) and the tokenizer's work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from assay.core.codec import digest
from assay.core.provenance import versions
from assay.engine.prepare import prompts_of
from assay.engine.store.code import own_code, put_in
from assay.experiments.experiment import Experiment
from assay.models.fingerprint import fingerprint
from assay.models.network import Network

FORMAT = 1
"""Of the files in the store. Raise it when an older store should not be read."""


def key_facts(network: Network, experiment: Experiment, *, engine: str) -> dict[str, Any]:
    """What the key is the hash of, as JSON data."""
    tensors = [*network.native.parameters(), *network.native.buffers()]
    devices = sorted({tensor.device.type for tensor in tensors}) or ["cpu"]
    return {
        "format": FORMAT,
        "model": fingerprint(network.native),
        "code": own_code(network.native),
        "experiment": experiment.hash,
        "tokens": digest(_tokens(network, experiment)),
        "engine": engine,
        "dtypes": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors}),
        "devices": devices,
        "attention": sorted({str(getattr(holder, name)) for holder, name in network.holders}),
        "autocast": {d: str(torch.get_autocast_dtype(d)) for d in devices if torch.is_autocast_enabled(d)},
        "matmul": _matmul_precision(),
        "versions": {name: v for name, v in versions() if name in ("assay", "torch", "transformers")},
    }


def key_of(facts: dict[str, Any]) -> str:
    """The key, 64 hexadecimal digits."""
    return digest(facts).removeprefix("sha256:")


def why_not_kept(network: Network, experiment: Experiment) -> str | None:
    """Why a result must not be taken from a store nor put into one; None if it may."""
    if experiment.local_only:
        return "the experiment holds Python functions, which have no hash"
    if any(module.training for module in network.native.modules()):
        return "the model is in training mode, so that dropout may change numbers from run to run"
    if function := put_in(network.native):
        return f"the function {function} was put into the model, and may change numbers"
    return None


def _matmul_precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # it was set for one backend alone
        return str(torch.backends.cuda.matmul.fp32_precision)


def _tokens(network: Network, experiment: Experiment) -> dict[str, Any]:
    """The token ids of inputs by name, and of the words that metrics ask for: all that the tokenizer contributes."""
    prompts = prompts_of(network, experiment)
    words = sorted(set(_words(experiment))) if network.tokenizer is not None else []
    return {
        "inputs": {name: [list(row) for row in found.rows] for name, found in prompts.items()},
        "words": {w: list(network.tokenizer(w, add_special_tokens=False)["input_ids"]) for w in words},  # type: ignore[misc]
    }


def _words(experiment: Experiment) -> Iterator[str]:
    """Every answer that is given as text."""
    grads = [capture.of for run in experiment.runs.values() for capture in run.gradients]
    for metric in (*experiment.metrics, *grads):
        yield from _strings(tuple(metric.asks.values()))
    for given in experiment.inputs.values():
        yield from _strings((given.answers, given.wrong))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _strings(item)
