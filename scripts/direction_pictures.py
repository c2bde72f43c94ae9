"""The pictures of docs/directions: what the starters `probe` and `monitor` find in the embedded model.

python scripts/direction_pictures.py [FOLDER]        runs both studies in FOLDER, which is kept; some minutes on two cores
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from assay.studies.new import new_study
from assay.studies.read import read_study
from assay.studies.report.choose import figures
from assay.studies.report.export.files import standalone
from assay.studies.run import run_study

ROOT = Path(__file__).parent.parent
PICTURES = {"probe": ("layers", "probes.svg"), "monitor": ("watched", "monitor.svg")}
N = 48


def main(folder: Path) -> None:
    """Run each study, print what it found, draw one step of it."""
    for starter, (step, picture) in PICTURES.items():
        study = read_study(new_study(starter, folder / f"{starter}.yaml", n=N, overwrite=True))
        quick = study.analysis.model_copy(update={"control_time": 0.0})  # the pictures show no control that runs again
        run = run_study(study.model_copy(update={"analysis": quick}), folder / starter)
        for judged in run.conclusion.judgements:
            print(f"{judged.id}: {judged.outcome}, {judged.number.text}")
            print(*(f"    {each.name}: {each.number.text}" for each in judged.baselines), sep="\n")
        for limit in run.conclusion.limitations:
            print(f"    {limit.source}: {limit.text}")
        path = ROOT / "docs" / "images" / picture
        path.write_text(standalone(figures(run.results[step])[0].picture), encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
