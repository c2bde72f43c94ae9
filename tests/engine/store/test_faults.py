"""What goes wrong with disks: damage is found, named, set aside and made again; a store that can't be written costs a
warning and no result."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.store.sweeps import finished, measure, only_entry, passes, same, small, stopping

from assay.engine import runner
from assay.engine.model import Model
from assay.engine.store import Store, StoreWarning, keeper
from assay.engine.store.entry import Entry
from assay.engine.store.part import Part
from assay.engine.store.verify import verify

NOT_KEPT = "not kept in the store, which could not be written"


def stopped(model: Model, folder: Path, after: int = 9) -> Entry:
    """An entry with a part for each of 7 variants and one for what does not vary."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping(patch, after, KeyboardInterrupt)
        measure(model, small(), Store(folder, every=0.0))
    return only_entry(folder)


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(bytes(content))


def other_file(path: Path) -> None:
    path.write_bytes(b"something else altogether")


DAMAGE = pytest.mark.parametrize("damage", [truncate, empty, flip, other_file])


@DAMAGE
def test_a_damaged_result_is_computed_again(
    llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: object
) -> None:
    first = measure(llama, small(), tmp_path)
    entry = only_entry(tmp_path)
    (path,) = entry.results
    damage(path)  # type: ignore[operator]
    found = verify([entry])
    assert [each[1] for each in found.damaged] == [path] and found.files == 2
    seen = passes(monkeypatch)
    with pytest.warns(StoreWarning, match=f"{path.name} is damaged: .* It was set aside") as caught:
        second = measure(llama, small(), tmp_path)
    assert len(caught) == 1 and len(seen) == first.cost.passes
    assert same(second, first)
    assert any(path.name in fact and "was damaged" in fact for fact in second.provenance.facts)
    assert not any(str(tmp_path) in fact for fact in second.provenance.facts)
    assert [p.name for p in entry.aside] == [path.name]
    assert not verify([entry]).damaged
    seen.clear()
    assert same(measure(llama, small(), tmp_path), first) and not seen


@DAMAGE
def test_a_damaged_part_is_computed_again_and_no_other(
    llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: object
) -> None:
    whole = measure(llama, small())
    entry = stopped(llama, tmp_path)
    before = finished(entry)
    assert len(before) == 7
    path = next(p for p in entry.parts if not any(piece.fixed for piece in entry.read_part(p).pieces))
    damage(path)  # type: ignore[operator]
    seen = passes(monkeypatch)
    with pytest.warns(StoreWarning, match=path.name) as caught:
        second = measure(llama, small(), tmp_path)
    assert len(caught) == 1 and len(seen) == whole.cost.passes - 6
    assert same(second, whole)
    assert [p.name for p in entry.aside] == [path.name]


@DAMAGE
def test_a_damaged_description_is_written_again(llama: Model, tmp_path: Path, damage: object) -> None:
    whole = measure(llama, small())
    entry = stopped(llama, tmp_path)
    damage(entry.folder / "entry.json")  # type: ignore[operator]
    assert [each[1].name for each in verify([entry]).damaged] == ["entry.json"]
    with pytest.warns(StoreWarning, match=r"entry\.json is damaged") as caught:
        assert same(measure(llama, small(), tmp_path), whole)
    assert len(caught) == 1 and entry.about() is not None and [p.name for p in entry.aside] == ["entry.json"]


def test_every_flipped_bit_is_noticed(llama: Model, tmp_path: Path) -> None:
    """One bit of any file, at random places: the check finds it, whatever it is (a header, a number, a blank)."""
    entry = stopped(llama, tmp_path / "parts")
    measure(llama, small(), tmp_path / "result")
    files = [entry.folder / "entry.json", entry.parts[0], *only_entry(tmp_path / "result").results]
    random = np.random.default_rng(0)
    for path in files:
        sound = path.read_bytes()
        for _ in range(60):
            content = bytearray(sound)
            content[random.integers(len(content))] ^= 1 << int(random.integers(8))
            path.write_bytes(bytes(content))
            whose = Entry(path.parent.parent if path.parent.name == "parts" else path.parent)
            assert [each[1] for each in verify([whose]).damaged] == [path]
        path.write_bytes(sound)
        assert not verify([entry]).damaged


def test_a_part_of_another_entry_is_not_taken(llama: Model, tmp_path: Path) -> None:
    """A file that is whole and in the wrong folder."""
    entry = stopped(llama, tmp_path)
    whole = measure(llama, small())
    right = (entry.folder / "entry.json").read_bytes()
    strange = Entry(tmp_path / "s" / ("0" * 64))
    shutil.copytree(entry.folder / "parts", strange.folder / "parts")
    (strange.folder / "entry.json").write_bytes(right)
    assert len(verify([strange]).damaged) == 9  # 8 parts and the description
    assert "belongs to another entry" in verify([strange]).damaged[1][2]
    assert same(measure(llama, small(), tmp_path), whole)


@contextmanager
def full_disk(after: int) -> Iterator[None]:
    """Writing fails half way from the file with this number on, as on a full disk."""
    real, count = Path.write_bytes, [0]

    def write(self: Path, data: bytes) -> int:
        count[0] += 1
        if count[0] > after:
            real(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return real(self, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", write)
        yield


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """The system itself refuses to write past `limit` bytes of any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def left(folder: Path) -> list[str]:
    return sorted(p.name.partition("-")[0] for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(("after", "every"), [(0, 0.0), (1, 0.0), (3, 0.0), (6, 0.0), (0, 1.0), (1, 1.0)])
def test_a_full_disk_costs_a_warning_and_no_result(llama: Model, tmp_path: Path, after: int, every: float) -> None:
    whole = measure(llama, small())
    with full_disk(after), pytest.warns(StoreWarning, match="No space left on device") as caught:
        result = measure(llama, small(), Store(tmp_path, every=every))
    assert len(caught) == 1
    assert same(result, whole)
    assert NOT_KEPT in result.provenance.facts
    assert left(tmp_path) == (["entry.json"] + ["part"] * (after - 1) if after else [])
    assert not verify(Store(tmp_path).entries()).damaged
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = measure(llama, small(), tmp_path)  # room again: goes on from what is there
    assert same(again, whole) and left(tmp_path) == ["entry.json", "result"]


def test_the_system_refuses_to_write(llama: Model, tmp_path: Path) -> None:
    whole = measure(llama, small())
    with small_files(30_000), pytest.warns(StoreWarning, match="File too large") as caught:
        result = measure(llama, small(), Store(tmp_path, every=0.0))
    assert len(caught) == 1 and same(result, whole) and NOT_KEPT in result.provenance.facts
    assert set(left(tmp_path)) == {"entry.json", "part"}  # those are small enough, the result is not
    assert not list(tmp_path.rglob("*.tmp"))
    assert same(measure(llama, small(), tmp_path), whole)


def test_a_disk_that_has_room_again_is_written_again(
    llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure is tried again later, not at once, and what was held back is in the next part."""
    now, tries = [0.0], []
    real, forward = Entry.write_part, runner.forward

    def write(self: Entry, part: Part) -> Path:
        tries.append(now[0])
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, part)

    def a_second(*args: Any, **kwargs: Any) -> Any:
        now[0] += 1.0
        return forward(*args, **kwargs)

    monkeypatch.setattr(keeper.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Entry, "write_part", write)
    monkeypatch.setattr(runner, "forward", a_second)
    stopping(monkeypatch, 12, KeyboardInterrupt)
    with pytest.warns(StoreWarning, match="No space left") as caught, pytest.raises(KeyboardInterrupt):
        measure(llama, small(), tmp_path)
    assert len(caught) == 1
    assert tries[:3] == [2.0, 4.0, 8.0]  # the runs that do not vary take two seconds; then 2 and 4 seconds later
    assert len(finished(only_entry(tmp_path))) == 10  # all that was finished before the stop


@contextmanager
def nobody() -> Iterator[None]:
    """As a user who may write nowhere, for root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="assay-"))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(folder)


def lock(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def test_a_read_only_folder_is_read_and_not_written(
    llama: Model, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure(llama, small(), open_folder)
    lock(open_folder)
    seen = passes(monkeypatch)
    with nobody():
        assert same(measure(llama, small(), open_folder), whole) and not seen
    flipped = only_entry(open_folder).results[0]
    flipped.chmod(0o644)
    flip(flipped)
    flipped.chmod(0o444)
    with nobody(), pytest.warns(StoreWarning) as caught:
        result = measure(llama, small(), open_folder)
    texts = [str(each.message) for each in caught]
    assert same(result, whole) and len(texts) == 2
    assert "left where it is" in texts[0] and "cannot be written: Permission denied" in texts[1]
    assert NOT_KEPT in result.provenance.facts


@pytest.mark.parametrize("name", ["", "deep/er"])
def test_an_empty_read_only_folder(llama: Model, open_folder: Path, name: str) -> None:
    whole = measure(llama, small())
    lock(open_folder)
    with nobody(), pytest.warns(StoreWarning, match="Permission denied") as caught:
        result = measure(llama, small(), Store(open_folder / name, every=0.0))
    assert len(caught) == 1 and same(result, whole) and NOT_KEPT in result.provenance.facts
    assert not list(open_folder.iterdir())


def test_a_file_that_cannot_be_read(llama: Model, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(llama, small(), open_folder)
    open_folder.chmod(0o777)
    only_entry(open_folder).folder.chmod(0o777)
    only_entry(open_folder).results[0].chmod(0o000)
    with nobody(), pytest.warns(StoreWarning, match="cannot be read: Permission denied") as caught:
        result = measure(llama, small(), open_folder)
    assert len(caught) == 1 and same(result, whole)


def test_an_entry_that_is_removed_meanwhile(llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody cleans up in the middle of a run."""
    whole = measure(llama, small())
    original, count = runner.forward, [0]

    def forward(*args: object, **kwargs: object) -> object:
        count[0] += 1
        if count[0] == 8:
            shutil.rmtree(only_entry(tmp_path).folder)
        return original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "forward", forward)
    assert same(measure(llama, small(), Store(tmp_path, every=0.0)), whole)
    assert left(tmp_path) == ["entry.json", "result"]
