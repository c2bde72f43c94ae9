"""Anonymous bundles: nothing that identifies is in them, the check proves it, and they still verify."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.studies.replicas import Place, short_study

from assay.core.errors import StudyError
from assay.studies.anonymity.check import check_path
from assay.studies.anonymity.names import parse_names
from assay.studies.bundle import open_bundle, write_anonymous_bundle
from assay.studies.bundle.archive import unpack
from assay.studies.folder import RunFolder
from assay.studies.plan import read_plan
from assay.studies.report import write_report
from assay.studies.run import run_study
from assay.studies.verify import Wanted, verify_bundle

NAMES = parse_names(["Tomasz Kowalski", "@jqfz", "Institute of Heads"])


@pytest.fixture(scope="module")
def telling(replica: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose study, plan and results name its authors."""
    folder = tmp_path_factory.mktemp("telling") / "run"
    shutil.copytree(replica.run, folder)
    study = short_study(replica.model)
    asked = study.hypotheses[0].model_copy(update={"because": "Tomasz Kowalski saw it at the Institute of Heads."})
    study = study.model_copy(update={
        "question": "Does what jqfz/heads found hold?", "hypotheses": (asked, *study.hypotheses[1:]),
    })  # fmt: skip
    run_study(study, folder, amend=True)
    run = RunFolder(folder)
    found = run.load("heads")
    run.save(replace(found, provenance={"model_source": "jqfz/heads"}))
    data = json.loads((folder / "plan.json").read_text())
    data["plans"][0]["git"] = {"commit": "c0ffee" * 6 + "c0ff", "dirty": True}
    (folder / "plan.json").write_text(json.dumps(data))
    write_report(folder)
    return folder


def test_it_says_nothing_and_still_verifies(telling: Path, replica: Place, tmp_path: Path) -> None:
    path = write_anonymous_bundle(telling, tmp_path / "anonymous.zip", names=NAMES)
    assert check_path(path, NAMES).clean, "by the same check that a person would run"
    everything = b"\n".join(unpack(path).values())
    for word in (b"Kowalski", b"jqfz", b"Institute of Heads", b"c0ffee"):
        assert word not in everything
    with open_bundle(path) as opened:
        plan = opened.contents.plan
        assert opened.manifest.anonymous
        assert opened.manifest.announced == read_plan(telling).hash != plan.hash
        assert plan.is_exploratory("chance") and not plan.is_exploratory("knows"), "what was added later stays so"
    found = verify_bundle(path, Wanted(str(replica.model)), announced=read_plan(telling).hash)
    assert (found.outcome, found.problems, found.differing, found.announced) == ("holds", (), (), True)


def test_a_run_that_tells_nothing_keeps_its_plan(replica: Place, tmp_path: Path) -> None:
    with open_bundle(write_anonymous_bundle(replica.run, tmp_path / "a.zip", names=NAMES)) as opened:
        assert opened.manifest.announced is None
        assert opened.manifest.plan == read_plan(replica.run).hash


def test_prompts_and_numbers_are_not_changed(replica: Place, tmp_path: Path) -> None:
    """An author who is called like a word of the prompts: changing them would change what was measured."""
    first = json.loads((replica.run / "prompts" / "test.jsonl").read_text().splitlines()[1])["clean"]
    names = parse_names([f"text: {' '.join(first.split()[-3:])}"])
    with pytest.raises(StudyError, match=r"prompts/test\.jsonl would still tell .* no bundle is written"):
        write_anonymous_bundle(replica.run, tmp_path / "a.zip", names=names)
    assert not (tmp_path / "a.zip").exists()
