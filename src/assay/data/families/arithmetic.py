"""Single-digit addition and subtraction after three solved examples: "2+3=5\\n4+1=5\\n6+2=8\\n3+4=" → "7".

Results are one digit too. No sum of the prompt (in either order) is in another split. Counterfactual: another first
operand, so the answer is another digit.
"""

from __future__ import annotations

from assay.data.example import Example
from assay.data.family import Draw, Family, Make, register
from assay.data.lexicon import SPLITS, Lexicon
from assay.data.template import Template, contrast, templates

TEXTS = {
    "train": (
        "{s0}\n{s1}\n{s2}\n{a}{op}{b}=",
        "{s0}, {s1}, {s2}, {a}{op}{b}=",
        "{s0};{s1};{s2};{a}{op}{b}=",
    ),
    "validation": ("{s0} and {s1} and {s2} and {a}{op}{b}=", "Sums:\n{s0}\n{s1}\n{s2}\n{a}{op}{b}="),
    "test": (
        "({s0}) ({s1}) ({s2}) ({a}{op}{b}=",
        "{s0}. {s1}. {s2}. {a}{op}{b}=",
        "- {s0}\n- {s1}\n- {s2}\n- {a}{op}{b}=",
    ),
}
Sum = tuple[int, int]
SUMS: Lexicon[Sum] = Lexicon("sums", tuple((a, b) for a in range(10) for b in range(a, 10 - a)))


def _make(op: str) -> Make:
    def make(template: Template, draw: Draw) -> Example | None:
        problems = [_problem(pair, op, draw.rng.random() < 0.5) for pair in SUMS.part(draw.split)]
        a, b, result = draw.rng.choice(problems)
        others = [p for p in problems if p[1] == b and p[2] != result]
        if not others:
            return None
        other, _, other_result = draw.rng.choice(others)
        asked = {_name(a, b, result, op), _name(other, b, other_result, op)}
        shown = draw.rng.sample([p for p in problems if _name(*p, op) not in asked], 3)
        shots = {f"s{i}": f"{x}{op}{y}={z}" for i, (x, y, z) in enumerate(shown)}
        values = {**shots, "op": op, "b": str(b)}
        first, second, places = contrast(template, {**values, "a": str(a)}, {**values, "a": str(other)})
        digits = [str(d) for d in range(10)]
        return Example(
            clean=first,
            corrupt=second,
            positions={name: places[name] for name in ("a", "op", "b")},
            answers=(str(result),),
            wrong=(str(other_result), *(d for d in digits if d not in (str(result), str(other_result)))),
            corrupt_answers=(str(other_result),),
            corrupt_wrong=(str(result), *(d for d in digits if d not in (str(result), str(other_result)))),
            names=tuple(_name(*p, op) for p in (*shown, (a, b, result), (other, b, other_result))),
        )

    return make


def _problem(pair: Sum, op: str, turned: bool) -> tuple[int, int, int]:
    """First operand, second operand, result. A subtraction undoes the sum: a + b = c gives c - a = b."""
    a, b = pair[::-1] if turned else pair
    return (a, b, a + b) if op == "+" else (a + b, a, b)


def _name(a: int, b: int, result: int, op: str) -> str:
    low, high = sorted((a, b) if op == "+" else (b, result))
    return f"{low}+{high}={low + high}"


for _word, _op in (("addition", "+"), ("subtraction", "-")):
    register(
        Family(
            name=_word,
            summary=f"single-digit {_word} after three examples",
            templates={split: templates(*TEXTS[split], prefix=split) for split in SPLITS},
            make=_make(_op),
        )
    )
