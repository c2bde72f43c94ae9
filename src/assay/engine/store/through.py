"""Measuring through a store: read what is there, make and keep what is not.

What must not be kept (Python functions, training mode, functions hooked into the model) is measured as without a store,
and the result says so. A store that can't be written costs a warning and a fact, never a result.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from assay.core.codec import parse
from assay.core.provenance import Provenance
from assay.core.result import Result
from assay.engine.store.entry import About
from assay.engine.store.journal import Journal
from assay.engine.store.keeper import Keeper
from assay.engine.store.key import key_facts, key_of, why_not_kept
from assay.engine.store.notices import Notices
from assay.engine.store.store import Store
from assay.experiments.experiment import Experiment
from assay.models.network import Network

AnyStore = Store | str | os.PathLike[str]
"""A store, or the folder of one."""


def through(
    store: AnyStore | None, network: Network, experiment: Experiment, *, engine: str, make: Callable[[Journal], Result]
) -> Result:
    """The result of an experiment, from the store or from `make`, which tells the journal what it has finished."""
    if store is None:
        return make(Journal())
    if refusal := why_not_kept(network, experiment):
        return _with_facts(make(Journal()), f"not kept in the store: {refusal}")
    facts = key_facts(network, experiment, engine=engine)
    network.remember(str(facts["model"]))
    notices = Notices()
    keeper = _keeper(Store.of(store), network, experiment, facts=facts, notices=notices)
    found = keeper.result()
    if found is not None:
        keeper.entry.used_now()
        return _with_facts(found, f"read from the store: {keeper.entry.key[:12]}, made {found.provenance.created}")
    journal = Journal(keeper)
    try:
        made = make(journal)
    except BaseException:
        journal.flush()  # Ctrl-C and errors lose only what was in flight
        raise
    told = [*_about_weights(network, facts["model"]), *notices.facts, *_about_resuming(journal)]
    provenance = made.provenance.model_copy(update={"model_fingerprint": facts["model"]})
    cost = made.cost + journal.earlier if journal.resumed else made.cost
    whole = _with_facts(Result(made.data, provenance, cost), *told)
    if keeper.finish(whole):
        return whole
    journal.flush()
    return _with_facts(whole, "not kept in the store, which could not be written")


def _keeper(
    store: Store, network: Network, experiment: Experiment, *, facts: dict[str, object], notices: Notices
) -> Keeper:
    now = Provenance.now()
    about = About(
        facts=facts,
        model=network.source.name,
        experiment=parse(experiment.to_json()),
        created=now.created,
        versions=now.versions,
    )
    return Keeper(store.entry(key_of(facts)), about, notices, every=store.every)


def _about_weights(network: Network, fingerprint: object) -> list[str]:
    """Whether the model is still what it was when its fingerprint was first taken."""
    same = network.__dict__["first_fingerprint"] == fingerprint
    return [] if same else ["the weights were changed after the model was loaded"]


def _about_resuming(journal: Journal) -> list[str]:
    if not journal.resumed:
        return []
    total = len(journal.places) * journal.groups
    return [
        f"{journal.resumed} of {total} pieces (a variant for a group of examples) were read from the store, where another "
        "run had left them"
    ]


def _with_facts(result: Result, *facts: str) -> Result:
    return Result(result.data, result.provenance.with_facts(*facts), result.cost)
