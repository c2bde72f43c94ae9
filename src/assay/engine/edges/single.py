"""Single edges cut, one at a time, exactly: what an edge costs is the layers after it.

With one edge cut, all that its receiver reads is known from the unchanged passes: the stream, plus what the sender's
replacement changes, carried through the norms in the stream's own way where there are any. So the receiver's new query,
key, value or input is computed from those, and a pass goes on from its layer. Many edges and examples are rows of one pass
that joins rows in at each layer (`schedule/flow.py`).

Cost: one unchanged pass, one of the source, and for each edge and example the layers from its receiver's on; in post-norm
blocks also the norms between the two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.core.edge_names import Receiver, parse_receiver, parse_sender
from assay.core.progress import report
from assay.engine.edges.expanded import group_size, parting, widened
from assay.engine.edges.many import ManyCircuits
from assay.engine.edges.writes import changes
from assay.engine.hooks import Action, Change, why_tapped
from assay.engine.passes import Kept
from assay.engine.prepared import per_example, picked
from assay.engine.reads import Reads
from assay.engine.rows import own_rows
from assay.engine.runner import Runner
from assay.engine.schedule.base import Base, base_pass
from assay.engine.schedule.flow import Flow
from assay.engine.schedule.measure import proven
from assay.engine.schedule.rows import Sequences, WholeRows
from assay.models.attention import Attend

Edge = tuple[int, int]
"""Numbers of a sender and a receiver."""


def why_whole(made: ManyCircuits) -> str | None:
    """Why single edges can't be cut so in this model, and whole passes are needed; None where they can."""
    network = made.prepared.network
    chain = network.structure.main_chain
    if made.wiring.beside:
        return "logits are made of more than the last stream"
    if (why := why_tapped(network)) is not None:
        return why
    read = (parse_receiver(name) for name in made.receivers)
    if any(made.wiring.port(each).leaves is not None for each in read if each.layer is not None):
        return "the stream itself goes past some nodes, and a pass that goes on from one would miss that"
    if chain is None or chain.broken:
        return "this model has no stack of blocks that hand on a residual stream" if chain is None else chain.broken
    return proven(network, False).refused


def cut_each(
    made: ManyCircuits, edges: Sequence[Edge], *, rows: Sequence[int] | None = None, memory: str | float | None = None
) -> Float[np.ndarray, "edge example"]:
    """The first metric with each edge cut alone. `rows` are some of the examples; `memory` as for `ManyCircuits`."""
    wanted = range(len(made.prepared.prompts[made.prepared.run.input])) if rows is None else list(rows)
    column = {row: number for number, row in enumerate(wanted)}
    found = np.full((len(edges), len(column)), np.nan)
    senders = sorted({s for s, _ in edges})
    some = replace(made, senders=tuple(made.senders[s] for s in senders))
    number = {s: n for n, s in enumerate(senders)}
    receivers = [parse_receiver(name) for name in made.receivers]
    order = sorted(range(len(edges)), key=lambda e: _start(made, receivers[edges[e][1]]))
    done, total = 0, len(edges) * len(column)
    for whole in made.runners():
        here = [at for at, row in enumerate(whole.rows) if row in column]
        if not here:
            continue
        runner = picked(whole, here)
        group = _Group.of(some, runner)
        size = made.room(runner, memory)
        every = [(e, at) for e in order for at in range(len(here))]
        for start in range(0, len(every), size):
            part = every[start : start + size]
            cut = [_Row(e, at, number[edges[e][0]], receivers[edges[e][1]]) for e, at in part]
            values = group.run(cut).double().cpu().numpy()
            for row, value in zip(cut, values, strict=True):
                found[row.edge, column[runner.rows[row.example]]] = value
            done += len(cut)
            report(done, total)
    return found


@dataclass(frozen=True)
class _Row:
    """One edge on one example of a group."""

    edge: int
    example: int
    sender: int
    receiver: Receiver


@dataclass(frozen=True)
class _Group:
    """Examples of one length, with their unchanged pass and what senders' replacements change."""

    made: ManyCircuits
    runner: Runner
    base: Base
    changes: Float[Tensor, "example sender pos d_model"]

    @classmethod
    def of(cls, made: ManyCircuits, runner: Runner) -> _Group:
        network, run = runner.network, made.prepared.run
        chain = network.structure.main_chain
        prompts = runner.prompts[run.input]
        written = [made.wiring.written(parse_sender(name)) for name in made.senders]
        streams = [network.site(f"L{layer}.resid_pre") for layer in range(made.wiring.depth)]
        streams += [s for s in network.structure.sites.values() if s.name.name == "resid_mid" and s.name.stack is None]
        streams += [site for norm in made.wiring.norms for site in (norm.before, norm.after)]
        inputs = prompts.inputs(own_rows(prompts, runner.rows))
        base = base_pass(network, chain, inputs, dict.fromkeys([*written, *streams, made.wiring.last]))
        base.attention = _always(parting(network, base.attention))
        runner.tally.passes += 1
        runner.tally.plain(len(runner.rows), runner.scope(run).tokens)
        return cls(made, runner, base, changes(made, runner, base.kept.sites))

    def run(self, rows: Sequence[_Row]) -> Float[Tensor, " row"]:
        """The metric of each; rows are in the order of the layers at which they begin."""
        network, run = self.runner.network, self.made.prepared.run
        chain = network.structure.main_chain
        assert chain is not None  # else whole passes are made
        starts = tuple(_start(self.made, row.receiver) for row in rows)
        sequences = Sequences(tuple(range(len(rows))), tuple(row.example for row in rows), (0,) * len(rows), starts)
        tokens = self.runner.scope(run).tokens
        layout = WholeRows(sequences, self.base, len(self.runner.rows), tokens)
        named = self.made.reads.tokens
        flow = Flow(network, chain, self.base, layout, self._actions(rows), len(chain), named=named)
        output = flow.run()
        many = picked(self.runner, [row.example for row in rows])
        many.reads = Reads(tokens=named)
        many.kept["main"] = Kept(output)
        self.runner.tally.passes += 1
        self.runner.tally.rows += len(rows)
        self.runner.tally.tokens += sum(flow.tokens) // max(1, len(chain))
        read = len(rows) * tokens
        self.runner.tally.logits(None, tokens=read, share=many.reads.share(network))
        return per_example(many.measure(self.made.prepared.experiment.metrics[0], "main", run))

    def _actions(self, rows: Sequence[_Row]) -> list[Action]:
        """What is put where: one action for each place that some row's edge leads to."""
        places: dict[tuple[int | None, str | None], list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            places[row.receiver.layer, row.receiver.slot].append(number)
        return [self._action(numbers, [rows[n] for n in numbers]) for numbers in places.values()]

    def _action(self, numbers: list[int], rows: Sequence[_Row]) -> Action:
        wiring, receiver = self.made.wiring, rows[0].receiver
        at, sender = torch.tensor([r.example for r in rows]), torch.tensor([r.sender for r in rows])
        change = self._carried(self.changes[at, sender], at, sender, receiver)
        if receiver.layer is None:
            new = self.base.kept.sites[wiring.last][at] + change
            return Action(wiring.last, change=_put(numbers, new))
        port = wiring.port(receiver)
        read = port.reading.through(self.runner.network, self.base.kept.sites[port.reading.stream][at] + change)
        if port.projection is None:
            return Action(port.site, change=_put(numbers, read))
        heads = torch.tensor([r.receiver.head or 0 for r in rows])
        wide = receiver.slot in ("k", "v") and not receiver.shared
        size = group_size(self.runner.network, receiver.layer) if wide else 1
        new = read.new_zeros(*read.shape[:2], port.site.sizes["d_head"])
        for head in heads.unique():
            mine = heads == head
            new[mine] = port.projection.apply(self.runner.network, read[mine][:, None], head[None] // size)[:, :, 0]
        return Action(port.site, change=_put(numbers, new, heads, size))

    def _carried(self, change: Tensor, at: Tensor, sender: Tensor, receiver: Receiver) -> Tensor:
        """Changes of what senders write, [row, pos, d_model], as changes of the stream that a receiver reads."""
        wiring, kept = self.made.wiring, self.base.kept.sites
        senders = [parse_sender(name) for name in self.made.senders]
        for norm in wiring.norms:
            takes = torch.tensor([norm.takes(each) for each in senders])[sender]
            if norm.leads_to(receiver) and bool(takes.any()):
                before, after = kept[norm.before][at[takes]], kept[norm.after][at[takes]]
                change = change.index_put((takes,), norm.carried(wiring.network, change[takes], before, after))
        return change


def _put(numbers: list[int], new: Tensor, heads: Tensor | None = None, size: int = 1) -> Change:
    def put(value: Tensor) -> Tensor:
        changed = widened(value, size) if size > 1 else value.clone()
        where = torch.tensor(numbers, device=value.device)
        if heads is None:
            changed[where] = new.to(value.dtype)
        else:
            changed[where, :, heads.to(value.device)] = new.to(value.dtype)
        return changed

    return put


def _always(attend: Attend) -> Callable[[nn.Module], Attend]:
    return lambda module: attend


def _start(made: ManyCircuits, receiver: Receiver) -> int:
    return made.wiring.depth - 1 if receiver.layer is None else receiver.layer
