"""Colours: what is written can be read, and lines are told apart by colour-blind readers, in light and in dark."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

from assay.studies.report.page import style
from assay.studies.report.palette import TRACKS

# Machado, Oliveira & Fernandes 2009, severity 1: what is left of linear RGB
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TEXTS = [("fg", "bg"), ("dim", "bg"), ("dim", "card"), ("fg", "soft"), ("link", "bg"), ("link", "card")]
TEXTS += [("yes", "yes-bg"), ("no", "no-bg"), ("open", "open-bg"), ("yes", "soft"), ("no", "soft"), ("dim", "soft")]


def theme(name: str) -> dict[str, str]:
    """The custom properties of a theme; dark ones replace those of light."""
    blocks = re.findall(r"([^{}]*)\{(color-scheme:[^}]*)\}", style())
    light = next(body for selector, body in blocks if selector.strip().endswith(":root"))
    dark = next(body for selector, body in blocks if "data-theme=dark" in selector)
    found = dict(re.findall(r"--([\w-]+):(#[0-9a-fA-F]{3,8})", light))
    return found | (dict(re.findall(r"--([\w-]+):(#[0-9a-fA-F]{3,8})", dark)) if name == "dark" else {})


def linear(colour: str) -> np.ndarray:
    digits = colour.removeprefix("#")
    digits = "".join(2 * each for each in digits) if len(digits) == 3 else digits
    values = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio."""
    light, dark = sorted((float(linear(each) @ [0.2126, 0.7152, 0.0722]) for each in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(rgb, 0, 1)
    scaled = xyz / [0.9505, 1.0, 1.089]
    bent = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * bent[1] - 16, 500 * (bent[0] - bent[1]), 200 * (bent[1] - bent[2])])


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_is_legible(name: str) -> None:
    colours = theme(name)
    for text, ground in TEXTS:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)  # WCAG AA for text


@pytest.mark.parametrize("name", ["light", "dark"])
def test_lines_stand_out_from_the_page(name: str) -> None:
    colours = theme(name)
    for k in range(4):
        assert contrast(colours[f"k{k}"], colours["bg"]) >= 3  # WCAG AA for graphics


@pytest.mark.parametrize("blindness", BLIND)
@pytest.mark.parametrize("name", ["light", "dark"])
def test_lines_are_told_apart_by_colour_blind_readers(name: str, blindness: str) -> None:
    """A Lab distance of 10 is about four times what is just seen side by side; shapes and dashes differ besides."""
    colours = theme(name)
    seen = [lab(np.array(BLIND[blindness]) @ linear(colours[f"k{k}"])) for k in range(4)]
    for one, other in combinations(range(4), 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 10, (one, other)


@pytest.mark.parametrize("blindness", BLIND)
@pytest.mark.parametrize("name", ["light", "dark"])
def test_both_signs_of_a_heatmap_are_told_apart(name: str, blindness: str) -> None:
    colours = theme(name)
    ends = [lab(np.array(BLIND[blindness]) @ linear(colours[f"d{step}"])) for step in (5, 20, 35)]
    for one, other in combinations(ends, 2):
        assert np.linalg.norm(one - other) > 15


@pytest.mark.parametrize("name", ["light", "dark"])
def test_more_is_always_further_from_the_page(name: str) -> None:
    colours = theme(name)
    lightness = [lab(linear(colours[f"s{step}"]))[0] for step in range(21)]
    steps = np.diff(lightness)
    assert (steps < 0).all() or (steps > 0).all()


def test_other_libraries_get_the_same_tracks() -> None:
    assert tuple(theme("light")[f"k{k}"] for k in range(4)) == TRACKS
