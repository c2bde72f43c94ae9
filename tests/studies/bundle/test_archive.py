"""Archives: what is packed comes back, with the same bytes each time; what a stranger packed is refused in a line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.studies.bundle.archives import HOSTILE, PLAIN, zipped

from assay.core.errors import UnsafeError
from assay.studies.bundle.archive import Limits, pack, unpack

NAMES = st.from_regex(r"(?:[a-z][a-z0-9_]{0,8}/)?[a-z][a-z0-9_]{3,12}\.[a-z]{2,5}", fullmatch=True)


@given(files=st.dictionaries(NAMES, st.binary(max_size=200), min_size=1, max_size=6))
def test_what_is_packed_comes_back(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    folder = tmp_path_factory.mktemp("zip")
    one = pack(files, folder / "one.zip")
    other = pack(dict(reversed(files.items())), folder / "other.zip")
    assert unpack(one) == files
    assert one.read_bytes() == other.read_bytes(), "whatever the order, and whenever"


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_a_bundle_never_is_is_refused(tmp_path: Path, kind: str) -> None:
    make, says = HOSTILE[kind]
    path = tmp_path / "stranger.zip"
    path.write_bytes(make())
    with pytest.raises(UnsafeError, match=says) as caught:
        unpack(path)
    message = str(caught.value)
    assert message.startswith("stranger.zip ") and "refused" in message
    assert "\n" not in message and len(message) < 400
    assert sorted(tmp_path.iterdir()) == [path], "nothing was written"


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(archive=50), "more than 50"),
        (Limits(files=1), "2 files"),
        (Limits(each=3), "unpacks to 5"),
        (Limits(total=6), "unpacks to 7"),
    ],
)
def test_amounts_have_limits(tmp_path: Path, limits: Limits, says: str) -> None:
    path = tmp_path / "large.zip"
    path.write_bytes(zipped(PLAIN, ("log.jsonl", b"12345")))
    assert unpack(path)["log.jsonl"] == b"12345"
    with pytest.raises(UnsafeError, match=says):
        unpack(path, limits)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")  # opening it would wait for ever
    for name, says in (("pipe.zip", "not a file"), ("nowhere.zip", "Cannot read the bundle"), (".", "not a file")):
        with pytest.raises(UnsafeError, match=says):
            unpack(tmp_path / name)
