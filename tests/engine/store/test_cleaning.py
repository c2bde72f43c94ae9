"""What a cleaning removes, and above all what it leaves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.engine.store.sweeps import finished, measure, only_entry, passes, plain, same, small, stopping

from assay import Experiment, metric
from assay.core.errors import StorageError
from assay.engine.model import Model
from assay.engine.store import Store
from assay.engine.store.cleaning import bytes_of, last_used, removals, remove
from assay.engine.store.entry import Entry

DAY = 86400.0


def three(model: Model, folder: Path) -> list[Entry]:
    """Three entries, last used ten, five and no days ago."""
    made: list[Entry] = []
    for days, token in ((10, 1), (5, 2), (0, 3)):
        measure(model, Experiment(inputs={"a": [[token, 5]]}, metrics=[metric.entropy()]), folder)
        (new,) = set(Store(folder).entries()) - set(made)
        for path in new.folder.rglob("*"):
            os.utime(path, (time.time() - days * DAY,) * 2)
        made.append(new)
    return made


def clean(store: Path, **rules: float) -> list[str]:
    found = removals(Store(store), **rules)  # type: ignore[arg-type]
    for each in found:
        remove(each)
    return [each.why for each in found]


def test_a_store_in_use_is_left_as_it_is(llama: Model, tmp_path: Path) -> None:
    three(llama, tmp_path)
    assert removals(Store(tmp_path)) == []
    assert removals(Store(tmp_path / "nowhere")) == []


def test_by_age(llama: Model, tmp_path: Path) -> None:
    old, middle, new = three(llama, tmp_path)
    found = removals(Store(tmp_path), older_than=7 * DAY)
    assert [(each.path, each.why) for each in found] == [(old.folder, "not used for 7 days")]
    assert found[0].bytes == bytes_of(old.folder) > 1000
    clean(tmp_path, older_than=7 * DAY)
    assert set(Store(tmp_path).entries()) == {middle, new}
    assert not list(tmp_path.glob(".*"))


def test_reading_is_using(llama: Model, tmp_path: Path) -> None:
    old = three(llama, tmp_path)[0]
    assert time.time() - last_used(old.folder) > 9 * DAY
    measure(llama, Experiment(inputs={"a": [[1, 5]]}, metrics=[metric.entropy()]), tmp_path)
    assert time.time() - last_used(old.folder) < DAY
    assert not removals(Store(tmp_path), older_than=7 * DAY)


def test_by_size_the_last_used_stay(llama: Model, tmp_path: Path) -> None:
    old, middle, new = three(llama, tmp_path)
    size = {entry: bytes_of(entry.folder) for entry in (old, middle, new)}
    assert not removals(Store(tmp_path), keep=sum(size.values()))
    one_less = removals(Store(tmp_path), keep=sum(size.values()) - 1)
    assert [each.path for each in one_less] == [old.folder]
    assert {each.path for each in removals(Store(tmp_path), keep=size[new])} == {old.folder, middle.folder}
    clean(tmp_path, keep=0)
    assert Store(tmp_path).entries() == []


def test_leftovers_go_and_nothing_else(llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping(patch, 9, KeyboardInterrupt)
        measure(llama, small(), Store(tmp_path, every=0.0))
    under_way = only_entry(tmp_path)
    measure(llama, plain(), tmp_path)
    (done,) = set(Store(tmp_path).entries()) - {under_way}
    stale = time.time() - 2 * 3600
    leftovers = {
        tmp_path / ".0123.0123456789ab.tmp": stale,
        done.folder / ".result.0123456789ab.tmp": stale,
        under_way.folder / "parts" / ".part.0123456789ab.tmp": stale,
    }
    kept = {
        tmp_path / ".fresh.0123456789ab.tmp": time.time(),
        tmp_path / "notes.txt": stale,
        tmp_path / ".hidden.tmp": stale,
        tmp_path / "not a key" / "a": stale,
        done.folder / ".part.0123456789ab.tmp": time.time(),
    }
    for path, when in {**leftovers, **kept}.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        os.utime(path, (when, when))
    (done.folder / "parts").mkdir(exist_ok=True)
    spare_part = done.folder / "parts" / under_way.parts[0].name
    spare_part.write_bytes(under_way.parts[0].read_bytes())
    second = done.write_result(done.read_result(done.results[0]).__class__(done.read_result(done.results[0]).data))
    (done.folder / "set-aside").mkdir()
    aside = done.folder / "set-aside" / "result-0.npz"
    aside.write_text("x")
    before = finished(under_way)
    gone = {each.path for each in removals(Store(tmp_path))}
    assert gone >= {*leftovers, spare_part, aside} and len(gone) == 6 and gone & {second, *done.results}
    clean(tmp_path)
    assert not any(path.exists() for path in (*leftovers, spare_part, aside)) and all(path.exists() for path in kept)
    assert len(done.results) == 1 and finished(under_way) == before
    seen = passes(monkeypatch)
    assert same(measure(llama, plain(), tmp_path), measure(llama, plain())) and len(seen) == 2  # of the second alone


def test_keys_by_their_beginning(llama: Model, tmp_path: Path) -> None:
    entries, store = three(llama, tmp_path), Store(tmp_path)
    for entry in entries:
        assert store.find(entry.key) == store.find(entry.key[:20]) == entry
        assert store.find(entry.key[:20].upper()) == entry
    for start in ("", "zz", "0" * 64):
        with pytest.raises(StorageError, match=r"no entry of .* has a key that begins with"):
            store.find(start)
    for digit in "0123456789abcdef":
        (tmp_path / (digit * 2 + "0" * 62)).mkdir(exist_ok=True)
        (tmp_path / (digit * 2 + "1" * 62)).mkdir(exist_ok=True)
    with pytest.raises(StorageError, match=r"keys begin with '22' \(22.*\): give more digits"):
        store.find("22")
