"""A run that was stopped goes on: finished pieces are read, the others computed, and the result is the same."""

from __future__ import annotations

import errno
import itertools
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tests.engine.store.sweeps import finished, measure, only_entry, passes, plain, same, small, stopping

from assay import Experiment, edit, metric, sweep
from assay.core.progress import listening
from assay.core.provenance import Cost, Provenance
from assay.engine.model import Model
from assay.engine.store import Store, StoreWarning
from assay.engine.store import journal as journal_module
from assay.engine.store.entry import About, Entry
from assay.engine.store.journal import Journal
from assay.engine.store.keeper import Keeper
from assay.engine.store.key import key_of
from assay.engine.store.notices import Notices
from assay.engine.store.part import Part, Piece
from assay.engine.table import Cell, Table

FIXED, VARIANTS, GROUPS = 2, 12, 2
"""Of `small`: the runs that do not vary (b, b kept), the variants, the groups of examples."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, lambda: ValueError("a bug")], ids=["ctrl-c", "error"])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 7, 14, 15, 16, 17, 27])
def test_only_what_was_in_flight_is_lost(
    llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, error: type[BaseException]
) -> None:
    """Stopped in the middle of any pass, whatever was finished before is kept, without waiting for the second."""
    whole = measure(llama, small())
    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, ValueError)):
        stopping(patch, after, error)
        measure(llama, small(), tmp_path)
    per_group = FIXED + VARIANTS
    begun = after // per_group
    variants = begun * VARIANTS + max(0, after % per_group - FIXED)
    done = finished(only_entry(tmp_path)) if Store(tmp_path).entries() else set()
    assert len(done) == variants
    seen = passes(monkeypatch)
    second = measure(llama, small(), tmp_path)
    assert len(seen) == FIXED * (GROUPS - begun) + VARIANTS * GROUPS - variants
    assert same(second, whole)
    fact = f"{variants} of 24 pieces (a variant for a group of examples) were read from the store, where another run"
    assert any(f.startswith(fact) for f in second.provenance.facts) == (variants > 0)


def test_the_cost_is_of_all_runs_that_went_into_it(
    llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What two runs did adds up; the runs that do not vary are made again by the second, which needs their tensors. What
    was in flight when the first stopped is in neither."""
    whole = measure(llama, small())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping(patch, 7, KeyboardInterrupt)
        measure(llama, small(), Store(tmp_path, every=0.0))
    second = measure(llama, small(), tmp_path)
    assert second.cost.passes == whole.cost.passes + FIXED
    assert second.cost.rows == whole.cost.rows + FIXED * 2
    third = measure(llama, small(), tmp_path)
    assert third.cost == second.cost


def test_a_run_without_a_sweep(llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(llama, plain())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping(patch, 1, KeyboardInterrupt)
        measure(llama, plain(), tmp_path)
    seen = passes(monkeypatch)
    assert same(measure(llama, plain(), tmp_path), whole)
    assert len(seen) == 1


def test_cheap_variants_are_gathered(llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float]] = []
    original = Keeper.write

    def write(self: Keeper, part: object) -> bool:
        written.append((type(part).__name__, time.monotonic()))
        return original(self, part)  # type: ignore[arg-type]

    monkeypatch.setattr(Keeper, "write", write)
    measure(llama, small(), Store(tmp_path / "a", every=60.0))
    assert not written  # all of it took less, and the result has all of it
    measure(llama, small(), Store(tmp_path / "b", every=0.0))
    assert len(written) == (1 + VARIANTS) * GROUPS
    written.clear()
    started = time.monotonic()
    measure(llama, small(), Store(tmp_path / "c", every=0.02))
    assert len(written) <= (time.monotonic() - started) / 0.02
    assert all(b[1] - a[1] >= 0.019 for a, b in itertools.pairwise(written))


def test_much_is_written_at_once(llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MUCH", 10)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping(patch, 7, KeyboardInterrupt)
        measure(llama, small(), tmp_path)
    assert len(only_entry(tmp_path).parts) == 1 + 5


def test_another_size_of_batch_has_pieces_of_its_own(
    llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure(llama, small())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping(patch, 20, KeyboardInterrupt)
        measure(llama, small(), tmp_path, batch=1)
    seen = passes(monkeypatch)
    result = measure(llama, small(), tmp_path)
    assert len(seen) == whole.cost.passes and same(result, whole)
    assert not any("pieces" in fact for fact in result.provenance.facts)
    assert not only_entry(tmp_path).parts


def test_variables_stay_in_order_when_what_does_not_vary_was_lost(
    llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure(llama, small())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping(patch, 9, KeyboardInterrupt)
        measure(llama, small(), Store(tmp_path, every=0.0))
    entry = only_entry(tmp_path)
    fixed = [path for path in entry.parts if any(piece.fixed for piece in entry.read_part(path).pieces)]
    assert len(fixed) == 1
    fixed[0].unlink()
    assert same(measure(llama, small(), tmp_path), whole)


def test_parts_of_two_runs_that_overlap(llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs were killed at once: what both had finished is taken once."""
    whole = measure(llama, small())
    for name, after, every in (("one", 9, 0.0), ("two", 12, 60.0), ("three", 17, 0.0)):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stopping(patch, after, KeyboardInterrupt)
            measure(llama, small(), Store(tmp_path / name, every=every))
    entries = [only_entry(tmp_path / name) for name in ("one", "two", "three")]
    for path in (path for entry in entries[1:] for path in entry.parts):
        (entries[0].folder / "parts" / path.name).write_bytes(path.read_bytes())
    assert len(entries[0].parts) == 8 + 1 + 15
    seen = passes(monkeypatch)
    result = measure(llama, small(), tmp_path / "one")
    assert len(seen) == FIXED + VARIANTS - 1 and same(result, whole)
    assert any(fact.startswith("13 of 24 pieces") for fact in result.provenance.facts)


def test_progress_counts_what_was_finished_before(
    llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping(patch, 7, KeyboardInterrupt)
        measure(llama, small(), tmp_path)
    heard: list[tuple[int, int]] = []
    with listening(lambda done, total: heard.append((done, total))):
        measure(llama, small(), tmp_path)
    assert heard == [(done, 24) for done in range(5, 25)]


LAYERS = sweep(edit.zero("z"), over={"layer": [0, 1, 2]}, inputs={"a": [[1, 2]]}, base="a", metrics=[metric.entropy()])


def opened(folder: Path, experiment: Experiment, places: Sequence[tuple[int, ...]]) -> tuple[Journal, Table]:
    """A journal of one group of one example, with a table."""
    now, facts = Provenance.now(), {"a": 1}
    about = About(facts=facts, model="m", experiment={}, created=now.created, versions=now.versions)
    made = Journal(Keeper(Store(folder).entry(key_of(facts)), about, Notices(), every=0.0))
    table = Table(experiment, {"layer": [0, 1, 2]} if experiment.sweep else {})
    made.open(table, places, [[0]], spent=Cost)
    return made, table


def values(table: Table, index: Sequence[int]) -> list[float]:
    return [v.item() for _, v in table.parts.get("entropy", {}).get(tuple(index), [])]


def test_values_of_unfinished_variants_wait(tmp_path: Path) -> None:
    """Variants may end in another order than they begin: what a commit does not name is kept back until one does."""
    places = [(0,), (1,), (2,)]
    writing, table = opened(tmp_path, LAYERS, places)
    group = writing.group([0])
    assert not group.finished and not group.fixed and not group.complete
    for number in (0, 1, 2):
        table.metric("entropy", (number,), [0], torch.tensor([float(number)]))
    group.commit([2])
    reading, read = opened(tmp_path, LAYERS, places)
    again = reading.group([0])
    assert again.finished == {2} and values(read, [2]) == [2.0] and values(read, [0]) == values(read, [1]) == []
    group.commit([0, 1], fixed=True)
    assert group.complete
    reading, read = opened(tmp_path, LAYERS, places)
    assert reading.group([0]).complete
    assert [values(read, [number]) for number in range(3)] == [[0.0], [1.0], [2.0]]


@pytest.mark.parametrize("full", [False, True])
def test_an_engine_that_gives_up_hands_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool) -> None:
    """The second engine's table has what the first has kept, once, or nothing of it where that could not be written."""
    places = [(0,), (1,), (2,)]
    journal, table = opened(tmp_path, LAYERS, places)
    if full:
        monkeypatch.setattr(Entry, "write_part", no_room)
    second = Table(LAYERS, {"layer": [0, 1, 2]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        group = journal.group([0])
        group.commit(fixed=True)
        for number in (0, 1):
            table.metric("entropy", (number,), [0], torch.tensor([float(number)]))
            group.commit([number])
        journal.open(second, places, [[0]], spent=Cost)
    monkeypatch.undo()
    assert journal.keeper is not None
    journal.keeper.wait = 0.0
    group = journal.group([0])
    assert group.finished == (set() if full else {0, 1}) and values(second, [0]) == ([] if full else [0.0])
    for number in {0, 1, 2} - group.finished:
        second.metric("entropy", (number,), [0], torch.tensor([float(number)]))
        group.commit([number])
    group.commit(fixed=True)
    reading, read = opened(tmp_path, LAYERS, places)
    assert reading.group([0]).complete and [values(read, place) for place in places] == [[0.0], [1.0], [2.0]]


def no_room(*_: object) -> Path:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_without_a_sweep_what_two_runs_left_is_taken_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[int, int]
) -> None:
    """The one variant of an experiment without a sweep has the same empty index as what does not vary."""
    cells = (Cell("entropy", (), (0,), torch.tensor([1.5]), ("example",)),)
    parts = [Part((Piece((0,), True, (), cells),), Cost()), Part((Piece((0,), True, ((),), cells),), Cost())]
    reading, read = opened(tmp_path, Experiment(inputs={"a": [[1, 2]]}, metrics=[metric.entropy()]), [()])
    monkeypatch.setattr(Keeper, "parts", lambda self: iter([parts[i] for i in order]))
    assert reading.group([0]).complete and values(read, []) == [1.5]


def test_without_a_store_nothing_is_held(llama: Model) -> None:
    table = Table(Experiment(inputs={"a": [[1]]}), {})
    quiet = Journal()
    quiet.open(table, [()], [[0]], spent=Cost)
    quiet.group([0]).commit([0], fixed=True)
    quiet.flush()
    assert table.hear is None and not quiet._pending and not quiet.resumed
