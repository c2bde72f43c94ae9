"""Opening a bundle that a stranger has written: its files are checked, then what is known of them is read.

Nothing in a bundle is run, unpickled or looked up anywhere. What is read has bounds of its own, as a few bytes can stand for
a great amount: numbers of a Parquet file, examples and resamples that a plan asks for, aliases of YAML, and regular
expressions that may not come to an end. Files in a bundle's places of a kind that is not known are left aside, with a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import ValidationError

from assay.core.errors import AssayError, StudyError, UnsafeError
from assay.studies.bundle.archive import Limits, unpack
from assay.studies.bundle.manifest import FILE, Manifest, read_manifest
from assay.studies.quantity import Matches, Quantity, selectors
from assay.studies.report.contents import Contents, read_contents

_KNOWN = re.compile(
    r"plan\.json|environment\.json|conclusion\.json|log\.jsonl|study\.yaml|report\.html|README\.md|requirements\.txt"
    r"|(?:prompts/[a-z][a-z0-9_]*(?:\.all)?\.jsonl)|(?:results/[a-z][a-z0-9_]*\.parquet)|(?:figures/[a-z][a-z0-9_]*-\d+\.svg)"
)
_NEEDED = ("plan.json", "environment.json", "conclusion.json", "study.yaml")
_TEXT = 64 << 20
"""Bytes of a file that is read as text."""
_NUMBERS = 50_000_000
"""Numbers in one result."""
_EXAMPLES, _RESAMPLES = 1_000_000, 100_000
_ENDLESS = re.compile(r"\([^()]*[+*|}][^()]*\)[+*{]")
"""A repeated group that holds a repetition or a choice: matching it may take for ever."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was opened: what it says of itself, the run in it, and the folder where its files lie."""

    name: str
    manifest: Manifest
    contents: Contents
    root: Path
    ignored: tuple[str, ...]


@contextmanager
def open_bundle(path: Path, *, limits: Limits | None = None) -> Iterator[Bundle]:
    """A bundle, unpacked into a folder that is removed in the end.

    Raises:
        UnsafeError: the archive holds what a bundle never does, or asks for more than is done for a stranger.
        StudyError, StorageError: a file is missing, changed or damaged, or from a newer assay.
    """
    files = unpack(path, limits)
    manifest = read_manifest(files, path.name)
    known = {name: content for name, content in files.items() if _KNOWN.fullmatch(name)}
    if missing := [name for name in _NEEDED if name not in known]:
        raise StudyError(f"{path.name} has no {missing[0]}: it is not a whole bundle.")
    _check_texts(known, path.name)
    with TemporaryDirectory(prefix="assay-bundle-") as place:
        root = Path(place)
        for name, content in known.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(content)
        contents = _read(root, path.name)
        _check_agrees(manifest, contents, path.name)
        yield Bundle(path.name, manifest, contents, root, tuple(sorted(set(files) - set(known) - {FILE})))


def _check_texts(files: dict[str, bytes], what: str) -> None:
    for name, content in files.items():
        if not name.startswith("results/") and len(content) > _TEXT:
            raise UnsafeError(f"{name!r} in {what} is {len(content):,} bytes long, more than {_TEXT:,}: refused.")
    try:
        tokens = [type(each) for each in yaml.scan(files["study.yaml"].decode("utf-8"), Loader=yaml.SafeLoader)]
    except (yaml.YAMLError, UnicodeDecodeError):
        raise StudyError(f"study.yaml in {what} is not YAML.") from None
    if {yaml.AliasToken, yaml.AnchorToken, yaml.TagToken} & set(tokens):
        raise UnsafeError(f"study.yaml in {what} has aliases or tags, which a bundle's never has: refused.")


def _read(root: Path, what: str) -> Contents:
    """The run in the folder, with every surprise told in a line."""
    for path in sorted((root / "results").glob("*.parquet")):
        _check_numbers(path, what)
    try:
        contents = read_contents(root)
    except AssayError as error:
        raise type(error)(str(error).replace(f"{root}/", "").replace(str(root), what)) from None
    except ValidationError as error:
        raise StudyError(f"plan.json in {what} holds no study: {error.errors()[0]['msg']}.") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, pa.ArrowException) as error:
        raise StudyError(f"A file in {what} is damaged ({type(error).__name__}).") from None
    study = contents.study
    if study.analysis.resamples > _RESAMPLES or any(spec.n > _EXAMPLES for spec in study.data.values()):
        raise UnsafeError(
            f"The plan in {what} asks for more than {_EXAMPLES:,} examples or {_RESAMPLES:,} resamples: refused."
        )
    for pattern in _patterns(contents):
        if len(pattern) > 200 or _ENDLESS.search(pattern):
            raise UnsafeError(
                f"The plan in {what} looks for {pattern[:60]!r}, which may never come to an end: refused."
            )
    return contents


def _check_numbers(path: Path, what: str) -> None:
    """Refuse a table of too many numbers, or of anything but numbers and texts, before it is read."""
    name = f"results/{path.name}"
    try:
        found = pq.ParquetFile(path)
        about, schema = found.metadata, found.schema_arrow
        packed = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StudyError(f"{name} in {what} is no table: {str(error).splitlines()[0][:80]}.") from None
    if about.num_rows * max(about.num_columns, 1) > _NUMBERS or packed > 8 * _NUMBERS:
        raise UnsafeError(f"{name} in {what} holds more than {_NUMBERS:,} numbers: refused.")
    for column in schema:
        plain = (
            pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)
        )
        if not (plain or pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise UnsafeError(
                f"{name} in {what} has a column of {str(column.type)[:40]}, not of numbers or texts: refused."
            )


def _patterns(contents: Contents) -> Iterator[str]:
    for hypothesis in contents.study.hypotheses:
        quantities: list[Quantity] = [hypothesis.quantity, *(each.quantity for each in hypothesis.baselines)]
        for selector in (each for quantity in quantities for each in selectors(quantity)):
            coordinates: list[Any] = list(selector.coords.values())
            yield from (each.matches for each in coordinates if isinstance(each, Matches))


def _check_agrees(manifest: Manifest, contents: Contents, what: str) -> None:
    """What the bundle says of itself, against what is in it."""
    study, plan = contents.study, contents.plan
    if contents.missing:
        raise StudyError(f"{what} has no numbers of {', '.join(contents.missing)}.")
    if manifest.plan != plan.hash:
        raise StudyError(f"{what} says that its plan is {manifest.plan[:19]}…, and holds {plan.hash[:19]}….")
    if contents.conclusion.plan != plan.hash:
        raise StudyError(
            f"The conclusion in {what} is about another plan ({contents.conclusion.plan[:19]}…) than its own."
        )
    if manifest.steps != tuple(study.steps) or set(manifest.data) != set(study.data):  # JSON sorts its keys
        raise StudyError(f"{what} lists other steps or data than its plan has.")
