"""Writing a bundle: the run folder's files, described and packed; on request without what tells who made it."""

from __future__ import annotations

from pathlib import Path

from assay.studies.anonymity.allowed import Allowed
from assay.studies.anonymity.names import Names
from assay.studies.bundle.anonymous import anonymised
from assay.studies.bundle.archive import pack
from assay.studies.bundle.collect import described, files_of
from assay.studies.report.contents import read_contents


def write_bundle(root: Path, out: Path) -> Path:
    """Bundle a finished run folder.

    Raises:
        StudyError: the folder is no run folder, or its run did not come to its end.
    """
    files = files_of(root)
    return pack(described(files, read_contents(root), announced=None, anonymous=False), out)


def write_anonymous_bundle(root: Path, out: Path, *, names: Names, allowed: Allowed | None = None) -> Path:
    """Bundle a finished run folder without what tells who made it; `assay check` finds nothing in what is written.

    Raises:
        StudyError: the folder holds no finished run, or something identifies that can't be taken out: numbers or prompts
            would no longer be those of the run.
    """
    return pack(anonymised(files_of(root), names, allowed), out)


def bundle_name(root: Path) -> Path:
    """Where a bundle goes if nobody says: beside the run folder, with its name."""
    place = root.resolve()
    return place.parent / f"{place.name}.zip"
