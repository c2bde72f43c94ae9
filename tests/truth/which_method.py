"""Write the record and the page: `python -m tests.truth.which_method`; `--page` writes only the page.

Measures what is not in the record yet (everything: about a quarter of an hour on one core) and writes
docs/circuits/which-method.md from it. Delete the record to measure again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.truth import record
from tests.truth.contestants import LEVELS
from tests.truth.record import Record

from assay.stats.ranking import over_seeds
from assay.training.planted import NAMES, TRAINED
from assay.training.planted.induction import GAINS

PAGE = Path(__file__).parents[2] / "docs" / "circuits" / "which-method.md"
TEXT = Path(__file__).with_name("which_method.txt")
"""The page's prose, with {names} where numbers and tables go."""
COMMAND = "python -m tests.truth.which_method"
SITUATIONS = (*NAMES, TRAINED)


def page(known: Record) -> str:
    """The whole page."""
    numbers = {f"{story}:{key}": mean for story in known["stories"] for key, mean in _means(known, story).items()}
    tables = {f"table:{level}": _scores(known, level) for level in LEVELS}
    text = TEXT.read_text(encoding="utf-8")
    made = {"command": COMMAND, "seeds": str(len(record.SEEDS)), "gains": _gains(numbers), "softmax": _softmax(numbers)}
    made |= {"truths": _truths(numbers), "means": _wrong_means(numbers), **tables}
    for name, value in [*made.items(), *((key, _number(value)) for key, value in numbers.items())]:
        text = text.replace("{" + name + "}", value)
    return text


def _means(known: Record, story: str) -> dict[str, float]:
    seeds = known["stories"][story]
    keys = next(iter(seeds.values()))
    return {key: sum(each[key] for each in seeds.values()) / len(seeds) for key in keys}


def _scores(known: Record, level: str) -> str:
    """Situations down, methods across: mean AUROC with its interval over seeds, and average precision."""
    rows = []
    for name in SITUATIONS:
        cells = known["scores"][name].get(level, {})
        if any(isinstance(each, list) for cell in cells.values() for each in cell.values()):
            rows.append([name, *(_cell(cells.get(method, {})) for method in LEVELS[level])])
    return table(["", *LEVELS[level]], rows)


def _cell(seeds: Mapping[str, list[float] | str]) -> str:
    found = [each for each in seeds.values() if isinstance(each, list)]
    if not found:
        return "–"
    aurocs, precision = [each[0] for each in found], sum(each[1] for each in found) / len(found)
    spread = ""
    if max(aurocs) - min(aurocs) > 0.005:
        interval = over_seeds(aurocs, resamples=200)
        spread = f" ({interval.low:.2f} to {interval.high:.2f})"
    return f"{sum(aurocs) / len(aurocs):.2f}{spread}, {precision:.2f}"


def _gains(numbers: Mapping[str, float]) -> str:
    methods = ("EAP", "EAP-IG, 8 steps", "EAP-IG, 64 steps", "exact")

    def cell(method: str, gain: float) -> str:
        at = f"saturation:{method}, gain {gain:g}"
        return f"{_share(numbers[f'{at}: share'])}, {numbers[f'{at}: found']:.1f} of 2"

    return table(
        ["", *(f"gain {gain:g}" for gain in GAINS)], [[m, *(cell(m, gain) for gain in GAINS)] for m in methods]
    )


def _softmax(numbers: Mapping[str, float]) -> str:
    rows = [
        [f"{told}, {part}", *(_share(numbers[f"softmax:{told}, {slot}, gain {gain:g}"]) for gain in GAINS)]
        for told in ("AtP", "QK fix")
        for slot, part in (("q", "query"), ("k", "key"))
    ]
    return table(["", *(f"gain {gain:g}" for gain in GAINS)], rows)


def _share(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.005 else f"{value:.0e}"


def _number(value: float) -> str:
    """Two digits after the point; smaller numbers with one digit, and rounding as nothing."""
    return f"{value:.2f}" if abs(value) >= 0.01 else f"{value:.3f}" if abs(value) > 1e-3 else "0"


def _truths(numbers: Mapping[str, float]) -> str:
    keys = (
        "resample's circuit under zero",
        "zero's circuit under resample",
        "resample scores, zero's truth",
        "zero scores, resample's truth",
    )
    rows = []
    for name in ("reverse", "fraction of previous", "sort", "indirect object"):
        at = f"two_truths:{name}"
        edges = [f"{numbers[f'{at}: edges under {a}']:.0f}" for a in ("zero", "resample")]
        rows.append([name, *edges, *(f"{numbers[f'{at}: {key}']:.2f}" for key in keys)])
    return table(["", "edges, zero", "edges, resample", *keys], rows)


def _wrong_means(numbers: Mapping[str, float]) -> str:
    rows = []
    for name in ("constant heads", "negative head", "induction, gain 1"):
        at = f"wrong_mean:{name}"
        pairs = (
            f"{numbers[f'{at}: {kind}, AUROC']:.2f}, {numbers[f'{at}: {kind}, AP']:.2f}" for kind in ("right", "wrong")
        )
        rows.append([name, *pairs, f"{numbers[f'{at}: eap, AUROC']:.2f}"])
    return table(["", "right mean", "wrong mean", "assay's `eap`"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join(_lines(head, rows))


def _lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(row) + " |"


def main(arguments: list[str]) -> None:
    """Measure, record, write the page."""
    known = record.recorded()
    if "--page" not in arguments:
        for said in record.fill(known):
            record.write(known)
            print(said, flush=True)
    PAGE.write_text(page(known), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
