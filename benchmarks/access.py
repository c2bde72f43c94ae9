"""What looking inside and changing something costs, as a multiple of one plain forward pass of the same model.

    python benchmarks/access.py [--rounds 15] [--threads 2] [--shapes "1 × 16 tokens" …] [--rows "one site" …]
        [--and earlier.json …] [--json results.json] [--page docs/benchmarks.md]

The rows: one site captured, the residual stream after every layer, everything (15 tensors in each layer, attention
patterns among them), and one edit, all with the logits of every position; then one site and nothing else, and how far an
edit moves two tokens apart, where each library may leave out what nobody asked for. In assay, with hooks by hand (the
floor), and in each other library that is installed (`make peers`). The model is the embedded one, and once a narrow one of
random weights, in which what a library adds of its own is not lost in the noise of matrix products. Before anything is
timed, every library's tensors are compared with assay's: a rival that computes something else is an error, not a row.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from side_by_side.contestants import contestants, quiet
from side_by_side.machine import machine, versions
from side_by_side.page import table, write_into
from side_by_side.rounds import Clock, measure

import assay

NARROW = "1 × 16 tokens, a sixteenth as wide"
SHAPES = {"1 × 16 tokens": (1, 16), "8 × 64 tokens": (8, 64), NARROW: (1, 16)}
ROWS = ("one site", "residual stream", "everything", "one edit", "one site alone", "effect of one edit")
TARGETS = {"one site": 1.05, "residual stream": 1.15}
TOLERANCE = 1e-4  # of each tensor's largest entry: some rivals use another attention kernel


def narrow(native: Any) -> Any:
    """As many layers and heads, a sixteenth as wide: almost all of a pass is Python's time, and so is what libraries add."""
    config = copy.deepcopy(native.config)
    config.head_dim //= 16
    config.hidden_size, config.intermediate_size = config.hidden_size // 16, config.intermediate_size // 16
    torch.manual_seed(0)
    return type(native)._from_config(config).eval()


def same(rows: dict[str, Any], name: str) -> None:
    """Stop if a rival's tensors are not assay's."""
    reference = rows["assay"][name]()
    for rival, works in rows.items():
        if name not in works:
            continue
        found = works[name]()
        missing = sorted(reference.keys() - found.keys())
        assert not missing, f"{rival} has no {missing[:3]}"
        for site, value in reference.items():
            difference = float((found[site].reshape(value.shape) - value).abs().max() / value.abs().max())
            assert difference < TOLERANCE, f"{rival}, {name}, {site}: {difference:.1e} from assay"


def compare(native: torch.nn.Module, shape: tuple[int, int], options: argparse.Namespace) -> dict[str, Any]:
    """All rows for prompts of one shape."""
    ids = torch.randint(0, native.config.vocab_size, shape, generator=torch.Generator().manual_seed(0))
    rows = contestants(native, ids)
    found: dict[str, Any] = {}
    for name in options.rows:
        same(rows, name)
        rivals = {rival: works[name] for rival, works in rows.items() if name in works}
        timed = measure(
            lambda: native(input_ids=ids, use_cache=False), rivals, rounds=options.rounds, clock=Clock(options.clock)
        )
        found[name] = {"rounds": options.rounds, "timings": {rival: asdict(timing) for rival, timing in timed.items()}}
        print(f"  {name:<16}" + "  ".join(f"{rival} {t.ratio:.3f}" for rival, t in timed.items()), flush=True)
    return found


def merged(measured: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Rows by shape, the last measurement of each."""
    known = {(shape, name): row for shapes in measured for shape, rows in shapes.items() for name, row in rows.items()}
    return {
        shape: {name: known[shape, name] for name in ROWS if (shape, name) in known}
        for shape in SHAPES
        if any((shape, name) in known for name in ROWS)
    }


def loading() -> dict[str, float]:
    """Seconds for the embedded model, twice: the second load finds everything in the system's file cache."""
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        assay.load()
        seconds.append(time.perf_counter() - start)
    return {"first": seconds[0], "second": seconds[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument(
        "--and",
        type=Path,
        nargs="*",
        default=[],
        dest="earlier",
        help="with the rows of these results that are not measured",
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="put the table into this page")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    quiet()
    loads = loading()
    native = assay.load().native
    result = {
        "machine": machine(), "clock": options.clock, "load_seconds": loads,
        "versions": versions("torch", "transformers", "transformer-lens", "nnsight", "pyvene"),
        "shapes": {},
    }  # fmt: skip
    for title in options.shapes:
        shape = SHAPES[title]
        print(title, flush=True)
        result["shapes"][title] = compare(narrow(native) if title == NARROW else native, shape, options)
    result["machine"]["load_1_min_after"] = machine()["load_1_min"]
    earlier = [json.loads(path.read_text(encoding="utf-8"))["shapes"] for path in options.earlier]
    result["shapes"] = merged([*earlier, result["shapes"]])
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.page:
        write_into(options.page, table(result), "access")


if __name__ == "__main__":
    main()
