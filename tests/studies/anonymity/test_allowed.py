"""The allow-list, and what a report holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.core.errors import InputError
from assay.studies.anonymity.allowed import parse_allowed, read_allowed
from assay.studies.anonymity.check import MOST, check_files
from assay.studies.anonymity.finding import ADVICE, Certainty, Report
from assay.studies.anonymity.names import parse_names

FILES = {
    "vendor/x.py": b"__author__ = 'Anna Bauer'\n",
    "README.md": b"Code: https://github.com/abauer/x\nWebsite: https://gitlab.com/cdef/y\nmail x.y@uni-stadt.de\n",
    "LICENSE": b"Copyright (c) 2020 Anna Bauer\n",
}
NAMES = parse_names(["Jane Fernandez"])


def left(*lines: str) -> list[str]:
    return sorted(each.kind for each in check_files(FILES, NAMES, allowed=parse_allowed(lines)).findings)


def test_what_is_allowed_passes() -> None:
    assert left() == ["author field", "copyright", "e-mail", "hub link", "hub link"]
    assert left("https://github.com/abauer/x") == ["author field", "copyright", "e-mail", "hub link"]
    assert left("# comment", "", "file: vendor/*") == ["copyright", "e-mail", "hub link", "hub link"]
    assert left("kind: hub link") == ["author field", "copyright", "e-mail"]
    assert left("LICENSE :: copyright", "README.md :: copyright") == ["author field", "e-mail", "hub link", "hub link"]
    assert left("*@uni-stadt.de") == ["author field", "copyright", "hub link", "hub link"]
    report = check_files(FILES, NAMES, allowed=parse_allowed(["kind: hub link"]))
    assert report.allowed == 2


def test_links_that_are_allowed_are_not_listed() -> None:
    files = {"a.md": b"see https://github.com/toolmaker/tool and https://github.com/othermaker/tool"}
    assert check_files(files, NAMES).links == ("github.com/toolmaker/tool", "github.com/othermaker/tool")
    assert check_files(files, NAMES, allowed=parse_allowed(["https://github.com/toolmaker/*"])).links == (
        "github.com/othermaker/tool",
    )


def test_mistakes_in_the_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no kind of finding with 'hub lnk'\. Nearest: hub link"):
        parse_allowed(["kind: hub lnk"])
    with pytest.raises(InputError, match="almost everything"):
        parse_allowed(["*"])
    with pytest.raises(InputError, match="No such file"):
        read_allowed(tmp_path / "none")


def test_a_report_by_certainty_and_as_json() -> None:
    report = check_files(FILES, NAMES)
    assert not report.clean and {each.certainty for each in report.at_least(Certainty.CERTAIN).findings} == {
        Certainty.CERTAIN
    }
    assert report.at_least(Certainty.CERTAIN).files == report.files == 3
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["clean"] is False and plain["findings"][0].keys() == {
        "file",
        "place",
        "kind",
        "text",
        "certainty",
        "advice",
    }
    assert Report(()).clean and all(ADVICE.values())


def test_many_of_a_kind_are_counted() -> None:
    text = "".join(f"/home/person{chr(97 + i % 26)}{i}x/a\n" for i in range(100)).encode()
    findings = check_files({"a.txt": text}, NAMES).findings
    assert len(findings) == MOST + 1 and findings[-1].text == f"and {100 - MOST} more"
