"""Readers: one for each format. They give pieces of text with their place and role, and files inside files.

What a file is, is seen by its first bytes, and only for text by its name. A broken file gives one line that says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from assay.studies.anonymity.piece import Inner, Item, Limits, Piece, Reader, Role, Unread
from assay.studies.anonymity.readers.archive import read_compressed, read_tar, read_zip
from assay.studies.anonymity.readers.binary import read_binary
from assay.studies.anonymity.readers.git import is_loose, read_bundle, read_git_text, read_loose, read_pack_file
from assay.studies.anonymity.readers.image import read_gif, read_jpeg, read_png, read_tiff, read_webp
from assay.studies.anonymity.readers.media import is_media, read_media
from assay.studies.anonymity.readers.parquet import read_parquet
from assay.studies.anonymity.readers.pdf import read_pdf
from assay.studies.anonymity.readers.text import decoded, read_text

_BY_START: tuple[tuple[bytes, Reader], ...] = (
    (b"%PDF", read_pdf),
    (b"\x89PNG\r\n\x1a\n", read_png),
    (b"\xff\xd8\xff", read_jpeg),
    (b"GIF8", read_gif),
    (b"II*\x00", read_tiff),
    (b"MM\x00*", read_tiff),
    (b"PK\x03\x04", read_zip),
    (b"PK\x05\x06", read_zip),
    (b"\x1f\x8b", read_compressed),
    (b"BZh", read_compressed),
    (b"\xfd7zXZ\x00", read_compressed),
    (b"PACK", read_pack_file),
    (b"# v2 git bundle", read_bundle),
    (b"# v3 git bundle", read_bundle),
    (b"PAR1", read_parquet),
)
_CLOSED = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
)


def read(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """All that a file holds, by what its first bytes say it is."""
    if not data or (name.suffix == ".sample" and "hooks" in name.parts):
        return iter(())  # git writes its samples of hooks itself
    for start, what in _CLOSED:
        if data.startswith(start):
            return iter((Unread(f"is {what}, which cannot be opened here: pack it as zip or tar.gz"),))
    return _reader(data, name)(data, name, limits)


def _reader(data: bytes, name: PurePosixPath) -> Reader:
    if is_loose(name):
        return read_loose
    for start, reader in _BY_START:
        if data.startswith(start):
            return reader
    if data[257:262] == b"ustar":
        return read_tar
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return read_webp
    if is_media(data):
        return read_media
    if b"%PDF-" in data[:1024]:
        return read_pdf
    if decoded(data) is None:
        return read_binary
    return read_git_text if ".git" in name.parts else read_text


__all__ = ["Inner", "Item", "Limits", "Piece", "Role", "Unread", "read"]
