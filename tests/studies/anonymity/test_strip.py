"""Bundles are made anonymous: what identifies is gone, the rest is as it was, and the check proves it."""

from __future__ import annotations

import ast
import base64
import json

import pytest
from tests.studies.anonymity import pictures as pics
from tests.studies.anonymity.clean import files as clean_files
from tests.studies.anonymity.leaks import NAMES, code, notebook, zipped
from tests.studies.anonymity.test_leaks import LEAKS

from assay.core.errors import StudyError
from assay.studies.anonymity.check import check_files
from assay.studies.anonymity.names import parse_names
from assay.studies.anonymity.strip import strip, strip_text

PEOPLE = parse_names(NAMES.splitlines())
PICTURE = pics.png(pics.text("Author", "Tomasz Kowalski"))


def test_a_bundle() -> None:
    cells = [
        code(
            "x = '/home/tkowalski/a'\n# Jane Fernández",
            {"output_type": "display_data", "data": {"image/png": base64.b64encode(PICTURE).decode()}, "metadata": {}},
            tags=["jqfz"],
        )
    ]
    uri = base64.b64encode(PICTURE).decode()
    files = {
        "study.yaml": b"title: Heads\nauthor: Jane Fernandez\ndata: /home/tkowalski/heads\n",
        "jqfz/results.json": json.dumps({"user": "tkowalski", "folder": "C:\\Users\\Tomasz\\x", "n": [1, 2.5, None]},
        indent=2).encode(),
        "log.jsonl": b'{"step": 1, "at": "/Users/tkowalski/x"}\n{"step": 2, "who": "Jane Fern\\u00e1ndez"}\n',
        "notes.md": "By Jane Fernández <jane.fz@cs.bigstate.edu>, see jqfz/results.json.\n".encode(),
        "run.py": b'__author__ = "Tomasz Kowalski"\nPATH = "/home/tkowalski/x"\nSAID = "\\"Jane Fernandez\\" said"\n',
        "a.ipynb": notebook(cells, authors=[{"name": "T K"}], kernelspec={"name": "python3"}).encode(),
        "a.png": PICTURE,
        "a.jpg": pics.jpeg(pics.exif({0x013B: "Tomasz Kowalski"}, gps=True)),
        "a.svg": f'<svg><metadata><dc:creator>Tomasz Kowalski</dc:creator></metadata><image '
f'href="data:image/png;base64,{uri}"/><text>Jane Fernandez</text></svg>'.encode(),
        "report.html": b'<meta name="author" content="Tomasz Kowalski"><script>const at = "/home/tkowalski/x";</script>',
        "numbers.bin": bytes(range(256)),
    }  # fmt: skip
    done = strip(files, PEOPLE)
    assert done.proof.clean and done.proof.files >= len(files)
    assert done.renamed == {"jqfz/results.json": "anonymous/results.json"}
    assert done.files["numbers.bin"] == files["numbers.bin"] and "numbers.bin" not in done.changed
    assert json.loads(done.files["anonymous/results.json"]) == {
        "user": "anonymous",
        "folder": "C:\\Users\\anonymous\\x",
        "n": [1, 2.5, None],
    }
    assert [json.loads(line)["step"] for line in done.files["log.jsonl"].splitlines()] == [1, 2]
    assert (
        b"see anonymous/results.json" in done.files["notes.md"] and b"anonymous@example.org" in done.files["notes.md"]
    )
    ast.parse(done.files["run.py"])  # still runs
    assert b'"\\"Anonymous\\" said"' in done.files["run.py"]
    assert json.loads(done.files["a.ipynb"])["metadata"] == {"kernelspec": {"name": "python3"}}
    assert done.files["a.png"] == pics.png() and len(done.files["a.jpg"]) == len(pics.jpeg())


def test_clean_files_keep_every_byte() -> None:
    files = clean_files()
    done = strip(files, parse_names(["Jane Q. Doe-Fernández"]))
    assert done.files == files and done.changed == () and done.renamed == {}


@pytest.mark.parametrize("end", ["txt", "md", "yaml", "py", "json", "ipynb", "png", "jpg", "svg", "html", "csv"])
def test_planted_leaks_are_stripped_or_refused(end: str) -> None:
    """Never let through: the proof is the check itself."""
    stripped = 0
    for leak in (each for each in LEAKS if each.file.endswith(f".{end}")):
        try:
            done = strip({leak.file: leak.data}, PEOPLE)
        except StudyError:
            continue
        stripped += 1
        assert check_files(done.files, PEOPLE).clean
    total = sum(each.file.endswith(f".{end}") for each in LEAKS)
    assert stripped == total, f"{stripped} of {total}"


def test_what_can_not_be_changed_is_refused() -> None:
    with pytest.raises(
        StudyError, match=r"a\.zip!a\.txt still tells who the authors are \(name 'Jane Fernandez', line 1\)"
    ):
        strip({"a.zip": zipped(a_DOT_txt="Jane Fernandez")}, PEOPLE)


def test_two_paths_that_become_one_stay_two() -> None:
    done = strip({"jqfz.txt": b"1", "Jqfz.txt": b"2"}, PEOPLE)
    assert sorted(done.files.values()) == [b"1", b"2"] and len(done.files) == 2


def test_words_around_stay() -> None:
    assert strip_text("We met Jane Q. Fernández; she left.", PEOPLE) == "We met Anonymous; she left."
