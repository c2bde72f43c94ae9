"""Parquet tables: names of columns, the file's own metadata, and the texts in its columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from assay.studies.anonymity.piece import Item, Limits, Piece, Role, Unread


def read_parquet(data: bytes, name: PurePosixPath, limits: Limits) -> Iterator[Item]:
    """A table; only its texts are looked at."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data), memory_map=False)
        schema = file.schema_arrow
        for key, value in (schema.metadata or {}).items():
            yield Piece(value.decode("utf-8", "replace"), Role.DATA, f"metadata '{key.decode('utf-8', 'replace')}'")
        yield Piece("\n".join(schema.names), Role.DATA, "names of columns")
        for field in schema:
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            if pa.types.is_string(kind) or pa.types.is_large_string(kind):
                yield from _column(file, field.name, limits)
    except (pa.ArrowException, OSError, ValueError, KeyError, NotImplementedError) as error:
        yield Unread(
            f"is a broken Parquet file: {str(error).splitlines()[0][:120] if str(error) else type(error).__name__}"
        )


def _column(file: pq.ParquetFile, column: str, limits: Limits) -> Iterator[Item]:
    seen: set[str] = set()
    for batch in file.iter_batches(batch_size=4096, columns=[column]):
        size = batch.nbytes
        if size > limits.each or size > limits.bytes:
            yield Unread(f"holds more text than is looked at in column '{column}'")
            return
        limits.bytes -= size
        fresh = dict.fromkeys(
            text for text in batch.column(0).to_pylist() if isinstance(text, str) and text not in seen
        )
        seen.update(fresh)
        yield Piece("\n".join(fresh), Role.DATA, f"column '{column}'")
