import sys
from pathlib import Path

import pytest

from assay.core.errors import AssayError, MissingExtraError
from assay.core.extras import has, need


def test_an_installed_module_is_given() -> None:
    assert need("json.decoder", extra="x", why="x").__name__ == "json.decoder"


def test_a_missing_one_names_the_extra() -> None:
    with pytest.raises(
        MissingExtraError, match=r"reading scrolls needs 'no_such_package'.*pip install 'assay\[scrolls\]'"
    ):
        need("no_such_package.sub", extra="scrolls", why="reading scrolls")
    assert issubclass(MissingExtraError, AssayError)
    assert issubclass(MissingExtraError, ImportError)


def test_a_broken_package_keeps_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("import no_such_inner_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_inner_module"):
        need("broken_package", extra="x", why="x")


def test_asking_does_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quiet_package.py").write_text("raise RuntimeError('was imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert has("quiet_package")
    assert "quiet_package" not in sys.modules
    assert not has("no_such_package")
