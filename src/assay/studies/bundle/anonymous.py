"""A bundle without what tells who made it: names, accounts, paths, the commit; proved by the check of `assay check`.

Prompts and numbers are left as they are: if something is found in them, no bundle is written. Of a result's file only what
is said beside the numbers changes, such as the account that a model lies in. A plan in which something
had to be replaced gets a new hash; the manifest keeps the old one as `announced`, so that the authors can show later that
the plan is the one that they had announced, and nobody can see it before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

from assay.core import codec
from assay.core.errors import StudyError
from assay.studies.anonymity.allowed import Allowed
from assay.studies.anonymity.check import check_files
from assay.studies.anonymity.names import Names
from assay.studies.anonymity.strip import strip
from assay.studies.bundle.collect import described, files_of
from assay.studies.report import FILE as REPORT
from assay.studies.report import write_report
from assay.studies.report.contents import read_contents

UNTOUCHED = ("prompts/", "results/")


def anonymised(files: Mapping[str, bytes], names: Names, allowed: Allowed | None) -> dict[str, bytes]:
    """The described files of a bundle, without what identifies; the report and the figures are made again.

    Raises:
        StudyError: something identifies and can't be taken out.
    """
    before = json.loads(files["plan.json"])["plans"][-1]["hash"]
    texts = {name: content for name, content in files.items() if not name.startswith((*UNTOUCHED, "figures/", REPORT))}
    texts |= {"plan.json": _without_commits(texts["plan.json"])}
    stripped = strip(texts, names, allowed=allowed).files
    if set(stripped) != set(texts):
        raise StudyError("A name of a step or a data set tells who the authors are: give it another one.")
    rehashed = _rehashed(stripped)
    for name in (each for each in files if each.startswith("results/")):
        rehashed[name] = _about_stripped(files[name], names, allowed)
    with TemporaryDirectory() as place:
        root = Path(place) / "run"
        for name, content in {**files, **rehashed}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        write_report(root)
        contents = read_contents(root)
        made = files_of(root)
    hidden = before if before != contents.plan.hash else None
    whole = described(made, contents, announced=hidden, anonymous=True)
    _prove(whole, names, allowed)
    return whole


def _without_commits(plan: bytes) -> bytes:
    """The plan without the commit: on a public hub it leads to its author."""
    content = json.loads(plan)
    for each in content["plans"]:
        each["git"] = None
    return codec.pretty(content).encode()


def _about_stripped(table: bytes, names: Names, allowed: Allowed | None) -> bytes:
    """A result's file; what is said beside its numbers is changed if it has to be."""
    read = pq.read_table(BytesIO(table))
    said = dict(read.schema.metadata or {})
    name = "about.json"
    new = {key: strip({name: value}, names, allowed=allowed).files.get(name, b"{}") for key, value in said.items()}
    if new == said:
        return table
    target = BytesIO()
    pq.write_table(read.replace_schema_metadata(new), target, compression="zstd")
    return target.getvalue()


def _rehashed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with the hashes that the plans have now."""
    plan = json.loads(files["plan.json"])
    renamed: dict[str, str] = {}
    for each in plan["plans"]:
        renamed[each["hash"]] = each["hash"] = codec.digest(each["content"])
    texts = dict(files) | {"plan.json": codec.pretty(plan).encode()}
    for name in ("conclusion.json", "log.jsonl"):
        text = texts[name].decode()
        for old, new in renamed.items():
            text = text.replace(old, new)
        texts[name] = text.encode()
    return texts


def _prove(files: Mapping[str, bytes], names: Names, allowed: Allowed | None) -> None:
    report: Any = check_files(files, names, allowed=allowed)
    if not report.clean:
        first = min(
            report.findings, key=lambda each: not each.file.startswith(UNTOUCHED)
        )  # the report only repeats them
        more = f", and {len(report.findings) - 1} more" if len(report.findings) > 1 else ""
        raise StudyError(
            f"{first.file} would still tell who the authors are ({first.kind} '{first.text}', {first.place or 'its name'}"
            f"{more}), and prompts and numbers can't be changed. Mend it, or allow it with --allow: no bundle is written."
        )
