"""How the shapes of a figure look: the page's own style sheet, resolved for one theme, so that all forms look alike.

Read are the rules of `report.css` whose selectors are elements and classes behind one another; a later or more exact rule
wins, an element's own `style` wins over rules, and its attributes lose to them, as in a browser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from xml.etree.ElementTree import Element

from assay.studies.report.page import style

INHERITED = ("fill", "stroke", "stroke-width", "stroke-dasharray", "font-size", "text-anchor")
PROPERTIES = (*INHERITED, "opacity", "fill-opacity", "stroke-opacity", "stroke-linecap")
_SIMPLE = re.compile(r"^(?P<element>[a-z]+)?(?P<classes>(?:\.[\w-]+)*)$")


@dataclass(frozen=True)
class Rule:
    """One selector with what it sets."""

    parts: tuple[tuple[str | None, frozenset[str]], ...]
    exact: tuple[int, int, int]
    """How exact it is: classes, elements, its place in the sheet."""
    sets: tuple[tuple[str, str], ...]

    def meets(self, path: Sequence[Element]) -> bool:
        """Whether the last element of a path from the root is meant."""
        if not _is(path[-1], self.parts[-1]):
            return False
        rest = list(self.parts[:-1])
        for element in reversed(path[:-1]):
            if rest and _is(element, rest[-1]):
                rest.pop()
        return not rest


@cache
def sheet() -> tuple[Rule, ...]:
    """The rules that say something of shapes, in light."""
    text = re.sub(r"/\*.*?\*/", "", style(), flags=re.DOTALL)
    colours = dict(re.findall(r"(--[\w-]+):([^;}]+)", text.partition("}")[0]))
    found: list[Rule] = []
    for selector, body in _blocks(text):
        sets = tuple((name, _resolved(value, colours)) for name, value in _pairs(body) if name in PROPERTIES)
        for i, one in enumerate(selector.split(",") if sets else ()):
            parts = [_SIMPLE.match(each) for each in one.split()]
            if parts and all(parts):
                found.append(_rule([match for match in parts if match], len(found) + i, sets))
    return tuple(sorted(found, key=lambda rule: rule.exact))


def look(path: Sequence[Element], inherited: dict[str, str]) -> dict[str, str]:
    """Every property of the last element of a path; `inherited` is the look of the one before."""
    found = {name: value for name, value in inherited.items() if name in INHERITED}
    found |= {name: value for name, value in path[-1].attrib.items() if name in PROPERTIES}
    for rule in sheet():
        if rule.meets(path):
            found |= dict(rule.sets)
    return found | {name: value for name, value in _pairs(path[-1].get("style", "")) if name in PROPERTIES}


def css() -> str:
    """The same rules as text, for a picture that stands alone."""
    lines = []
    for rule in sheet():
        selector = " ".join(
            (element or "") + "".join(f".{each}" for each in sorted(classes)) for element, classes in rule.parts
        )
        lines.append(f"{selector}{{{';'.join(f'{name}:{value}' for name, value in rule.sets)}}}")
    return "".join(lines)


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Selectors and bodies outside of media queries."""
    depth, start, selector = 0, 0, ""
    for match in re.finditer(r"[{}]", text):
        if match[0] == "{":
            if depth == 0:
                selector, start = text[start : match.start()].strip(), match.end()
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                if not selector.startswith("@"):
                    yield selector, text[start : match.start()]
                start = match.end()


def _pairs(body: str) -> list[tuple[str, str]]:
    found = [each.partition(":") for each in body.split(";") if ":" in each]
    return [(name.strip(), value.strip()) for name, _, value in found]


def _resolved(value: str, colours: dict[str, str]) -> str:
    return re.sub(r"var\((--[\w-]+)\)", lambda match: colours.get(match[1], "#000"), value)


def _rule(parts: list[re.Match[str]], place: int, sets: tuple[tuple[str, str], ...]) -> Rule:
    read = tuple((match["element"], frozenset(filter(None, match["classes"].split(".")))) for match in parts)
    exact = (sum(len(classes) for _, classes in read), sum(element is not None for element, _ in read), place)
    return Rule(read, exact, sets)


def _is(element: Element, part: tuple[str | None, frozenset[str]]) -> bool:
    name, classes = part
    own = element.tag.rpartition("}")[2]
    return (name is None or name == own) and classes <= set(element.get("class", "").split())
