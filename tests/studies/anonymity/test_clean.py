"""What is clean is told to be clean: at most two false alarms over all of it (there are none today)."""

from __future__ import annotations

from tests.studies.anonymity.clean import NAMES, files

from assay.studies.anonymity.check import check_files
from assay.studies.anonymity.names import parse_names


def test_clean_files_raise_no_alarm() -> None:
    report = check_files(files(), parse_names(NAMES))
    assert [(each.file, each.place, each.kind, each.text) for each in report.findings] == []


def test_links_to_unknown_accounts_are_listed_apart() -> None:
    links = check_files(files(), parse_names(NAMES)).links
    assert "github.com/AlignmentResearch/tuned-lens" in links
    assert not any("huggingface/transformers" in link or "anonymous" in link for link in links)


def test_the_names_are_found_when_they_are_names() -> None:
    """The same names, in sentences about their bearers."""
    text = b"Will Long and Mark Hope wrote it, with Hope Young, Wei Zhang and the Page Institute.\n"
    told = {each.text for each in check_files({"a.md": text}, parse_names(NAMES)).findings}
    assert told >= {"Will Long", "Mark Hope", "Hope Young", "Wei Zhang", "Page Institute"}
