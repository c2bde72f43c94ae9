"""The repository's face: what the commands cover, what the wheel carries, and extras that exist."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_extras_that_errors_name_exist() -> None:
    named = {}
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named |= dict.fromkeys(re.findall(r"assay\[([a-z]+)\]", text), path.name)
        for call in ast.walk(ast.parse(text)):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("need"):
                named |= {ast.literal_eval(k.value): path.name for k in call.keywords if k.arg == "extra"}
    assert named, "the search found none"
    assert {extra: file for extra, file in named.items() if extra not in EXTRAS} == {}


def test_every_dependency_has_a_tested_version() -> None:
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    asked = [*PROJECT["project"]["dependencies"], *(one for extra in EXTRAS.values() for one in extra)]
    names = {re.split(r"[<>=\[ ]", one)[0].lower() for one in asked} - {"assay", "torch"}
    missing = {name for name in names if name.replace("_", "-") not in {p.replace("_", "-") for p in pinned}}
    assert not missing, "torch is installed first, by setup.sh; every other one is pinned in constraints.txt"


def test_pinned_versions_are_those_asked_for() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    exact = [one.split("==") for extra in EXTRAS.values() for one in extra if "==" in one]
    assert {name: version for name, version in exact if pins.get(name, version) != version} == {}


def test_data_files_of_the_package_are_read_from_the_package() -> None:
    """hatchling puts every file under src/assay into the wheel: what the package reads must be there."""
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["src/assay"]
    assert json.loads((ROOT / "src" / "assay" / "data" / "measured.json").read_text())["rows"]
    assert (ROOT / "src" / "assay" / "py.typed").is_file(), "the classifier says Typing :: Typed"


def test_make_says_what_can_be_made() -> None:
    told = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "lint", "docs", "bench", "setup"):
        assert re.search(rf"^{target} ", told, re.MULTILINE), target


@pytest.mark.parametrize("folder", ["src", "tests", "scripts", "benchmarks", "examples"])
def test_lint_covers_all_python(folder: str) -> None:
    line = next(line for line in MAKEFILE.splitlines() if line.startswith("CODE"))
    assert folder in line


def test_committed_text_keeps_to_the_subject() -> None:
    """No path of somebody's machine in what is published."""
    texts = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    private = {str(t.relative_to(ROOT)) for t in texts if re.search(r"/(?:home|root|work|tmp)/\w", t.read_text())}
    assert not private


def test_every_folder_that_declares_methods_is_found_by_the_registry() -> None:
    """An installation knows methods by its entry points alone: a folder that is left out is there for who imports it only."""
    folders = {path.relative_to(ROOT / "src" / "assay").parts[0] for path in (ROOT / "src" / "assay").rglob("*.py")
               if re.search(r"^@method\(", path.read_text(encoding="utf-8"), re.MULTILINE)}  # fmt: skip
    named = {
        value.split(".")[1].split(":")[0] for value in PROJECT["project"]["entry-points"]["assay.methods"].values()
    }
    assert folders == named
