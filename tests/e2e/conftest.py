"""A report, and a real browser to open it in (extra `e2e` and an installed Chromium); without them tests here are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.studies.small import model_folder, study_file

    from assay.studies.read import read_study
    from assay.studies.report import write_report
    from assay.studies.run import run_study

    place = tmp_path_factory.mktemp("report")
    study = read_study(study_file(place / "study.yaml"))
    model = study.model.model_copy(update={"name": str(model_folder(place / "model"))})
    run_study(study.model_copy(update={"model": model}), place / "run")
    return write_report(place / "run")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra `e2e`")
    if CHROMIUM is None:
        pytest.skip("needs a Chromium")
    with sync_api.sync_playwright() as playwright:
        # a container's root can't have Chromium's sandbox; the page is our own file
        flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Any]:
    def open_page(**options: Any) -> Any:
        page = browser.new_context(**options).new_page()
        page.trouble = []
        page.on("pageerror", lambda error: page.trouble.append(str(error)))
        page.on("console", lambda said: page.trouble.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda asked: page.trouble.append(asked.url) if not asked.url.startswith("file:") else None)
        page.goto(report.as_uri())
        return page

    yield open_page
    for context in browser.contexts:
        context.close()
