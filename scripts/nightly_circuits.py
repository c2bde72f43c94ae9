"""The studies under examples/circuits on the embedded model, one after another; folders under runs/circuits are gone on with.

    python scripts/nightly_circuits.py [NAME …] [--small] [--out runs/circuits] [--pages]

`--small` runs each with two prompts, few sizes and few layers: whether everything runs, in about half a minute each,
not what comes out. `--pages` writes the results into docs/circuits afterwards (scripts/circuit_pages.py).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from assay.studies.read import read_study
from assay.studies.run import run_study
from assay.studies.schema import Study

ROOT = Path(__file__).parent.parent
STUDIES = ROOT / "examples" / "circuits"
NAMES = ("ioi", "greater-than", "docstring", "agreement")
SMALL: dict[str, dict[str, Any]] = {
    "eap_ig": {"steps": 2, "check": 3},
    "eap": {"check": 3},
    "patch": {"layers": (20, 21, 22, 23)},
    "atp_star": {"grad_drop": False},
    "edge_patching": {"senders": r"L2[0-3]\..*"},
    "smallest_circuit": {"fractions": (0.01, 0.1)},
    "judge_circuit": {"random_circuits": 1},
    "circuit_curves": {"fractions": (0.01, 0.1), "random_circuits": 1},
    "keep_set": {"random_sets": 1},
    "smallest_heads": {"at_most": 0.05},
    "head_roles": {"layers": (20, 23)},
}
"""What a method is set to in a small version, by its name."""


def smaller(study: Study, n: int = 2) -> Study:
    """The same steps and hypotheses on `n` prompts of each data set."""
    data = {name: spec.model_copy(update={"n": min(spec.n, n)}) for name, spec in study.data.items()}
    steps = {
        name: step.model_copy(update={"settings": {**step.settings, **SMALL.get(step.method, {})}})
        for name, step in study.steps.items()
    }
    analysis = study.analysis.model_copy(update={"resamples": 200, "interval": "percentile"})
    return study.model_copy(
        update={"title": f"{study.title} (small version)", "data": data, "steps": steps, "analysis": analysis}
    )


def run(name: str, out: Path, *, small: bool) -> None:
    """One study."""
    study = read_study(STUDIES / name / "study.yaml")
    began, cpu = time.perf_counter(), time.process_time()
    made = run_study(smaller(study) if small else study, out / (f"{name}-small" if small else name))
    for each in made.conclusion.judgements:
        print(f"  {each.id:24} {each.prediction:12} {each.number.text:36} {each.outcome}")
    print(
        f"{name}: {time.perf_counter() - began:.0f} s, {time.process_time() - cpu:.0f} s of the processor", flush=True
    )


def main() -> None:
    """Run the studies that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES), help=f"which: {', '.join(NAMES)}")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "circuits")
    parser.add_argument("--pages", action="store_true")
    options = parser.parse_args()
    for name in options.names:
        run(name, options.out, small=options.small)
    if options.pages:
        subprocess.run([sys.executable, ROOT / "scripts" / "circuit_pages.py", "--runs", options.out], check=True)


if __name__ == "__main__":
    main()
