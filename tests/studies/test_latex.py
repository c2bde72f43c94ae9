"""The LaTeX folder: numbers are macros, text is escaped, citations have entries, and it compiles where TeX is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from assay.core.registry import methods
from assay.studies.read import parse_study
from assay.studies.report import gathered, read_contents, write_report
from assay.studies.report.latex.citations import bibtex, is_work, key_of, known
from assay.studies.report.latex.macros import letters, macros
from assay.studies.report.latex.text import escape
from assay.studies.run import run_study

from .conftest import TEXT, Lab

HOSTILE = r"\input{/etc/passwd} $x_1$ 100% & #1 {a}^~ <b> |c| \write18{ls} 東 é ř ß “q” 5≥4 → α " + '"'


def test_special_signs_are_escaped_and_nothing_is_lost() -> None:
    assert escape(r"\{}$&#%_^~") == (r"\textbackslash{}\{\}\$\&\#\%\_\textasciicircum{}\textasciitilde{}")
    assert escape(
        "≥ α é ř ï 東 −1 “x”\n\ty"
    ) == r"$\ge$ $\alpha$ \'{e} \v{r} \" {\i} \texttt{U+6771} $-$1 ``x'' y".replace(r"\" {\i}", r"\"{\i}")


@pytest.mark.parametrize("sign", [chr(code) for code in range(0x20, 0x7F)])
def test_every_sign_of_ascii_is_plain_or_a_command(sign: str) -> None:
    """TeX gives ten signs a meaning; each must come with a backslash of its own."""
    found = escape(f"a{sign}b")[1:-1]
    if sign in r"\{}$&#%_^~":
        assert found.startswith("\\")
    else:
        assert found in (sign, "") or found.startswith("\\text")


def test_macros_hold_every_number_with_its_interval(lab: Lab, tmp_path: Path) -> None:
    run = run_study(lab.study, tmp_path, sources=lab.sources)
    found = macros(gathered(read_contents(tmp_path)))
    large, small = run.conclusion.judgements
    assert found["numLarge"] == large.number.text.partition("]")[0] + "]"
    assert found["numLargeVerdict"] == large.outcome == "supported"
    assert found["numLargeN"] == "20"
    assert found["numLargePredicted"] == r"$\ge$ 1"
    assert found["numLargeBaselineA"].replace("$-$", "-") == large.baselines[0].number.text.partition("]")[0] + "]"
    assert found["numSmallVerdict"] == small.outcome == "refuted"
    assert found["numExamplesTest"] == "20"
    assert all(re.fullmatch(r"num[A-Za-z]+", name) for name in found)
    snapshot = json.loads((Path(__file__).parent / "macros.json").read_text())
    assert {name: found[name] for name in snapshot} == snapshot  # seeds are fixed: a change here is a change of meaning
    assert set(found) - set(snapshot) == {"numSeconds", "numPlan"}


def test_two_ids_that_look_alike_get_macros_of_their_own(lab: Lab, tmp_path: Path) -> None:
    text = TEXT.replace("id: large", "id: h_1").replace("id: small", "id: h1")
    run_study(parse_study(text), tmp_path, sources=lab.sources)
    found = macros(gathered(read_contents(tmp_path)))
    assert found["numHOneVerdict"] == "supported"
    assert found["numHOneXVerdict"] == "refuted"
    assert [letters(i) for i in (0, 25, 26, 27)] == ["A", "Z", "AA", "AB"]


def test_no_number_of_the_run_is_typed_in_the_verdicts(lab: Lab, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run_study(lab.study, tmp_path, sources=lab.sources)
    folder = write_report(tmp_path, form="latex")
    table = (folder / "tables" / "verdicts.tex").read_text()
    assert r"\numLarge & \numLargeN & \numLargeP & \numLargeVerdict" in table
    body = "\n".join(line for line in table.splitlines() if r"\num" in line)
    assert not re.search(r"\d", re.sub(r"p\{[^}]*\}", "", body))
    assert {path.name for path in folder.iterdir()} == {"main.tex", "macros.tex", "references.bib", "tables", "figures"}
    for name in re.findall(r"\\includegraphics\[[^\]]*\]\{([^}]*)\}", (folder / "main.tex").read_text()):
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    main = (folder / "main.tex").read_text()
    assert "prompts (the task pretended), split test" in main
    assert r"found was \numLarge{} (n = \numLargeN{}), so it is \textbf{\numLargeVerdict}." in main
    for name in re.findall(r"\\input\{([^}]*)\}", main):
        assert (folder / f"{name}.tex").exists()


def test_citations_of_the_methods_are_entries(lab: Lab, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run_study(lab.study, tmp_path, sources=lab.sources)
    folder = write_report(tmp_path, form="latex")
    keys = set(re.findall(r"\\cite\{([^}]*)\}", (folder / "tables" / "methods.tex").read_text()))
    assert keys == {key_of("doi:1")}
    assert f"{{{key_of('doi:1')}," in (folder / "references.bib").read_text()


def test_everything_that_assays_own_methods_cite_is_known() -> None:
    cited = {
        each
        for method in methods().values()
        if method.function.__module__.startswith("assay.")
        for each in method.card.cites
        if is_work(each)
    }
    assert cited <= set(known()), "add title and authors to report/latex/citations.json"
    keys = [entry["key"] for entry in known().values()]
    assert len(keys) == len(set(keys))
    for entry in known().values():
        assert {"key", "author", "title", "year"} <= set(entry)
        assert re.fullmatch(r"(19|20)\d\d", entry["year"])


def test_entries_escape_what_bibtex_reads_and_keep_accents_whole() -> None:
    found = bibtex(["arXiv:2403.00745", "doi:10.1/a_b", "none: a baseline"])
    assert r"Kram{\'{a}}r, J{\'{a}}nos" in found
    assert "eprint = {2403.00745}" in found
    assert r"doi:10.1/a\_b" in found
    assert "baseline" not in found


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_it_compiles_whatever_the_text_is(lab: Lab, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    quoted = json.dumps(HOSTILE)
    text = TEXT.replace("Pretended", quoted).replace("The first part is large.", quoted)
    text = text.replace("the other part", quoted) + f"limitations: [{quoted}]\n"
    run_study(parse_study(text), tmp_path, sources=lab.sources)
    folder = write_report(tmp_path, form="latex")
    for command in (["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main"], ["bibtex", "main"]):
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "main.pdf").stat().st_size > 10_000
    assert "root:" not in (folder / "main.log").read_text(errors="replace")  # no file was read, no command was run
