"""The measured parts and the pictures of docs/circuits/{ioi,greater-than,docstring,agreement}.md, from the runs' folders.

    python scripts/circuit_pages.py [NAME …] [--runs runs/circuits]

Everything between `<!-- measured -->` and `<!-- end of measured -->` is copied from a run's conclusion and results: nothing
there is written by hand. The block names the hash of the study file, and a test fails when the file has changed since.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator
from pathlib import Path

import xarray as xr

from assay.circuits import Circuit, Graph
from assay.circuits.drawing import circuit_picture, curve_picture
from assay.core import codec
from assay.core.files import write_text
from assay.core.protocols import Scores
from assay.studies.conclusion import FILE, Conclusion, Number
from assay.studies.folder import RunFolder
from assay.studies.plan import content_of
from assay.studies.read import read_study
from assay.studies.schema import Study

ROOT = Path(__file__).parent.parent
STUDIES, DOCS, IMAGES = ROOT / "examples" / "circuits", ROOT / "docs" / "circuits", ROOT / "docs" / "images"
NAMES = ("ioi", "greater-than", "docstring", "agreement")
START, END = "<!-- measured -->", "<!-- end of measured -->"
MARKS = {"supported": "supported", "refuted": "**refuted**", "inconclusive": "inconclusive"}
HEADS = {
    "attribution": "attribution patching", "atp": "AtP* (GradDrop)", "relevance": "norms and patterns frozen",
    "gradient": "size of the gradient", "activation": "size of the output", "weights": "size of the weights",
    "random": "random order",
}  # fmt: skip
SPOKEN = ("writer", "negative writer", "name mover", "negative name mover", "S-inhibition", "backup")
MOST, EDGES = 8, 16
TESTS = (
    (("answer_attention", "value"), "attends to the answer"),
    (("answer_attention", "control"), "to the wrong one"),
    (("copying", "value"), "says what it looks at"),
    (("negative_copying", "value"), "speaks against it"),
    (("s_inhibition", "value"), "moves name movers"),
    (("backup", "value"), "rises without them"),
)
CIRCUITS = {"found": "EAP-IG, 8 steps", "rival": "EAP", "baseline": "size of what both ends write"}


class Run:
    """A finished study's folder."""

    def __init__(self, root: Path) -> None:
        self.folder = RunFolder(root)
        self.conclusion = Conclusion.model_validate(self.folder.read_json(FILE))
        self.about = self.folder.read_json("environment.json")["model"]

    def __getitem__(self, step: str) -> xr.Dataset:
        return self.folder.load(step).data

    def facts(self, step: str) -> tuple[str, ...]:
        """What a step noted."""
        return self.folder.load(step).facts


def mark(study: Study) -> str:
    """A hash of what a study file says, whatever defaults are filled in."""
    return codec.digest(study.model_dump(mode="json", by_alias=True, exclude_unset=True)).removeprefix("sha256:")[:16]


def measured(run: Run, name: str) -> str:
    """The block of one page."""
    study = read_study(STUDIES / name / "study.yaml")
    if codec.digest(content_of(study)) != run.conclusion.plan:
        raise SystemExit(f"the run of {name} is of another plan than the study file: run it again.")
    parts = [
        "\n".join(_summary(run, mark(study))),
        "### Predictions\n\n" + "\n".join(_predictions(run)),
        "### The circuit\n\n" + "\n".join(_circuit(run)),
        f"![The circuit: layers as columns](../images/circuit-{name}.svg)",
        f"![What circuits of other sizes recover](../images/circuit-{name}-curve.svg)",
        "### What the heads do\n\n" + "\n".join(_roles(run)),
        "\n".join(_numbers(run)),
        "### The methods beside exact patching\n\n" + "\n".join(_methods(run)),
        "### Limits\n\n" + "\n".join(_limits(run)),
    ]
    return "\n\n".join(parts)


def draw(run: Run, name: str) -> None:
    """The circuit, and the curve."""
    data = run["circuit"]
    values = data["score"].values.tolist()
    scores = Scores.of(dict(zip(data["component"].values.tolist(), values, strict=True)), "EAP-IG")
    graph = Graph.sequential(layers=int(run.about["n_layers"]), heads=int(run.about["n_heads"]))
    circuit = Circuit.of_edges(graph, scores.components, scores=scores)
    write_text(IMAGES / f"circuit-{name}.svg", str(circuit_picture(circuit, most=250, title=name)) + "\n")
    curve = curve_picture(run["curves"], title=f"{name}: what circuits recover on held-out prompts")
    write_text(IMAGES / f"circuit-{name}-curve.svg", str(curve) + "\n")


def _summary(run: Run, of: str) -> Iterator[str]:
    outcomes = [each.outcome for each in run.conclusion.judgements]
    counted = ", ".join(f"{outcomes.count(each)} {each}" for each in MARKS)
    yield (
        f"Of {len(outcomes)} predictions that were written before the run: {counted}. Model: {run.about['name']}, "
        f"{run.about['dtype']}; study file `{of}`; {run.conclusion.seconds / 60:.0f} minutes."
    )


def _predictions(run: Run) -> Iterator[str]:
    yield "| predicted | | found | beside it | verdict |\n|---|---|---|---|---|"
    for each in run.conclusion.judgements:
        beside = "; ".join(f"{one.name}: {_short(one.number)}" for one in each.baselines)
        yield f"| {each.statement} | {each.prediction} | {_short(each.number)} | {beside} | {MARKS[each.outcome]} |"


def _circuit(run: Run) -> Iterator[str]:
    judged = run["judged"]
    edges, total = int(judged["size"]), int(run["edges"].sizes["component"])
    yield (
        f"{edges:,} of {total:,} edges ({edges / total:.2%}), chosen by EAP-IG on other wordings, the size by what recovers "
        "90 % on yet others. On held-out prompts, with 95 % intervals over prompts:\n"
    )
    yield "| as many edges by | recovers | answers right | KL to the model, nats | shared with the first |"
    yield "|---|---|--:|--:|--:|"
    for name in judged["circuit"].values.tolist():
        here = judged.sel(circuit=name)
        yield (
            f"| {CIRCUITS.get(name, name)} | {_bounded(here['recovered'])} | {float(here['correct'].mean()):.0%} | "
            f"{float(here['kl'].mean()):.2f} | {float(here['shared']):.2f} |"
        )
    scores = run["circuit"]["score"].to_pandas()
    best = scores.abs().sort_values(ascending=False).index[:EDGES]
    listed = ", ".join(f"`{edge}` {scores[edge]:z.2f}" for edge in best)
    yield f"\nThe {EDGES} edges with the largest scores: {listed}."
    tried = next(fact for fact in run.facts("circuit") if fact.startswith("tried: ")).removeprefix("tried: ")
    yield f"\nSizes that were tried where it was chosen, with what they recover: {tried}."
    kept = run["heads_kept"]
    gap = float((kept["all"] - kept["none"]).mean())
    shares = {n: float((kept["kept"].sel(ranking=n) - kept["none"]).mean()) / gap for n in ("found", "rival")}
    heads = run["heads_exact"].sizes["component"]
    yield (
        f"\nHeads alone, MLPs whole: {int(kept['size'])} of {heads} (ranked by exact patching, the number chosen to keep 90 %) "
        f"keep {shares['found']:.2f} on held-out prompts; as many by attribution patching {shares['rival']:.2f}."
    )


def _roles(run: Run) -> Iterator[str]:
    roles = run["roles"]
    yield "| role | heads |\n|---|---|"
    undone = (
        next((f for f in run.facts("roles") if "these prompts can't tell" in f), "")
        .partition(": ")[2]
        .partition(": ")[2]
    )
    for role in roles["role"].values.tolist():
        has = roles["has"].sel(role=role).values.astype(bool)
        names = [f"{head}" for head in roles["head"].values[has].tolist()]
        shown = ", ".join(names[:16]) + (f" and {len(names) - 16} more" if len(names) > 16 else "")
        yield f"| {role} | {'these prompts cannot tell' if role in undone.split(', ') else shown or 'none'} |"
    for fact in run.facts("roles"):
        if fact.startswith(("S-inhibition and backup", "thresholds")):
            yield f"\n{fact[0].upper()}{fact[1:]}."


def _numbers(run: Run) -> Iterator[str]:
    """The tests' values for the heads that matter most."""
    roles, exact = run["roles"], run["heads_exact"]["score"].mean("example").to_pandas()
    spoken = roles["has"].sel(role=[role for role in roles["role"].values.tolist() if role in SPOKEN]).any("role")
    chosen = set(roles["head"].values[spoken.values].tolist())
    chosen |= set(exact.abs().sort_values(ascending=False).index[:MOST].tolist())
    value, control = (roles[each].mean("example").to_pandas() for each in ("value", "control"))
    order = sorted(chosen, key=lambda head: tuple(map(int, re.findall(r"\d+", head))))
    yield f"The {MOST} heads that matter most by exact noising, and those with a role in the answer; means over prompts:\n"
    yield "| head | lost without it | direct effect | " + " | ".join(title for _, title in TESTS) + " |"
    yield "|---|" + "--:|" * (len(TESTS) + 2)
    for head in order:
        cells = [f"{exact[head]:z.2f}", f"{value.loc['direct_effect', head]:z.3f}"]
        for (test, side), _ in TESTS:
            number = float((value if side == "value" else control).loc[test, head])
            cells.append("–" if math.isnan(number) else f"{number:z.2f}")
        yield f"| {head} | {' | '.join(cells)} |"
    yield (
        "\n*Lost without it*: by exact noising, in units of the logit difference, on prompts that scores were made on. *Direct "
        "effect*, *moves name movers* and *rises without them* are shares of the whole effect, the others attention or shares "
        "of prompts, on held-out ones."
    )


def _methods(run: Run) -> Iterator[str]:
    few = run["heads_exact"].sizes["example"]
    yield f"Heads, sizes of scores against exact noising on {few} prompts (95 % intervals over heads):\n"
    yield "| method | R² | Spearman | of the top 10 found |\n|---|---|---|---|"
    for name, title in HEADS.items():
        error = run[f"error_{name}"]
        cells = [error["r_squared"], error["spearman"], error["recall"].sel(k=10)]
        yield f"| {title} | {' | '.join(map(_bounded, cells))} |"
    yield "\nEdges into the logits against cutting each one exactly, with signs:\n"
    yield "| method | R² | slope | Spearman | of the top 10 found |\n|---|---|---|---|---|"
    for name, title in (("edges", "EAP-IG, 8 steps"), ("edges_eap", "EAP")):
        error = run[f"error_{name}"]
        cells = [_bounded(error[each]) for each in ("r_squared", "slope", "spearman")]
        yield f"| {title} | {' | '.join(cells)} | {_bounded(error['recall'].sel(k=10))} |"
    for step, title in (("edges", "EAP-IG"), ("edges_eap", "EAP")):
        facts = run.facts(step)
        sample = next((f for f in facts if "against exact patching" in f), "not compared").removeprefix("caveat: ")
        yield f"\nA random sample of all edges, {title}: {sample}."
    gap = next((f for f in run.facts("edges") if "completeness gap" in f), "").removeprefix("caveat: ")
    yield f"\n{gap[:1].upper()}{gap[1:]}."


def _limits(run: Run) -> Iterator[str]:
    for each in run.conclusion.limitations:
        if each.source == "authors":
            yield f"- {each.text}"
    rest = [each for each in run.conclusion.limitations if each.source != "authors"]
    yield f"- {len(rest)} more were measured by the methods and are in the run's report."


def _bounded(value: xr.DataArray) -> str:
    here = {bound: float(value.sel(bound=bound)) for bound in ("value", "low", "high")}
    return f"{here['value']:z.2f} [{here['low']:z.2f}, {here['high']:z.2f}]"


def _short(number: Number) -> str:
    """A number with its interval, or a count alone."""
    if number.value is None:
        return "none"
    if number.value == number.low == number.high:
        return f"{number.value:.3g}"
    return re.sub(r" \([\d.]+ %\), n = \d+$", "", number.text)


def write(name: str, runs: Path) -> None:
    """One page and its pictures."""
    page, run = DOCS / f"{name}.md", Run(runs / name)
    text = page.read_text(encoding="utf-8")
    if START not in text or END not in text:
        raise SystemExit(f"{page} has no {START} … {END}")
    before, after = text.partition(START)[0], text.partition(END)[2]
    draw(run, name)
    page.write_text(f"{before}{START}\n{measured(run, name)}\n{END}{after}", encoding="utf-8")
    print(page)


def main() -> None:
    """Write the pages that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES))
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "circuits")
    options = parser.parse_args()
    for name in options.names:
        write(name, options.runs)


if __name__ == "__main__":
    main()
