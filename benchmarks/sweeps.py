"""Sweeps of patches side by side: assay's schedule, loops and batches of hooks by hand, and the other libraries.

    .venv-peers/bin/python benchmarks/sweeps.py [--rounds 2] [--cells 12] [--pairs 32] [--threads 2] [--rows a b …]
        [--no-growth | --growth] [--json results.json] [--page docs/benchmarks.md] [--from results.json]

The rows: patches of the residual stream, of heads, of MLP and attention outputs, path patching, attribution patching,
steered generation, and one edit on one prompt. Each tool has a process of its own, with its own imports and its own copy of
the model; they are asked one after the other, so that one works while the others wait. In every round each tool runs once, in a
new order; shown are medians. assay runs all of a row. The others run one pass for each cell, whatever the cell, so they run
`--cells` of them, spread over the grid, and their time is scaled to the whole; where this was done the table says so. Before
anything is timed, every tool's numbers at sampled cells are compared with those of assay's naive engine, which has a process of
its own too: a tool whose numbers differ is left out of the row, and the page says so. The model is the embedded one in float32.

`--growth` measures how assay's cost grows with layers, positions, prompts and variants; without `--rows` it is done anyway.
`--from` writes the page and its pictures again from stored results. `--json` is written after every row.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from side_by_side.agree import Differs, agreed
from side_by_side.page import write_into
from side_by_side.sweep_page import growth_text, sweep_table
from side_by_side.talk import Worker, WorkerError

HERE = Path(__file__).parent
TOOLS = ("loop by hand", "batches by hand", "TransformerLens", "nnsight", "nnsight, invokes", "pyvene")
PAUSE = 0.3  # seconds before a measurement: the threads of the tool before have gone to sleep
Result = dict[str, Any]


class Benchmark:
    """The tools' processes, and what they found so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.order = random.Random(0)
        self.workers: dict[str, Worker] = {}
        self.rows_of: dict[str, list[str]] = {}
        self.result: Result = {
            "clock": options.clock,
            "rounds": options.rounds,
            "rows": {},
            "one_edit": {},
            "growth": {},
        }

    def start(self, name: str) -> Worker | None:
        """A worker that has loaded the model; None where the library is not installed."""
        env = {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": str(self.options.threads), "HF_HUB_OFFLINE": "1"}
        worker = Worker(name, [sys.executable, "-m", "side_by_side.worker", name], env=env)
        given = {n: v for n, v in vars(self.options).items() if not isinstance(v, Path)}
        answer = worker.ask("start", options=given)
        if "absent" in answer:
            print(f"{name} is not installed: {answer['absent']}", flush=True)
            worker.close()
            return None
        self.workers[name], self.rows_of[name] = worker, answer["rows"]
        return worker

    def close(self, names: Iterable[str]) -> None:
        for name in list(names):
            self.workers.pop(name).close()

    def run(self) -> Result:
        """All rows, then growth."""
        started = time.perf_counter()
        naive = self.start("naive")
        assert naive is not None  # it needs nothing but assay
        about = naive.ask("about")
        self.result |= {"machine": about["machine"], "versions": about["versions"], "tokens": about["tokens"]}
        names = [name for name in self.rows_of["naive"] if self.asked(name)]
        wanted = {name: naive.ask("numbers", row=name)["numbers"] for name in names}
        self.close(["naive"])
        for name in ("assay", *(self.options.tools if names else ())):
            self.start(name)
        for name in names:
            if name == "h":
                self.result["one_edit"] = self.latency(wanted["h"])
            else:
                self.result["rows"][name] = self.row(name, {**about["rows"][name]}, wanted[name])
            self.keep()
        self.close([name for name in self.workers if name != "assay"])
        if self.options.growth:
            self.result["growth"] = self.growth()
        self.close(["assay"])
        self.result["machine"]["load_1_min_after"] = round(os.getloadavg()[0], 1)
        self.result["minutes"] = (time.perf_counter() - started) / 60
        self.keep()
        return self.result

    def asked(self, name: str) -> bool:
        """Whether a row is wanted, by its letter or by its whole name."""
        rows = self.options.rows
        return rows is None or name[0] in rows or name in rows

    def row(self, name: str, about: Result, wanted: Result) -> Result:
        """One row: every tool checked, then timed in rounds."""
        errors, out = self.checked(name, wanted)
        answers = self.interleaved(list(errors), lambda tool: self.workers[tool].ask("time", row=name), out)
        found = {
            **about, "errors": {t: errors[t] for t in answers}, "out": out,
            "seconds": {t: spread([a["seconds"] for a in given]) for t, given in answers.items()},
            "grown_bytes": {t: max(a["grown_bytes"] for a in given) for t, given in answers.items()},
            "ran": {t: given[0]["ran"] for t, given in answers.items() if given[0]["ran"] is not None},
        }  # fmt: skip
        found["gemm_peaks"] = [given["gemm_peak"] for given in answers["assay"]]
        told = ("token_layers", "flops", "least_flops", "peak_bytes", "facts")
        found |= {key: answers["assay"][0][key] for key in told if key in answers["assay"][0]}
        print(f"{name:<3}" + "  ".join(f"{t} {s['median']:.2f} s" for t, s in found["seconds"].items()), flush=True)
        return found

    def latency(self, wanted: Result) -> Result:
        """One edit on one prompt, as multiples of plain passes in the same process."""
        errors, out = self.checked("h", wanted)
        count = self.options.latency_rounds
        answers = self.interleaved(list(errors), lambda tool: self.workers[tool].ask("latency", count=count), out)
        found = {t: {"ratios": [r for a in given for r in a["ratios"]]} for t, given in answers.items()}
        plain = [ratio for given in answers.values() for answer in given for ratio in answer["plain"]]
        return {"plain again": {"ratios": plain}, **found}

    def checked(self, name: str, wanted: Result) -> tuple[dict[str, float], dict[str, str]]:
        """The tools that find what the naive engine finds, with their errors; and why others are out. assay must."""
        errors, out = {}, {}
        for tool in [tool for tool in self.workers if name in self.rows_of[tool]]:
            try:
                errors[tool] = agreed(self.workers[tool].ask("numbers", row=name)["numbers"], wanted)
            except (WorkerError, Differs) as error:
                self.leave_out(name, tool, error, out)
        return errors, out

    def leave_out(self, name: str, tool: str, error: Exception, out: dict[str, str]) -> None:
        if tool == "assay":
            raise error
        out[tool] = str(error)
        print(f"{name}: {tool} is left out: {error}", flush=True)

    def interleaved(
        self, names: list[str], work: Callable[[str], Result], out: dict[str, str] | None = None
    ) -> dict[str, list[Result]]:
        """Each once in every round, in a new order; without those that fail, where `out` takes the reason."""
        found: dict[str, list[Result]] = {name: [] for name in names}
        for _ in range(self.options.rounds):
            for name in self.order.sample(list(found), len(found)):
                time.sleep(PAUSE)
                try:
                    found[name].append(work(name))
                except WorkerError as error:
                    if out is None:
                        raise
                    self.leave_out("timing", name, error, out)
                    del found[name]
        return found

    def growth(self) -> Result:
        """Every point of every axis once in each round, in a new order."""
        axes = self.workers["assay"].ask("axes")["axes"]
        points = {f"{axis} {value}": (axis, value) for axis, about in axes.items() for value in about["values"]}
        asked = lambda name: self.workers["assay"].ask("grow", axis=points[name][0], value=points[name][1])  # noqa: E731
        answers = self.interleaved(list(points), asked)
        for axis, about in axes.items():
            given = [answers[f"{axis} {value}"] for value in about["values"]]
            about["seconds"] = [statistics.median(a["seconds"] for a in each) for each in given]
            about["token_layers"] = [each[0]["token_layers"] for each in given]
            about["flops"] = [each[0]["flops"] for each in given]
            print(
                f"{axis:<14}"
                + "  ".join(f"{v}: {s:.2f} s" for v, s in zip(about["values"], about["seconds"], strict=True))
            )
        return dict(axes)

    def keep(self) -> None:
        if self.options.json:
            self.options.json.write_text(json.dumps(self.result, indent=1) + "\n", encoding="utf-8")


def spread(seconds: list[float]) -> Result:
    return {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds), "all": seconds}


def write_page(page: Path, result: Mapping[str, Any]) -> None:
    """The tables into the page, and the pictures beside it."""
    from side_by_side.sweep_pictures import growth_picture, ratio_picture

    images = page.parent / "images"
    if result["rows"]:
        (images / "sweep-ratios.svg").write_text(str(ratio_picture(result)) + "\n", encoding="utf-8")
        write_into(page, sweep_table(result), "sweeps")
    if result["growth"]:
        (images / "sweep-growth.svg").write_text(str(growth_picture(result["growth"])) + "\n", encoding="utf-8")
        write_into(page, growth_text(result["growth"]), "growth")


def options_of(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--latency-rounds", type=int, default=15, help="edits in each round of the row that times one edit"
    )
    parser.add_argument("--cells", type=int, default=12, help="cells of a row that a tool with one pass a cell runs")
    parser.add_argument("--pairs", type=int, default=32, help="prompt pairs in row a″; 1 leaves the row out")
    parser.add_argument(
        "--model", help="another model of the Llama family, a folder or a hub name; not the embedded one"
    )
    parser.add_argument("--layers", type=int, help="only sweep the first so many layers")
    parser.add_argument("--senders", nargs="*", default=["8.4", "20.0"], help="heads for path patching, LAYER.HEAD")
    parser.add_argument("--rows", nargs="*", help="only these: a b c d e g h, or one such as a″; none, with --growth")
    parser.add_argument("--tools", nargs="*", choices=TOOLS, default=list(TOOLS), help="what assay is compared with")
    parser.add_argument("--variants", type=int, default=64, help="steering: strengths × prompts")
    parser.add_argument("--tokens", type=int, default=40, help="steering: tokens that each variant generates")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--growth", action=argparse.BooleanOptionalAction, help="whether growth is measured")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="put the tables into this page, and pictures into images/ beside it")
    parser.add_argument("--from", type=Path, dest="stored", help="measure nothing: take the results of this file")
    options = parser.parse_args(given)
    options.senders = [[int(n) for n in name.split(".")] for name in options.senders]
    options.growth = options.rows is None if options.growth is None else options.growth
    return options


def main() -> None:
    options = options_of()
    result = json.loads(options.stored.read_text(encoding="utf-8")) if options.stored else Benchmark(options).run()
    print(sweep_table(result) if result["rows"] else "")
    print(growth_text(result["growth"]) if result["growth"] else "")
    if options.page:
        write_page(options.page, result)


if __name__ == "__main__":
    main()
