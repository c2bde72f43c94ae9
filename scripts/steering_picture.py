"""The picture of docs/directions/steering.md: effect against cost in the embedded model, on a grid of strengths.

python scripts/steering_picture.py        writes docs/images/steering.svg and prints the numbers; a minute or two on two cores
"""

from __future__ import annotations

from pathlib import Path

import assay
from assay.core.pictures import pictures_of
from assay.data import task
from assay.directions import UnrelatedText, mean_difference, steer

PATH = Path(__file__).parent.parent / "docs" / "images" / "steering.svg"
STRENGTHS = (0.1, 0.2, 0.4, 0.6)
N = 16


def main() -> None:
    """Measure, print, draw."""
    model = assay.load()
    find, test = (task("sentiment", n=N, split=split, tokenizer=model) for split in ("train", "test"))
    vector = mean_difference(model, find, at="end", towards="positive", depths=(0.65,))
    found = steer(
        model, test, direction=vector, strengths=STRENGTHS, at="end", text=UnrelatedText(tokens=16),
        instruction="This is a positive review.",
    )  # fmt: skip
    print(found)
    for name in (
        "effect",
        "effect_opposite",
        "effect_random",
        "effect_prompt",
        "text_kl",
        "text_loss",
        "text_loss_prompt",
    ):
        print(name, found[name].mean("example").values.round(3).tolist())
    PATH.write_text(str(pictures_of(found.data)[0].svg) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
