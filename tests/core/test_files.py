import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from assay.core.errors import StorageError
from assay.core.files import atomic_file, atomic_folder, remove_folder, write_bytes, write_text


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_written_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "a.txt", "naïve\r\n")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "naïve\r\n".encode()
    assert listing(tmp_path) == ["deep", "deep/a.txt"]


def test_an_interrupted_write_leaves_the_old_content(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(KeyboardInterrupt), atomic_file(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "a").read_text() == "old"
    assert listing(tmp_path) == ["a"]


def test_an_interrupted_folder_leaves_the_old_one(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "run") as temporary:
        (temporary / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "run") as temporary:
        (temporary / "a").write_text("half")
        raise KeyboardInterrupt
    assert listing(tmp_path) == ["run", "run/a"]
    assert (tmp_path / "run" / "a").read_text() == "old"


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_folder(tmp_path / "run") as temporary:
            (temporary / "sub").mkdir()
            (temporary / "sub" / name).write_text(name)
    assert listing(tmp_path) == ["run", "run/sub", "run/sub/new"]


def test_a_kept_folder_is_not_replaced(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with atomic_folder(tmp_path / "cache", replace=False) as temporary:
            (temporary / name).write_text(name)
    assert listing(tmp_path) == ["cache", "cache/first"]


def test_many_writers_of_one_folder_leave_one_whole_folder(tmp_path: Path) -> None:
    def write(name: str) -> None:
        for _ in range(10):
            with atomic_folder(tmp_path / "run") as temporary:
                (temporary / "one").write_text(name)
                (temporary / "two").write_text(name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    assert listing(tmp_path) == ["run", "run/one", "run/two"]
    assert (tmp_path / "run" / "one").read_text() == (tmp_path / "run" / "two").read_text()


def test_removing_a_folder_leaves_nothing(tmp_path: Path) -> None:
    write_text(tmp_path / "run" / "a", "x")
    remove_folder(tmp_path / "run")
    remove_folder(tmp_path / "run")
    assert listing(tmp_path) == []


def test_the_target_is_never_seen_half_written(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_bytes(target, b"0" * 100_000)
    stop = threading.Event()
    seen: set[int] = set()

    def read() -> None:
        while not stop.is_set():
            seen.add(len(target.read_bytes()))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        write_bytes(target, b"1" * 100_000)
    stop.set()
    reader.join()
    assert seen == {100_000}


def test_files_get_the_usual_permissions(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
        with atomic_folder(tmp_path / "b"):
            pass
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o755


def test_a_file_where_a_folder_is_wanted_is_a_clear_error(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    with pytest.raises(StorageError, match="is a file, and a folder"), atomic_folder(tmp_path / "a"):
        pass
    with pytest.raises(StorageError, match="Cannot make the folder"):
        write_text(tmp_path / "a" / "b", "x")
    (tmp_path / "d").mkdir()
    with pytest.raises(StorageError, match="is a folder, and a file"):
        write_text(tmp_path / "d", "x")
    assert listing(tmp_path) == ["a", "d"]
