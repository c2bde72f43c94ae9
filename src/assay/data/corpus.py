"""Plain text that is already on the machine, for examples that need a corpus and must not download one.

`stdlib`: Python's own documentation topics, then the docstrings of the standard library, about 1.8 million
characters; `topics` and `docstrings` are its two parts; `licences`: the licence texts of installed packages. The
order is the same on every call, repeated texts are left out, and what there is depends on the Python version and on
what is installed, so record `digest` of what you used. English technical prose: not a sample of what a model was
trained on.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import overload

from assay.core.errors import DataError, nearest
from assay.data.vocabulary import encode, tokenizer_of

SHORTEST = 200
"""Characters; shorter texts are left out."""


@overload
def corpus(
    name: str = ..., *, max_tokens: int | None = ..., tokenizer: None = ..., chunk: int | None = ...
) -> list[str]: ...
@overload
def corpus(
    name: str = ..., *, max_tokens: int | None = ..., tokenizer: object, chunk: int | None = ...
) -> list[list[int]]: ...
def corpus(
    name: str = "stdlib", *, max_tokens: int | None = None, tokenizer: object = None, chunk: int | None = None
) -> list[str] | list[list[int]]:
    """Texts, or with a tokenizer (or a model) their token ids.

    max_tokens: stop when so many are reached; the last text is cut. Without a tokenizer, four characters
    count as one.
    chunk: token ids are cut into pieces of exactly this length, none crossing from one text into another.
    """
    texts = _texts(name)
    if tokenizer is None:
        if chunk is not None:
            raise DataError("chunk= cuts token ids: pass tokenizer= (a tokenizer or a model) too.")
        return list(_cut(texts, None if max_tokens is None else 4 * max_tokens))
    source = tokenizer_of(tokenizer)
    ids = ([*encode(source, [text])[0].ids] for text in texts)
    pieces = ids if chunk is None else _chunks(ids, chunk)
    return [list(piece) for piece in _cut(pieces, max_tokens)]


def _texts(name: str) -> Iterator[str]:
    makers = {"stdlib": (_topics, _docstrings), "topics": (_topics,), "docstrings": (_docstrings,)}
    makers["licences"] = (_licences,)
    if name not in makers:
        raise DataError(f"No corpus '{name}'.{nearest(name, makers)} Corpora: {', '.join(makers)}.")
    seen: set[str] = set()
    for make in makers[name]:
        for text in make():
            if len(text) >= SHORTEST and text not in seen:
                seen.add(text)
                yield text


def _topics() -> Iterator[str]:
    from pydoc_data.topics import topics

    return (topics[name].strip() for name in sorted(topics))


def _docstrings() -> Iterator[str]:
    """Docstrings read from source files; no module is imported."""
    for module in sorted(sys.stdlib_module_names):
        for path in _files(module):
            try:
                tree = ast.parse(path.read_text(encoding="utf-8"))
            except (SyntaxError, UnicodeDecodeError):
                continue  # files that are wrong on purpose, in the test parts of the library
            documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            for node in ast.walk(tree):
                if isinstance(node, documented):
                    yield ast.get_docstring(node) or ""


def _files(module: str) -> list[Path]:
    if module in ("test", "idlelib", "lib2to3", "antigravity", "this") or module.startswith("_"):
        return []
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return []
    path = Path(found.origin)
    if path.name != "__init__.py":
        return [path]
    return sorted(each for each in path.parent.rglob("*.py") if "test" not in str(each.relative_to(path.parent)))


def _licences() -> Iterator[str]:
    for package in sorted(metadata.distributions(), key=lambda d: (d.metadata["Name"] or "").lower()):
        for file in package.files or ():
            if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")) and file.suffix in ("", ".txt", ".md"):
                path = Path(str(file.locate()))
                if path.is_file():
                    yield path.read_text(encoding="utf-8", errors="replace").strip()


def _chunks(rows: Iterable[list[int]], length: int) -> Iterator[list[int]]:
    if length < 1:
        raise DataError(f"chunk={length}: expected a positive number of tokens.")
    for row in rows:
        for start in range(0, len(row) - length + 1, length):
            yield row[start : start + length]


@overload
def _cut(pieces: Iterable[str], most: int | None) -> Iterator[str]: ...
@overload
def _cut(pieces: Iterable[list[int]], most: int | None) -> Iterator[list[int]]: ...
def _cut(pieces: Iterable[str] | Iterable[list[int]], most: int | None) -> Iterator[str] | Iterator[list[int]]:
    """Pieces up to a total length."""
    left = most
    for piece in pieces:
        if left is not None and left <= 0:
            return
        yield piece if left is None else piece[:left]
        left = None if left is None else left - len(piece)
