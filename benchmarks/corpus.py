"""Capturing a corpus, as a multiple of a plain forward pass that ends after the last layer that is needed.

    python benchmarks/corpus.py [--tokens 200000] [--chunk 4096] [--context 256] [--threads 2] [--tools assay nnsight …]
        [--rows "after every layer" …] [--and earlier.json …] [--json results.json]

The rows: the residual stream after every layer, and after the middle one alone; then the first again for documents of
unequal length, a sixteenth of `--context` to all of it, each length as likely. What is captured is added up to a mean
for each site. The corpus is cut into chunks; in every round each library runs one, in a new order, and is compared with
plain passes before and after it. So the ratios are of the same moment, whatever else the machine does. The model is the
embedded one in float32. Before anything is timed, the means that all libraries find are compared.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from side_by_side.contestants import quiet
from side_by_side.corpora import Corpus, contestants, plain
from side_by_side.machine import machine, versions
from side_by_side.page import corpus_table, write_into
from side_by_side.rounds import Clock, measure

import assay

TOOLS = ("assay", "hooks by hand", "nnsight", "TransformerLens")
TOLERANCE = 1e-4  # of each mean's largest entry: TransformerLens uses another attention kernel


@dataclass(frozen=True)
class Row:
    """After which layers, and whether documents differ in length."""

    layers: list[int]
    ragged: bool = False


def same(works: dict[str, Any]) -> None:
    """Stop if a rival's means are not assay's."""
    reference = works["assay"]()
    for rival, work in works.items():
        found = work()
        for site, value in reference.items():
            difference = float((found[site] - value).abs().max() / value.abs().max())
            assert difference < TOLERANCE, f"{rival}, {site}: {difference:.1e} from assay"


def drawn(native: Any, options: argparse.Namespace, *, ragged: bool) -> Corpus:
    """A chunk of documents of random tokens."""
    draw = torch.Generator().manual_seed(0)
    documents: list[tuple[int, ...]] = []
    while sum(map(len, documents)) < options.chunk:
        length = options.context
        if ragged:
            length = int(torch.randint(options.context // 16, options.context + 1, (1,), generator=draw))
        documents.append(tuple(torch.randint(0, native.config.vocab_size, (length,), generator=draw).tolist()))
    return Corpus(tuple(documents), options.batch)


def compare(native: Any, row: Row, options: argparse.Namespace) -> dict[str, Any]:
    """All libraries on one row."""
    corpus = drawn(native, options, ragged=row.ragged)
    works = {name: work for name, work in contestants(native, corpus, row.layers).items() if name in options.tools}
    same(works)
    rounds = max(1, options.tokens // corpus.tokens)
    timed = measure(plain(native, corpus, row.layers), works, rounds=rounds, clock=Clock(options.clock))
    return {"tokens": corpus.tokens, "rounds": rounds, "timings": {name: asdict(t) for name, t in timed.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=200_000)
    parser.add_argument("--chunk", type=int, default=4096, help="tokens of one round")
    parser.add_argument("--context", type=int, default=256, help="tokens of a document")
    parser.add_argument("--batch", type=int, default=8, help="documents in one pass")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--tools", nargs="*", choices=TOOLS, default=list(TOOLS), help="what is timed beside plain passes"
    )
    parser.add_argument("--rows", nargs="*", help="only these, by their whole title")
    parser.add_argument(
        "--and", type=Path, nargs="*", default=[], dest="earlier", help="with the rows of these results too"
    )
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="put the table into this page")
    options = parser.parse_args()
    options.chunk = min(options.chunk, options.tokens)
    torch.set_num_threads(options.threads)
    quiet()
    native: Any = assay.load().native
    depth = native.config.num_hidden_layers
    before = machine()
    every = list(range(depth))
    rows = {
        "after every layer": Row(every),
        "after the middle layer": Row([depth // 2]),
        "after every layer, documents of unequal length": Row(every, ragged=True),
    }
    wanted = {title: row for title, row in rows.items() if options.rows is None or title in options.rows}
    found = {title: compare(native, row, options) for title, row in wanted.items()}
    earlier = [json.loads(path.read_text(encoding="utf-8"))["rows"] for path in options.earlier]
    known = {title: row for them in earlier for title, row in them.items()} | found
    result = {
        "machine": {**before, "load_1_min_after": machine()["load_1_min"]}, "clock": options.clock,
        "tokens": options.tokens, "context": options.context, "batch": options.batch,
        "versions": versions("torch", "transformers", "transformer-lens", "nnsight"),
        "rows": {title: known[title] for title in rows if title in known},
    }  # fmt: skip
    print(corpus_table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.page:
        write_into(options.page, corpus_table(result), "corpus")


if __name__ == "__main__":
    main()
