"""What a person sees of a verification in a terminal: problems first, then verdicts, then what differs."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.studies.verify import Verification
from assay.studies.verify.agreement import Agreement

_STYLES = {"same": "green", "within tolerance": "green", "differs": "yellow"}
_OUTCOMES = {
    "holds": ("green", "Every verdict holds."),
    "changed": ("red", "A verdict changed."),
    "not verified": ("red", "Not verified."),
}
_MOST = 20


def show_verification(found: Verification) -> None:
    """All that was found, the outcome last."""
    console = Console(highlight=False, soft_wrap=True)
    console = console if console.is_terminal else Console(highlight=False, width=140, soft_wrap=True)
    console.print(Text(found.title, style="bold"))
    console.print(f"plan {found.plan}{_announced(found)}")
    for problem in found.problems:
        console.print(Text(f"! {problem}", style="red"))
    for note in found.notes:
        console.print(Text(f"· {note}"))
    if found.ran:
        _show_run(console, found)
    style, words = _OUTCOMES[found.outcome]
    if found.outcome == "holds" and not found.ran:
        words = "Whole, and in agreement with itself. Nothing was run."
    console.print(Text(words, style=style))


def _announced(found: Verification) -> str:
    if found.announced is None:
        return ""
    return ", as announced" if found.announced else ": NOT the one that was announced"


def _show_run(console: Console, found: Verification) -> None:
    if found.another_model:
        console.print("Run on another model than the bundle's.")
    if found.environment:
        console.print(f"Not the same machine or versions: {'; '.join(found.environment)}.")
    expected = "the same bits are expected" if not found.tolerance else f"tolerance {found.tolerance:g} of each number"
    console.print(f"{len(found.quantities)} quantities, {len(found.results)} tables of results; {expected}.\n")
    console.print(_verdicts(found))
    console.print()
    console.print(_quantities(found.quantities))
    differing = [each for each in found.results if each.standing == "differs"]
    same = sum(each.standing == "same" for each in found.results)
    close = len(found.results) - same - len(differing)
    console.print(f"\nresults: {same} the same, {close} within tolerance, {len(differing)} differ")
    for each in differing[:_MOST]:
        console.print(Text(f"  {each.name}: {each.said}"))
    if len(differing) > _MOST:
        console.print(f"  and {len(differing) - _MOST} more")


def _verdicts(found: Verification) -> Table:
    table = Table("hypothesis", "then", "now", "", box=None, padding=(0, 2, 0, 0))
    for each in found.verdicts:
        name = each.hypothesis + (" (added later)" if each.exploratory else "")
        word = Text("holds", style="green") if each.holds else Text("changed", style="red")
        table.add_row(name, each.before, each.after, word)
    return table


def _quantities(quantities: tuple[Agreement, ...]) -> Table:
    table = Table("quantity", "then", "now", "", box=None, padding=(0, 2, 0, 0))
    for each in quantities:
        word = Text(
            f"differs {each.said}" if each.standing == "differs" else each.standing, style=_STYLES[each.standing]
        )
        table.add_row(Text(each.name), Text(_short(each.before)), Text(_short(each.after)), word)
    return table


def _short(estimate: str) -> str:
    return estimate.partition("]")[0] + "]" if "]" in estimate else estimate.partition(", n = ")[0]
