"""Tables for LaTeX, in the style of booktabs: no vertical lines, rules at the top, below the head, at the bottom."""

from __future__ import annotations

from collections.abc import Sequence

from assay.studies.report.latex.macros import examples, letters
from assay.studies.report.latex.text import escape
from assay.studies.report.shown import Shown
from assay.studies.report.tables import Table

MOST = 30
"""Rows of a step's table: the largest numbers stand first."""


def verdict_table(shown: Shown, prefix: dict[str, str]) -> str:
    """Every hypothesis with its prediction, number and verdict, all as macros."""
    rows = []
    for each in shown.hypotheses:
        name = prefix[each.judged.id]
        mark = r"$^\dagger$" if each.judged.exploratory else ""
        rows.append(
            [
                escape(each.judged.statement) + mark,
                f"\\{name}Predicted",
                f"\\{name}",
                f"\\{name}N",
                f"\\{name}P",
                f"\\{name}Verdict",
            ]
        )
        for i, other in enumerate(each.judged.otherwise):
            under = f"\\{name}Under{letters(i)}"
            named = rf"\quad under \emph{{{escape(other.name)}}}"
            rows.append([named, "", under, examples(other.number), "", f"{under}Verdict"])
    said = "Predictions and what was found, with intervals and corrected $p$."
    if any(each.judged.exploratory for each in shown.hypotheses):
        said += r" $^\dagger$ Exploratory: added or changed after the plan was frozen."
    if any(each.judged.otherwise for each in shown.hypotheses):
        said += " Under: the same under other choices that were declared before the run."
    head = ["Hypothesis", "Predicted", "Found", "$n$", "$p$", "Verdict"]
    return _long(r"p{0.36\linewidth}p{0.12\linewidth}p{0.17\linewidth}rll", head, rows, said, "verdicts")


def method_table(shown: Shown, keys: dict[str, list[str]]) -> str:
    """What each step did, with its citations, its time and what was estimated."""
    rows = []
    for step in shown.steps:
        cited = rf"~\cite{{{','.join(keys[step.name])}}}" if keys[step.name] else ""
        fails = escape(step.result.card.get("fails_when", ""))
        seconds = f"{step.result.seconds:.1f}"
        rows.append([escape(step.name), rf"\texttt{{{escape(step.result.method)}}}{cited}", fails, seconds])
    head = ["Step", "Method", "Misleads when", "s"]
    return _long(
        r"p{0.14\linewidth}p{0.3\linewidth}p{0.4\linewidth}r", head, rows, "Steps and their methods.", "methods"
    )


def number_table(table: Table, title: str, label: str) -> str:
    """A step's table, its largest rows."""
    rows = [[escape(cell.text) for cell in row] for row in table.rows[:MOST]]
    left = len(table.rows) - len(rows) + table.left_out
    said = f"{escape(title)}: {escape(table.caption)}" + (
        f" ({left} further rows are in the results file)" if left else ""
    )
    columns = "".join("r" if numeric else "l" for numeric in table.numeric)
    return _long(columns, [escape(name) for name in table.head], rows, said + ".", label)


def _long(columns: str, head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str) -> str:
    small = r"\scriptsize\setlength{\tabcolsep}{3pt}" if len(head) > 6 else r"\small"
    lines = [
        rf"\begingroup{small}",
        rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}",
        rf"\caption{{{caption}}}\label{{tab:{label}}}\\",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        r"\endfirsthead",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        r"\endhead",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{longtable}",
        r"\endgroup",
        "",
    ]
    return "\n".join(lines)
