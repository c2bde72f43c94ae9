"""Run the example studies, and write what they found into `docs/studies/examples.md`, with a picture of each.

    python scripts/studies_page.py [NAME ...] [--runs runs] [--page docs/studies/examples.md]

Every number, and what kind of result a study is, comes from a run folder's conclusion. A run that is there is gone on with, and
nothing is done twice. With names only those are run, with `--no-run` none; what has not been run is said to be so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.studies.conclusion import Conclusion, Judgement, read_conclusion
from assay.studies.read import read_study
from assay.studies.report import gathered, read_contents, write_report
from assay.studies.report.export.files import figure_files
from assay.studies.run import run_study
from assay.studies.schema import Study

ROOT = Path(__file__).parent.parent
STUDIES = ROOT / "examples" / "studies"
IMAGES = ROOT / "docs" / "images" / "studies"

HEAD = """\
# Studies of the embedded model

Questions about the embedded model whose answers were not known when the predictions were written. This page is made by
`scripts/studies_page.py` from the runs' own conclusions. Run one yourself; a few minutes on two cores:

```bash
assay study run examples/studies/agreement-heads/study.yaml
```

Intervals are corrected for the number of hypotheses of a study. *Under …* is the same hypothesis under another choice that the
study declared beforehand: circles are what was found, diamonds what it is compared with, squares the other choices, the shaded
region what was predicted. Times were taken while other work kept the machine busy, and those of
*gradient-ranking* and *name-left-behind* before sweeps of studies ran on the schedule: expect less.
"""
KINDS = {
    "agreement-heads": ("enough", "discovery"),
    "gradient-ranking": ("as_good", "absence"),
    "ioi-as-many-heads": ("keeps_as_much", "replication"),
    "large-weights": ("no_better", "absence"),
    "name-left-behind": ("late_nothing_at_the_name", "absence"),
    "shared-heads": ("shared", "discovery"),
}
"""For each study the hypothesis that it is about, and what it would be."""
SAID = {
    ("discovery", "supported"): "What was expected was found.",
    ("discovery", "refuted"): "What was expected was refuted.",
    ("replication", "supported"): "A replication, which held.",
    ("replication", "refuted"): "**A failed replication**: what was found in GPT-2 small is not found here.",
    (
        "absence",
        "supported",
    ): "**A negative result**, shown by equivalence: the whole interval lies within what would matter.",
    ("absence", "refuted"): "A predicted absence that was **refuted**: there is an effect that matters.",
}


def section(name: str, study: Study, found: Conclusion) -> str:
    """One study: its question, a table of verdicts, and what limits them."""
    about = KINDS[name][0]
    lines = [f"## {study.title}", "", study.question, "", kind(name, found), "",
             f"![{about}: the number found, what it is compared with, and the prediction](../images/studies/{name}.svg)", "",
             f"`examples/studies/{name}/study.yaml`, "
             f"{found.seconds:.0f} s of steps on one core, plan `{found.plan.removeprefix('sha256:')[:12]}`.", "",
             "| | predicted | found | verdict |", "|---|---|---|---|"]  # fmt: skip
    for each in found.judgements:
        lines += rows(each)
    turned = [each.text for each in found.limitations if "under the choices" in each.text]
    caveats = [f"- {each.source}: {each.text}" for each in found.limitations if each.text not in turned]
    return "\n".join([*lines, "", "What limits it:", "", *(f"- {text}" for text in turned), *caveats, ""])


def kind(name: str, found: Conclusion) -> str:
    """What a study turned out to be, by the verdict on the hypothesis that it is about."""
    about, what = KINDS[name]
    outcome = next(each.outcome for each in found.judgements if each.id == about)
    return SAID.get((what, outcome), "It could not be decided: the interval holds numbers on both sides of the limit.")


def draw(name: str, folder: Path) -> None:
    """The picture of the hypothesis that a study is about."""
    shown = dict(gathered(read_contents(folder)).figures())
    ((_, content),) = figure_files([(name, shown[f"hypothesis-{KINDS[name][0]}"])], ("svg",))
    IMAGES.mkdir(parents=True, exist_ok=True)
    (IMAGES / f"{name}.svg").write_bytes(content)


def unrun(name: str, study: Study) -> str:
    """A study that waits for its run."""
    return f"## {study.title}\n\n{study.question}\n\n`examples/studies/{name}/study.yaml`. Not run yet.\n"


def rows(judged: Judgement) -> list[str]:
    """A hypothesis' row, and one for each number beside it."""
    found = [f"| {judged.statement} | {cell(judged.prediction)} | {cell(judged.number.short)} | **{judged.outcome}** |"]
    found += [f"| – {each.name} | | {cell(each.number.short)} | |" for each in judged.baselines]
    found += [f"| – under *{each.name}* | | {cell(each.number.short)} | {each.outcome} |" for each in judged.otherwise]
    return found


def cell(text: str) -> str:
    """Text that a table's cell can hold."""
    return text.replace("|", "\\|").replace(">=", "≥").replace("<=", "≤")


def main() -> None:
    """Run what is not done, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which studies to run; all if none is named")
    parser.add_argument("--no-run", action="store_true", help="only write the page")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "studies" / "examples.md")
    options = parser.parse_args()
    parts = [HEAD]
    for path in sorted(STUDIES.glob("*/study.yaml")):
        name, study = path.parent.name, read_study(path)
        folder = options.runs / name
        if not options.no_run and (not options.names or name in options.names):
            run_study(study, folder)
            write_report(folder)
        done = (folder / "conclusion.json").exists()
        if done:
            draw(name, folder)
        parts.append(section(name, study, read_conclusion(folder)) if done else unrun(name, study))
        print(name, "done" if done else "not run")
    options.page.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
