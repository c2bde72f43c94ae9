"""Grammatical number in the embedded model, by distributed alignment search: the table in docs/circuits/abstraction.md.

    python scripts/measure_das.py [--page docs/circuits/abstraction.md]        three to five minutes on two cores
    python scripts/measure_das.py --n 20 --epochs 1                            whether it runs

"The keys near the wall" goes on with "are": the causal model has one variable between noun and verb, its number. First whole
places are swapped, at the noun and at the end, on validation pairs: that says where the number still is at the noun, and from
where on it is at the end. At the last such place of the noun and the first of the end one direction is searched, and measured
on prompts that the search did not see; beside it stand chance, a random direction, and the same search in shuffled weights. The
direction is then parted into what the next layer's values can read of it and what they can't.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import assay
from assay.circuits.abstraction import (
    CausalModel,
    Counterfactuals,
    Training,
    Written,
    alignment_of,
    counterfactuals,
    das,
    illusion_checks,
    interchange,
)
from assay.core.files import write_text
from assay.core.result import Result
from assay.engine.model import Model

NOUNS = (
    *("key", "cup", "dog", "cat", "car", "book", "door", "tree", "bird", "boat"),
    *("house", "road", "girl", "boy", "king", "chair", "table", "phone", "letter", "picture"),
)
PLACES = ["wall", "window", "river", "gate", "bridge", "lamp"]
NOTHING, EVERYTHING = "keep the base's label", "take the source's label"
SITE = "resid_post"
WORKS = 0.8
"""IIA of the whole place from which the number counts as being there."""
EVERY = 3
"""Every which layer is looked at."""


def causal_model() -> CausalModel:
    """The verb is the noun's number."""
    number = dict.fromkeys(NOUNS, "one") | {f"{noun}s": "many" for noun in NOUNS}
    return CausalModel(
        name="subject-verb agreement",
        inputs={"noun": list(number), "place": [*PLACES, *(f"{place}s" for place in PLACES)]},
        tables={"number_of": number},
        variables={"number": "number_of[noun]", "verb": "'is' if number == 'one' else 'are'"},
        output="verb",
    )


def examples(model: Model, n: int) -> Counterfactuals:
    """Interchanges of the number; settings of one split are in no other."""
    verbs = {"is": " is", "are": " are"}
    template = "The {noun} near the {place}"
    return counterfactuals(
        causal_model(), template, answers=verbs, variables=["number"], n=n, written_for=Written(tokenizer=model)
    )


def where(model: Model, data: Counterfactuals) -> tuple[Result, int, int]:
    """IIA of whole places by layer, the last layer at which the noun's works, and the first at which the end's does."""
    layers = list(range(0, model.n_layers, EVERY))
    found = interchange(
        model,
        data,
        sites=tuple(f"L{i}.{SITE}" for i in layers),
        positions=("noun", "end"),
        split="validation",
        baseline=False,
    )
    iia = found["iia"].sel(variable="number")
    noun, end = (iia.sel(pos=pos).values for pos in ("noun", "end"))
    last = max((layer for layer, value in zip(layers, noun, strict=True) if value >= WORKS), default=layers[0])
    first = min((layer for layer, value in zip(layers, end, strict=True) if value >= WORKS), default=layers[-1])
    return found, last, first


def searched(model: Model, data: Counterfactuals, layer: int, position: str, training: Training) -> str:
    """A row of the table: one direction at one place, and what stands beside it."""
    found = das(model, data, sites=(f"L{layer}.{SITE}",), positions=(position,), rank=1, training=training)
    cells = {
        name: float(found[name].values.reshape(-1)[0]) for name in ("iia", "iia_low", "iia_high", "random", "untrained")
    }
    whole = interchange(model, data, sites=(f"L{layer}.{SITE}",), positions=(position,), baseline=False)
    reader = f"model.layers.{layer + 1}.self_attn.v_proj" if layer + 1 < model.n_layers else "lm_head"
    checks = illusion_checks(
        model, data, alignment=alignment_of(found), reader=reader, widths=(), training=training, baseline=False
    )
    parts = {str(part): float(checks["iia"].sel(part=part)) for part in checks.data["part"].values}
    flagged = [str(each) for each in checks.data["check"].values if float(checks["flagged"].sel(check=each)) == 1]
    return (
        f"| L{layer}.{SITE} at the {position} | {float(whole['iia'].values.reshape(-1)[0]):.2f} | {cells['iia']:.2f} "
        f"[{cells['iia_low']:.2f}, {cells['iia_high']:.2f}] | {cells['random']:.2f} | {cells['untrained']:.2f} | "
        f"{parts.get('row', float('nan')):.2f} | {parts.get('null', float('nan')):.2f} | "
        f"{float(checks['null_share']):.2f} ({float(checks['null_share_of_random']):.2f}) | {', '.join(flagged) or 'none'} |"
    )


def main() -> None:
    """Measure, print the table, and put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="examples of all splits")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--page", type=Path, help="put the table into this page")
    options = parser.parse_args()
    model = assay.load()
    data, training = examples(model, options.n), Training(epochs=options.epochs, batch=15, rate=0.05, patience=3)
    whole, last, first = where(model, data)
    shown = whole["iia"].sel(variable="number").to_pandas().round(2)
    test = data.of(split="test")
    rows = [searched(model, data, layer, pos, training) for layer, pos in ((last, "noun"), (first, "end"))]
    lines = [
        f"{len(data.of(split='train'))} pairs to train on, {len(test)} held out; the model answers "
        f"{float(whole['does_task'].values[0]):.0%} of the bases right. An interchange that does nothing is right in "
        f"{test.chance[NOTHING]:.0%} of them, one that swaps the whole answer in {test.chance[EVERYTHING]:.0%}.",
        "",
        "| place | all of it | one direction | a random one | in shuffled weights | read by the next values | not read | "
        "share not read (random) | flagged |",
        "|---|--:|---|--:|--:|--:|--:|---|---|",
        *rows,
        "",
        "IIA of whole places on validation pairs, by layer: "
        + "; ".join(f"{pos} {', '.join(f'L{i} {v:.2f}' for i, v in shown[pos].items())}" for pos in shown.columns)
        + ".",
    ]
    print("\n".join(lines))
    if options.page:
        page = options.page.read_text(encoding="utf-8")
        block = "<!-- das -->\n" + "\n".join(lines) + "\n<!-- end of das -->"
        write_text(options.page, re.sub(r"<!-- das -->.*<!-- end of das -->", lambda _: block, page, flags=re.DOTALL))


if __name__ == "__main__":
    main()
