"""What each planted situation is for: one measurement of each, as plain numbers, from one seed.

The page shows their means over seeds; the tests check what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from tests.truth import exact
from tests.truth.checks import SHOWS, effect
from tests.truth.contestants import METRIC, scored, settings

from assay.circuits import (
    Graph,
    ablate,
    ablate_set,
    atp_star,
    attribution_patching,
    circuit_curves,
    eap,
    eap_ig,
    edge_patching,
    run_circuits,
    shapley_values,
)
from assay.training.planted import situation
from assay.training.planted.induction import GAINS

N = 8
"""Pairs of prompts."""
CF = "counterfactual"
RIGHT = "mean everywhere"
QK = ("embed->L1.H0.q", "L0.H0->L1.H0.k")
"""The edges of the induction circuit that decide where the head looks."""
Numbers = Mapping[str, float]


def saturation(seed: int) -> Numbers:
    """What edge methods see of the induction head's query and key edges, as a share of what they really do; and how many
    of the two are among the five highest scores (the circuit has five edges)."""
    rows: dict[str, float] = {}
    for gain in GAINS:
        planted = situation(f"induction, gain {gain:g}", seed=seed, n=N)
        real = edge_patching(planted.model, planted.pairs, **settings(CF))
        scores = {
            "EAP": eap(planted.model, planted.pairs, **settings(CF), check=0),
            "EAP-IG, 8 steps": eap_ig(planted.model, planted.pairs, **settings(CF), path="inputs", steps=8, check=0),
            "EAP-IG, 64 steps": eap_ig(planted.model, planted.pairs, **settings(CF), path="inputs", steps=64, check=0),
            "exact": real,
        }
        for name, each in scores.items():
            top = each.top(len(planted.truth(CF).edges), absolute=True)
            rows[f"{name}, gain {gain:g}: share"] = sum(each[edge] for edge in QK) / sum(real[edge] for edge in QK)
            rows[f"{name}, gain {gain:g}: found"] = sum(edge in top for edge in QK)
    return rows


def softmax(seed: int) -> Numbers:
    """The same for queries and keys as nodes: attribution patching without and with the softmax computed exactly."""
    rows: dict[str, float] = {}
    for gain in GAINS:
        planted = situation(f"induction, gain {gain:g}", seed=seed, n=N)
        for slot in "qk":
            asked = {"granularity": slot, **settings(CF)}
            real = ablate(planted.model, planted.pairs, **asked)[f"L1.H0.{slot}"]
            first = {"direction": "noise", "check": 0}
            plain = attribution_patching(planted.model, planted.pairs, **asked, **first)[f"L1.H0.{slot}"]
            fixed = atp_star(planted.model, planted.pairs, **asked, **first, grad_drop=False)[f"L1.H0.{slot}"]
            rows |= {f"AtP, {slot}, gain {gain:g}": plain / real, f"QK fix, {slot}, gain {gain:g}": fixed / real}
    return rows


def cancellation(seed: int) -> Numbers:
    """The head whose direct and indirect effects have opposite slopes."""
    planted = situation("cancelling paths", seed=seed, n=N)
    asked = {"granularity": "head", **settings(CF)}
    first = {"direction": "noise", "check": 0}
    scores = {
        "exact ablation": ablate(planted.model, planted.pairs, **asked),
        "AtP": attribution_patching(planted.model, planted.pairs, **asked, **first),
        "AtP with GradDrop": atp_star(planted.model, planted.pairs, **asked, **first, qk_fix=False),
    }
    return {name: each["L0.H0"] for name, each in scores.items()}


def redundancy(seed: int) -> Numbers:
    """The OR: what one head loses, what both lose, and what each is due."""
    planted = situation("redundant pair", seed=seed, n=N)
    pair = ("L0.H0", "L0.H1")
    lost = ablate_set(planted.model, planted.pairs, parts=pair, **settings(CF)).data
    due = shapley_values(planted.model, planted.pairs, nodes=pair, **settings(CF))
    steep = eap_ig(planted.model, planted.pairs, **settings(CF), path="inputs", steps=8, check=0)
    return {
        "one alone": float(lost["single"].mean("example").sel(component="L0.H0")),
        "both": float(lost["joint"].mean()),
        "Shapley value of each": due["L0.H0"],
        "EAP of L0.H0->L0.mlp": eap(planted.model, planted.pairs, **settings(CF), check=0)["L0.H0->L0.mlp"],
        "EAP-IG of L0.H0->L0.mlp": steep["L0.H0->L0.mlp"],
    }


def negative(seed: int) -> Numbers:
    """Areas of circuits that keep or leave out the head that works against the behaviour."""
    planted = situation("negative head", seed=seed, n=N)
    scores = edge_patching(planted.model, planted.pairs, **settings(CF))
    curves = circuit_curves(planted.model, planted.pairs, scores=scores, **settings(CF), random_circuits=0).data
    areas = curves["summary"].sel(bound="value")
    chosen = {"signed: leaves it out": "signed", "by size: keeps it": "absolute"}
    return {
        f"{told}, {area.upper()}": float(areas.sel(ranking=ranking, quantity=area))
        for told, ranking in chosen.items()
        for area in ("cpr", "cmd")
    } | {"most recovered": float(curves["recovered"].sel(bound="value", ranking="signed").max())}


def chance(seed: int) -> Numbers:
    """Areas of random circuits where nothing is recovered until everything is there."""
    planted = situation("all or nothing", seed=seed, n=N)
    scores = edge_patching(planted.model, planted.pairs, **settings(CF))
    curves = circuit_curves(planted.model, planted.pairs, scores=scores, **settings(CF), random_circuits=10).data
    random = [name for name in curves["ranking"].values if str(name).startswith("random")]
    areas = curves["summary"].sel(bound="value", ranking=random).mean("ranking")
    own = curves["summary"].sel(bound="value", ranking="absolute")
    return {
        **{f"random, {area.upper()}": float(areas.sel(quantity=area)) for area in ("cpr", "cmd")},
        **{f"exact edge patching, {area.upper()}": float(own.sel(quantity=area)) for area in ("cpr", "cmd")},
    }


def two_truths(seed: int) -> Numbers:
    """What the circuit that is true under one ablation recovers under the other; and what scores made under one say of the
    other's truth (AUROC)."""
    rows: dict[str, float] = {}
    for name in ("reverse", "fraction of previous", "sort", "indirect object"):
        planted = situation(name, seed=seed, n=N)
        graph = Graph.of(planted.model)
        for under, other in (("zero", "resample"), ("resample", "zero")):
            circuit = planted.truth(other).edges
            mask = np.zeros(graph.allowed.shape, dtype=bool)
            mask[tuple(np.array([graph.index(edge) for edge in circuit]).T)] = True
            runs = run_circuits(planted.model, planted.pairs, [mask], graph=graph, ablation=under, metrics=METRIC)
            kept, whole, empty = (float(each[METRIC].mean()) for each in (runs.values, runs.whole, runs.empty))
            scores = edge_patching(planted.model, planted.pairs, **settings(under))
            rows |= {
                f"{name}: edges under {under}": len(planted.truth(under).edges),
                f"{name}: {other}'s circuit under {under}": (kept - empty) / (whole - empty),
                f"{name}: {under} scores, {other}'s truth": scored(scores, circuit).auroc,
            }
    return rows


def wrong_mean(seed: int) -> Numbers:
    """EAP with the mean ablation, with its mean estimated as it should be and as it often is.

    Right: for each part, over all positions of all prompts. Wrong, as in a library in wide use: the last position's value
    divided by the prompt's length, averaged over prompts *and over parts*, so that every part gets the same vector. Both are
    held against the edges that do something when they are cut with the right mean, exactly.
    """
    rows: dict[str, float] = {}
    for name in ("constant heads", "negative head", "induction, gain 1"):
        planted = situation(name, seed=seed, n=N)
        sent = exact.senders(planted.model.native, planted.pairs.corrupt_tokens)
        right = exact.ablated_values(planted, RIGHT)
        wrong = (sent[:, :, -1] / sent.shape[2]).mean((0, 1))[None, None, None].expand_as(sent)
        edges = exact.Parts.of(planted.model.native).edges
        whole = exact.logit_diffs(planted, [edges], RIGHT)
        moved = (exact.without(planted, [[edge] for edge in edges], RIGHT) - whole).abs().mean(1)
        truth = {edge for edge, each in zip(edges, moved, strict=True) if each >= SHOWS * effect(planted, RIGHT)}
        for kind, values in (("right", right), ("wrong", wrong)):
            each = scored(exact.slopes(planted, values), frozenset(truth))
            rows |= {f"{name}: {kind}, AUROC": each.auroc, f"{name}: {kind}, AP": each.average_precision}
        packaged = eap(planted.model, planted.pairs, ablation="mean", metric=METRIC, check=0)
        rows[f"{name}: eap, AUROC"] = scored(packaged, frozenset(truth)).auroc
    return rows


STORIES: Mapping[str, Callable[[int], Numbers]] = {
    story.__name__: story
    for story in (saturation, softmax, cancellation, redundancy, negative, chance, two_truths, wrong_mean)
}
