"""Opening a PDF that may be broken or hostile, with `pypdf`.

`pypdf` says itself that a broken file may raise errors of other kinds than its own; `BROKEN` lists them, so that each
becomes one clear line.
"""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from assay.core.errors import InputError
from assay.core.extras import need

if TYPE_CHECKING:
    from pypdf import PdfReader

BROKEN = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError, RecursionError, NotImplementedError,
    RuntimeError, OSError, EOFError, ArithmeticError, UnicodeError, struct.error, zlib.error, MemoryError, StopIteration,
)  # fmt: skip
"""What else than its own errors pypdf raises on a broken file."""


def broken() -> tuple[type[BaseException], ...]:
    """`BROKEN` with pypdf's own errors."""
    errors = need("pypdf.errors", extra="paper", why="reading PDF files")
    return (*BROKEN, errors.PyPdfError, errors.DependencyError)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pypdf's remarks on a file's small mistakes off the screen."""
    logger = logging.getLogger("pypdf")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def open_pdf(data: bytes, name: str) -> PdfReader:
    """A reader of the file; an InputError in one line when it is no PDF, or locked."""
    pypdf: Any = need("pypdf", extra="paper", why="reading PDF files")
    if b"%PDF" not in data[:1024]:
        raise InputError(f"{name} is no PDF: it does not begin with %PDF.")
    try:
        reader: PdfReader = pypdf.PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError(f"{name} is locked with a password: save it without one.")
        if len(reader.pages) == 0:
            raise InputError(f"{name} has no pages: it is broken; make it again.")
    except InputError:
        raise
    except broken() as error:
        raise InputError(f"{name} is a broken PDF: {short(error)}") from None
    return reader


def short(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else f"{text[:117]}..."
