"""What an error suggests."""

from __future__ import annotations

from assay.core.errors import nearest


def test_the_nearest_names_come_first() -> None:
    assert nearest("resid_prost", ["attn_out", "resid_pre", "resid_post"]) == " Nearest: resid_post, resid_pre."
    assert nearest("zzz", ["resid_post"]) == nearest("zzz", []) == ""
    assert nearest("layer", ["layers", "layer", "lawyer"], n=1) == " Nearest: layer."


def test_equally_near_names_are_ordered_by_their_beginning_then_as_given() -> None:
    known = ["train-1-ABBA", "train-0-BABA", "train-0-ABBA", "train-2-ABBA"]
    assert nearest("train-0-ABAB", known) == " Nearest: train-0-ABBA, train-0-BABA, train-1-ABBA."
    assert nearest("train-0-ABAB", reversed(known), n=2) == " Nearest: train-0-ABBA, train-0-BABA."
