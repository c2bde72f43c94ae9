"""Circuit methods on the embedded model: what each takes, in seconds and in forward passes, and how near exact patching it is.

    python benchmarks/circuits.py [--pairs 64] [--few 8] [--threads 2] [--clock wall|cpu] [--rows …] [--json results.json]
        [--page docs/benchmarks.md]

Pairs are of the task ioi. A forward pass is one plain native pass of the same prompts, clean and counterfactual, in batches of
16; a method's forward-equivalents are its time over that of such passes. What would take hours is run in part, and the table
says which part: exact edges are those into the logits, learned masks take some steps, ACDC works on the model's first layers.
Estimates are compared with exact scores on the few pairs: heads by size; edges into the logits and into one query half way up
with signs, information flow, which has none, by size. All of it takes about ten minutes on two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from side_by_side.circuit_page import circuits_table
from side_by_side.machine import machine, versions
from side_by_side.page import write_into
from side_by_side.rounds import Clock

import assay
from assay.circuits import (
    acdc,
    atp_star,
    attribution_patching,
    eap,
    eap_ig,
    edge_mask,
    edge_patching,
    information_flow,
    patch,
    run_circuits,
)
from assay.circuits.approximation import approximation_error
from assay.circuits.edge_mask import MaskTraining
from assay.circuits.graph import Graph
from assay.core.protocols import Scores
from assay.data import task
from assay.data.pairs import Pairs
from assay.engine.model import Model

HOW = {"ablation": "counterfactual", "metric": "logit_diff"}
HEADS = {"granularity": "head", "direction": "noise", "metric": "logit_diff"}
BATCH, STEPS, MASK_STEPS, MASK_WHOLE, LAYERS = 16, 8, 10, 300, 3


@dataclass
class Bench:
    """The model, the pairs, the clock, and what was found so far."""

    model: Model
    pairs: Pairs
    few: Pairs
    clock: Clock
    rows: dict[str, dict[str, Any]]
    scores: dict[str, Scores]

    def passes(self, pairs: Pairs) -> None:
        """Plain native passes of all prompts."""
        for group in pairs.by_length().values():
            for ids in (group.clean_tokens, group.corrupt_tokens):
                for some in ids.split(BATCH):
                    with torch.no_grad():
                        self.model.native(input_ids=some, use_cache=False, logits_to_keep=1)

    def row(self, name: str, title: str, pairs: Pairs, work: Callable[[], Any], **more: Any) -> Any:
        """Time one method, between two timings of plain passes of the same prompts."""
        found: list[Any] = []
        before = self.clock.time(lambda: self.passes(pairs))
        seconds = self.clock.time(lambda: found.append(work()))
        plain = statistics.mean([before, self.clock.time(lambda: self.passes(pairs))])
        self.rows[name] = {"title": title, "pairs": len(pairs), "seconds": seconds, "plain": plain, **more}
        print(f"{title:60} {len(pairs):3} pairs  {seconds:8.1f} s  {seconds / plain:8.1f} forward passes", flush=True)
        return found[0]

    def nodes(self) -> None:
        """All heads: exactly, and by estimates."""
        heads = {**HEADS, "ablation": "counterfactual", "check": 0}
        self.scores["heads"] = self.row(
            "heads", "exact patching, every head", self.pairs, lambda: patch(self.model, self.pairs, **HEADS)
        )
        for name, title, method in (
            ("attribution", "attribution patching, every head", attribution_patching),
            ("atp", "AtP* with GradDrop, every head", atp_star),
        ):
            pairs = self.pairs if name == "attribution" else self.few
            self.scores[name] = self.row(name, title, pairs, lambda m=method, p=pairs: m(self.model, p, **heads))

    def edges(self) -> None:
        """All edges by estimates, some exactly."""
        self.scores["eap"] = self.row(
            "eap", "EAP, every edge", self.pairs, lambda: eap(self.model, self.pairs, check=0, **HOW)
        )
        self.scores["eap_ig"] = self.row(
            "eap_ig", f"EAP-IG, {STEPS} steps, every edge", self.pairs,
            lambda: eap_ig(self.model, self.pairs, path="inputs", steps=STEPS, check=0, **HOW),
        )  # fmt: skip
        self.scores["edges"] = self.row(
            "edges", "exact patching, the edges into the logits", self.few,
            lambda: edge_patching(self.model, self.few, receivers="logits", **HOW),
        )  # fmt: skip
        middle = rf"L{self.model.n_layers // 2}\.H0\.q"
        some = self.row(
            "middle", "exact patching, the edges into one query half way up", self.few,
            lambda: edge_patching(self.model, self.few, receivers=middle, **HOW),
        )  # fmt: skip
        self.rows["edges"]["of"], self.rows["middle"]["of"] = len(self.scores["edges"]), len(some)
        logits = self.scores["edges"]
        both = dict(zip(logits.components, logits.values, strict=True)) | dict(
            zip(some.components, some.values, strict=True)
        )
        self.scores["edges"] = Scores.of({name: float(value) for name, value in both.items()}, logits.quantity)
        self.scores["flow"] = self.row(
            "flow",
            "information flow, every edge",
            self.few,
            lambda: information_flow(self.model, self.few, level="edge"),
        )
        graph, best = Graph.of(self.model), self.scores["eap_ig"]
        mask = graph.prune(graph.mask(best.top(graph.edge_count // 100, absolute=True)))
        self.row(
            "circuit", "one circuit of the 1 % best edges, run", self.few,
            lambda: run_circuits(
                self.model, self.few, [mask], graph=graph, ablation=HOW["ablation"], metrics=HOW["metric"]
            ),
        )  # fmt: skip

    def search(self) -> None:
        """Learned masks for some steps; ACDC on the first layers."""
        size = Graph.of(self.model).edge_count // 100
        training = MaskTraining(steps=MASK_STEPS, batch=min(8, len(self.few)))
        self.row(
            "mask", f"learned mask (hard concrete), {MASK_STEPS} steps of {training.batch}", self.few,
            lambda: edge_mask(self.model, self.few, size=size, kind="hard_concrete", training=training, **HOW),
            whole=MASK_WHOLE / MASK_STEPS,
        )  # fmt: skip
        native = copy.deepcopy(self.model.native)
        native.model.layers, native.config.num_hidden_layers = native.model.layers[:LAYERS], LAYERS
        short = assay.load(native, tokenizer=self.model.tokenizer)
        pairs = self.few[:2]
        inner = Bench(short, pairs, pairs, self.clock, self.rows, {})
        gap = run_circuits(short, pairs, [], graph=Graph.of(short), ablation=HOW["ablation"], metrics=HOW["metric"])
        tau = 0.01 * abs(float((gap.whole["logit_diff"] - gap.empty["logit_diff"]).mean()))
        circuit = inner.row(
            "acdc",
            f"ACDC, the first {LAYERS} layers alone",
            pairs,
            lambda: acdc(short, pairs, tau=tau, absolute=True, **HOW),
        )
        self.rows["acdc"] |= {"of": circuit.graph.edge_count, "left": circuit.edge_count}


def on_few(bench: Bench) -> dict[str, Scores]:
    """Exact scores and estimates of the few pairs, so that only the method differs."""
    model, few, found = bench.model, bench.few, dict(bench.scores)
    heads = {**HEADS, "ablation": "counterfactual", "check": 0}
    if "heads" in found:
        whole = found["heads"]
        assert whole.per_example is not None  # exact patching keeps them
        rows = whole.per_example[:, : len(few)]
        found["heads"] = Scores.over_examples(whole.components, rows, whole.quantity)
        found["attribution"] = attribution_patching(model, few, **heads)
    if "eap" in found:
        found["eap"] = eap(model, few, check=0, **HOW)
        found["eap_ig"] = eap_ig(model, few, path="inputs", steps=STEPS, check=0, **HOW)
    return found


def agreement(scores: dict[str, Scores]) -> dict[str, dict[str, str]]:
    """Estimates against exact scores of the same parts on the same prompts."""
    found = {}
    for name, exact, absolute in (
        ("attribution", "heads", True), ("atp", "heads", True), ("eap", "edges", False), ("eap_ig", "edges", False),
        ("flow", "edges", True),
    ):  # fmt: skip
        if name in scores and exact in scores:
            error = approximation_error(scores[name], scores[exact], absolute=absolute, at=(10,))
            found[name] = {
                key: f"{each.value:z.2f} [{each.low:z.2f}, {each.high:z.2f}]"
                for key, each in (("r2", error.r_squared), ("spearman", error.spearman), ("recall", error.recall[10]))
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--few", type=int, default=8, help="pairs for what is slow")
    parser.add_argument("--rows", nargs="*", choices=["nodes", "edges", "search"], default=["nodes", "edges", "search"])
    parser.add_argument("--threads", type=int, default=min(2, torch.get_num_threads()))
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="put the table into this page")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = assay.load()
    edges = Graph.of(model).edge_count
    print(f"{edges:,} edges, keys and values counted for each query head")
    pairs = task("ioi", n=options.pairs, seed=0, split="train", variant="swap", tokenizer=model)
    bench = Bench(model, pairs, pairs[: options.few], Clock(options.clock), {}, {})
    before = machine()
    for name in options.rows:
        getattr(bench, name)()
    result = {
        "machine": {**before, "load_1_min_after": machine()["load_1_min"]}, "clock": options.clock, "edges": edges,
        "rows": bench.rows, "agreement": agreement(on_few(bench)), "versions": versions("torch", "transformers"),
        "lengths": sorted(set(pairs.lengths)),
    }  # fmt: skip
    print(circuits_table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.page:
        write_into(options.page, circuits_table(result), "circuits")


if __name__ == "__main__":
    main()
