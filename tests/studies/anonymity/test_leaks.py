"""Every planted leak is found, told with its place and its kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.studies.anonymity.leaks import NAMES, Leak, all_leaks

from assay.studies.anonymity.check import check_files, check_path
from assay.studies.anonymity.finding import Finding
from assay.studies.anonymity.names import parse_names

LEAKS = all_leaks()
PEOPLE = parse_names(NAMES.splitlines())


def tells(finding: Finding, leak: Leak) -> bool:
    return (
        finding.kind == leak.kind
        and leak.place in finding.place
        and (not leak.inside or finding.file.endswith(leak.inside))
    )


@pytest.mark.parametrize("leak", LEAKS, ids=[each.file for each in LEAKS])
def test_planted_leak_is_found(leak: Leak) -> None:
    report = check_files({leak.file: leak.data}, PEOPLE)
    assert any(tells(each, leak) for each in report.findings), report.findings


def test_the_corpus_is_large_and_varied() -> None:
    assert len(LEAKS) >= 60 and len({each.form for each in LEAKS}) >= 15
    assert len({each.file for each in LEAKS}) == len(LEAKS), "one leak for each file"
    page = (Path(__file__).parents[3] / "docs" / "studies" / "submitting.md").read_text(encoding="utf-8")
    assert f"{len(LEAKS)} planted leaks of {len({each.form for each in LEAKS})} forms" in " ".join(page.split())


def test_a_whole_folder(tmp_path: Path) -> None:
    for each in LEAKS:
        (tmp_path / each.file).parent.mkdir(exist_ok=True)
        (tmp_path / each.file).write_bytes(each.data)
    report = check_path(tmp_path, PEOPLE)
    missed = [
        each.file
        for each in LEAKS
        if not any(f"/{each.file}" in f"/{found.file}" and tells(found, each) for found in report.findings)
    ]
    assert missed == [] and report.names == 10, "Müller is looked for as Mueller too"
