"""Measuring over a cluster: the experiment is parted, parts are measured as experiments of their own, and joined.

What all parts share (the tensors of edits and metrics, means over whole inputs, the model) is put into the object store
once. Cost: that of the local engine, and for each part of the variants the runs that do not vary once more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from assay.core.errors import ExperimentError
from assay.core.progress import report
from assay.core.provenance import Cost
from assay.core.result import Result
from assay.core.result_files import unpack_result
from assay.engine.join import Part, join
from assay.engine.prepare import checked, prompts_of
from assay.engine.ray.cluster import Ray
from assay.engine.ray.pool import Pool, Task
from assay.engine.ray.shards import Shard, shards
from assay.engine.ray.worker import Job, Shared
from assay.engine.schedule.measure import Asked
from assay.engine.store.store import Store
from assay.engine.store.through import AnyStore, through
from assay.experiments.executed import executed
from assay.experiments.expand import axes
from assay.experiments.experiment import Experiment
from assay.experiments.network_facts import NetworkFacts
from assay.experiments.restrict import restrict
from assay.experiments.sourced_edits import Mean
from assay.models.network import Network


def measure(
    network: Network,
    experiment: Experiment,
    cluster: Ray,
    *,
    asked: Asked,
    store: AnyStore | None = None,
) -> Result:
    """Run an experiment over a cluster: what the workers' engine would give here.

    With a `store`, which all machines must see, each part is kept there as an experiment of its own, and the whole too.

    Raises:
        ExperimentError: it holds Python functions, or workers died too often.
    """
    if experiment.local_only:
        raise ExperimentError("this experiment holds a Python function, which stays in this process: measure it here.")
    options: dict[str, Any] = {"engine": cluster.engine, "batch": asked.batch, "memory": asked.memory}
    options |= {"without": tuple(asked.without)} if asked.without else {}
    options |= {"store": str(Store.of(store).root.resolve())} if store is not None else {}
    make = partial(_measured, network, experiment, cluster, options)
    return through(store, network, experiment, engine=cluster.engine, make=lambda journal: make())


def _measured(network: Network, experiment: Experiment, cluster: Ray, options: dict[str, Any]) -> Result:
    started = time.perf_counter()
    prompts = prompts_of(network, experiment)
    checked(network, experiment, prompts)
    along = axes(experiment, NetworkFacts(network, prompts))
    with cluster.pool() as pool:
        most = pool.size[0]
        plan = shards(
            experiment, prompts, along, wanted=most * cluster.parts if most > 1 else 1, batch=options["batch"]
        )
        workers = pool.hire(network, most=len(plan))
        shared, spent = _shared(pool, experiment, parted=len(plan) > 1)
        if cluster.engine == "scheduled" and options["memory"] is None:
            options["memory"] = pool.share
        parts = _parts(pool, experiment, plan, shared, options)
    result = join(experiment, [parts[shard.number] for shard in plan], along=along)
    both = {name: getattr(result.cost, name) + getattr(spent, name) for name in ("passes", "rows", "token_layers")}
    flops = None if result.cost.flops is None else result.cost.flops + (spent.flops or 0)
    cost = result.cost.model_copy(update={**both, "flops": flops, "seconds": time.perf_counter() - started})
    again = [f"{pool.deaths} workers died; what they did was done again"] if pool.deaths else []
    told = f"engine: ray, {len(plan)} parts on {workers} workers, each measured as it would be here"
    return Result(result.data, result.provenance.with_facts(told, *pool.facts, *again), cost)


def _parts(
    pool: Pool, experiment: Experiment, plan: list[Shard], shared: Any, options: Mapping[str, Any]
) -> dict[int, Part]:
    """The results of all shards by number."""
    common = set(_common(experiment))
    tasks = []
    for shard in plan:
        part = restrict(experiment, axes=shard.axes, examples=shard.examples)
        own = {key: tensor for key, tensor in part.tensors().items() if key not in common}
        tasks.append(Task("measure", (Job(part.to_json(), own, options), shared), f"measuring {shard}"))
    found: dict[int, Part] = {}
    done, total = 0, sum(shard.size for shard in plan)
    for number, packed in pool.run(tasks):
        result = Result(*unpack_result(packed, what="a part"))
        found[number] = Part(result, plan[number].axes, plan[number].examples)
        done += plan[number].size
        report(done, total)
    return found


def _shared(pool: Pool, experiment: Experiment, *, parted: bool) -> tuple[Any, Cost]:
    """What all parts have in common, in the object store; and what it cost."""
    shared, spent = Shared(_common(experiment)), Cost()
    edits = [edit for name in executed(experiment) for edit in experiment.run(name).edits]
    if parted and any(isinstance(edit, Mean) for edit in edits):
        job = Job(experiment.to_json(), experiment.tensors())
        [(_, (means, spent))] = pool.run([Task("means", (job,), "taking means")])
        shared = replace(shared, means=means)
    return pool.ray.put(shared), spent


def _common(experiment: Experiment) -> dict[str, Tensor]:
    """The tensors that are not those of inputs, which are parted with the examples."""
    return experiment.model_copy(update={"inputs": {}}).tensors()
