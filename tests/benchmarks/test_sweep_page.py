"""The page of the sweeps: which peer counts, what is met and what missed, what was left out, and pictures that are SVG."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from side_by_side.sweep_page import growth_text, sweep_table
from side_by_side.sweep_pictures import growth_picture, ratio_picture
from side_by_side.targets import better, ratios, verdicts


def timed(*seconds: float) -> dict[str, Any]:
    return {"median": sum(seconds) / len(seconds), "least": min(seconds), "most": max(seconds), "all": list(seconds)}


def row(**tools: dict[str, Any]) -> dict[str, Any]:
    names = {"lens": "TransformerLens", "loop": "nnsight", "invokes": "nnsight, invokes", "hooks": "loop by hand"}
    seconds = {names.get(name, name): value for name, value in tools.items()}
    return {
        "title": "a row", "cells": 420, "examples": 1, "seconds": seconds, "errors": dict.fromkeys(seconds, 1e-6), "out": {},
        "ran": {name: 12 for name in seconds if name != "assay"}, "grown_bytes": dict.fromkeys(seconds, 3 * 2**20),
        "gemm_peaks": [2e9] * len(seconds.get("assay", {"all": []})["all"]),
        "token_layers": 7515, "flops": 1.05e9, "least_flops": 1e9, "peak_bytes": 2**25, "facts": [],
    }  # fmt: skip


@pytest.fixture
def result() -> dict[str, Any]:
    return {
        "machine": {"cores": 2, "processor": "x86_64", "threads": 2, "load_1_min": 0.1, "load_1_min_after": 1.9},
        "clock": "wall", "rounds": 2, "tokens": 14, "versions": {"torch": "2.13.0"}, "growth": {},
        "rows": {
            "a": row(assay=timed(0.7, 0.9), lens=timed(56.0, 60.0), loop=timed(50.0, 54.0), invokes=timed(9.0, 11.0),
                     hooks=timed(1.0, 1.0)),
            "a′": row(assay=timed(1.0, 1.0), lens=timed(25.0, 25.0), loop=timed(20.0, 20.0)),
            "c": {**row(assay=timed(0.5, 0.5)), "flops": 1.12e9},
        },
        "one_edit": {"plain again": {"ratios": [1.0, 1.01]}, "assay": {"ratios": [1.0, 1.04, 1.2]}},
    }  # fmt: skip


def test_the_faster_peer_counts_and_no_tool_by_hand(result: dict[str, Any]) -> None:
    assert better(result["rows"]["a"]["seconds"]) == "nnsight"  # not its batches, which have no target
    assert better(result["rows"]["a′"]["seconds"]) == "nnsight"
    assert better(result["rows"]["c"]["seconds"]) is None


def test_ratios_are_of_medians_with_the_range_of_rounds(result: dict[str, Any]) -> None:
    assert ratios(result["rows"]["a"], "nnsight, invokes") == pytest.approx((10 / 0.8, 11 / 0.9, 9 / 0.7))


def test_targets_are_met_or_missed(result: dict[str, Any]) -> None:
    words = {v.what: v.word for v in verdicts(result)}
    assert words == {
        "a: faster than nnsight": "met",  # 65 of 60
        "a: beside nnsight, invokes": "–",
        "a′: faster than nnsight": "met",  # 20 of 18
        "c: faster": "–",
        "h: one edit, of a plain pass": "met",  # the median: 1.04
        "operations, of the least": "**missed**",  # 1.12 in row c
        "share of the matrix peak": "**missed**",  # 1.05e9 in 0.8 s of 2e9
    }


def test_a_target_flips_with_its_number(result: dict[str, Any]) -> None:
    result["rows"]["c"]["flops"] = 1.1e9
    result["rows"]["a′"]["seconds"]["nnsight"] = timed(17.9, 17.9)
    result["one_edit"]["assay"]["ratios"] = [1.06]
    words = {v.what: v.word for v in verdicts(result)}
    assert words["operations, of the least"] == "met"
    assert words["a′: faster than nnsight"] == words["h: one edit, of a plain pass"] == "**missed**"


def test_page_says_what_was_left_out_and_scaled(result: dict[str, Any]) -> None:
    result["rows"]["a"]["out"] = {"pyvene": "differs from assay's naive engine by 3.0e-01"}
    text = sweep_table(result)
    assert "Left out: pyvene in row a (differs from assay's naive engine by 3.0e-01)." in text
    assert "| a: a row | 420 | 0.80 s | 58.00 s\\* (72.5)" in text
    assert "| a | 3 | 3 | 3 | 3 | 3 |" in text, "memory of each tool, in MiB"


def test_tables_are_rectangular(result: dict[str, Any]) -> None:
    text = sweep_table(result) + growth_text(axes())
    for block in text.split("\n\n"):
        rows = [line.count("|") for line in block.splitlines() if line.startswith("|")]
        assert len(set(rows)) <= 1, block


def axes() -> dict[str, Any]:
    values = [1, 2, 4, 8]
    axis = lambda power: {
        "title": f"things to the {power}", "values": values, "seconds": [0.1 * v**power for v in values],
        "token_layers": [10 * v**power for v in values], "flops": [1e6 * v**power for v in values],
    }  # fmt: skip
    return {"one": axis(1), "two": axis(2)}


def test_growth_is_told_from_the_numbers() -> None:
    text = growth_text(axes())
    assert (
        "Operations grow linearly with things to the 1; with things to the 2 they have a quadratic part (100 % of them)"
        in text
    )
    assert "| things to the 2 | 1 | 8 | 0.10 to 6.40 | x^2.00 | x^2.00 | x^2.00 | 0 % | 100 % |" in text


def test_pictures_are_whole(result: dict[str, Any]) -> None:
    bars, panels = (ElementTree.fromstring(str(p)) for p in (ratio_picture(result), growth_picture(axes())))
    space = "{http://www.w3.org/2000/svg}"
    tools = sum(len(each["seconds"]) - 1 for each in result["rows"].values())
    filled = [r for r in bars.iter(f"{space}rect") if r.get("fill") not in ("#ffffff",)]
    assert len(filled) == tools + 4, "a bar for each tool in each row, and four in the legend"
    assert len(list(panels.iter(f"{space}circle"))) == 8
