"""A dictionary on disk: back bit for bit, usable by edits, never half written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.dictionaries.made import identity, of_rows
from tests.tiny_pairs import tiny_llama

from assay.core.errors import InputError, StorageError
from assay.dictionaries import Dictionary, Recipe, Texts, train_dictionary
from assay.experiments import edit

SITE = "L1.resid_post"
TEXTS = [[1 + (11 * i + j * j) % 59 for j in range(9)] for i in range(10)]


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    made = train_dictionary(
        tiny_llama(), TEXTS, site=SITE, texts=Texts(context=9), recipe=Recipe(features=40, k=5, epochs=1, batch=16)
    )
    again = Dictionary.load(made.save(tmp_path / "d"))
    assert again.about == made.about and again.about.recipe == Recipe(features=40, k=5, epochs=1, batch=16)
    x = torch.randn(3, 32)
    assert torch.equal(again.encode(x), made.encode(x)) and torch.equal(again.reconstruct(x), made.reconstruct(x))
    assert again.measured.keys() == made.measured.keys()
    assert again.to_dataset().equals(made.to_dataset())
    assert int((again.encode(x) > 0).sum(-1).max()) <= 5


def test_edits_read_it(tmp_path: Path) -> None:
    """Feature 2 of the identity is entry 2 where it is positive: setting it to 5 adds what is missing to 5."""
    model, folder = tiny_llama(), str(identity(32, site=SITE).save(tmp_path / "d"))
    plain = model.run(TEXTS[:1], capture=SITE)[SITE]
    changed = model.run(TEXTS[:1], capture=SITE, edits=edit.feature(SITE, folder, values={2: 5.0}))[SITE]
    torch.testing.assert_close(changed[..., 2], plain[..., 2] + 5.0 - plain[..., 2].relu())
    of_rows(torch.zeros(64, 32), site=SITE).save(folder)  # another one in its place
    assert torch.equal(
        model.run(TEXTS[:1], capture=SITE, edits=edit.feature(SITE, folder, values={2: 5.0}))[SITE], plain
    )


def test_killed_while_saving(tmp_path: Path) -> None:
    """Killed in the middle of writing a second one, the first is whole, and nothing half written stands under its name."""
    first = identity(32, site=SITE)
    first.save(tmp_path / "d")
    script = f"""
import os, signal, torch
from tests.dictionaries.made import of_rows
import assay.dictionaries.dictionary as module
def die(tensors, path):
    with open(path, "wb") as file:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
module.save_file = die
of_rows(torch.zeros(4, 32), site="L0.resid_post").save({str(tmp_path / "d")!r})
"""
    root = str(Path(__file__).parent.parent.parent)
    died = subprocess.run([sys.executable, "-c", script], cwd=root, env={**os.environ, "PYTHONPATH": root}, check=False)
    assert died.returncode == -signal.SIGKILL
    again = Dictionary.load(tmp_path / "d")
    assert again.about == first.about and torch.equal(again.basis.decoder, first.basis.decoder)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["d"]


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    identity(32, site=SITE).save(tmp_path / "d")
    settings = json.loads((tmp_path / "d/dictionary.json").read_text())
    (tmp_path / "d/dictionary.json").write_text(json.dumps({**settings, "about": None}))
    with pytest.raises(StorageError, match="give site="):
        Dictionary.load(tmp_path / "d")
    assert Dictionary.load(tmp_path / "d", site="L0.mlp_out").site == "L0.mlp_out"
    (tmp_path / "d/dictionary.json").write_text(json.dumps({**settings, "about": {"site": SITE, "colour": 1}}))
    with pytest.raises(StorageError, match=r"damaged.*colour"):
        Dictionary.load(tmp_path / "d")
    with pytest.raises(StorageError, match="no dictionary can be read"):
        Dictionary.load(tmp_path / "nowhere")


def test_names() -> None:
    found = identity(32, site=SITE)
    assert found.name(63) == "L1.resid_post.F63" and found.number("L1.resid_post.F63") == 63
    for wrong in ("L0.resid_post.F1", "L1.resid_post.F64", "L1.resid_post"):
        with pytest.raises(InputError):
            found.number(wrong)
