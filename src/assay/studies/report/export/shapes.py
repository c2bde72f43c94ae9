"""A figure's SVG as a flat list of shapes with their colours, for renderers that know no style sheets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

from assay.studies.report.export.looks import look

Point = tuple[float, float]
OUTSIDE = -900.0
"""What lies further left is hidden: the page's mark before a cell is chosen."""
_NUMBER = re.compile(r"[-+]?(?:\d*\.\d+|\d+\.?)(?:e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Shape:
    """One thing to draw. `steps` are moves of a path: M, L, C with their points, or Z; texts have one place."""

    kind: str
    look: dict[str, str]
    steps: tuple[tuple[str, tuple[Point, ...]], ...] = ()
    text: str = ""
    at: Point = (0.0, 0.0)
    radius: float = 0.0
    turned: float = 0.0


@dataclass(frozen=True)
class Shapes:
    """A picture's size and what is on it, from back to front."""

    width: float
    height: float
    shapes: tuple[Shape, ...]


def shapes_of(picture: Markup) -> Shapes:
    """The shapes of a picture that this package drew."""
    root = ElementTree.fromstring(str(picture))
    _, _, width, height = (float(each) for each in root.attrib["viewBox"].split())
    return Shapes(width, height, tuple(_walk([root], {"font-size": "11.5px", "fill": "#000000"}, (0.0, 0.0))))


def _walk(path: Sequence[ElementTree.Element], inherited: dict[str, str], shift: Point) -> Iterator[Shape]:
    element = path[-1]
    name, found = element.tag.rpartition("}")[2], look(path, inherited)
    if name in ("svg", "g"):
        moved = _moved(element.get("transform", ""), shift)
        for child in element:
            yield from _walk([*path, child], found, moved)
        return
    shape = _shape(name, element, found)
    if shape is not None and not (shape.steps and shape.steps[0][1][0][0] < OUTSIDE):
        yield _shifted(shape, shift)


def _shape(name: str, element: ElementTree.Element, found: dict[str, str]) -> Shape | None:
    def value(key: str) -> float:
        text = element.get(key, "0")
        return 0.0 if text.endswith("%") else float(text)

    match name:
        case "rect":
            x, y, width, height = (value(key) for key in ("x", "y", "width", "height"))
            return Shape("path", found, _closed([(x, y), (x + width, y), (x + width, y + height), (x, y + height)]))
        case "line":
            return Shape("path", found, (("M", ((value("x1"), value("y1")),)), ("L", ((value("x2"), value("y2")),))))
        case "circle":
            return Shape("circle", found, at=(value("cx"), value("cy")), radius=value("r"))
        case "polygon":
            return Shape("path", found, _closed(_points(element.get("points", ""))))
        case "polyline":
            points = _points(element.get("points", ""))
            return Shape("path", found | {"fill": "none"}, _closed(points)[:-1])
        case "path":
            return Shape("path", found, tuple(_moves(element.get("d", ""))))
        case "text":
            turn = _NUMBER.search(element.get("transform", ""))
            turned = float(turn[0]) if turn and "rotate" in element.get("transform", "") else 0.0
            return Shape("text", found, text="".join(element.itertext()), at=(value("x"), value("y")), turned=turned)
    return None


def _closed(points: Sequence[Point]) -> tuple[tuple[str, tuple[Point, ...]], ...]:
    return (("M", (points[0],)), *(("L", (point,)) for point in points[1:]), ("Z", ()))


def _points(text: str) -> list[Point]:
    numbers = [float(each) for each in _NUMBER.findall(text)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _moves(path: str) -> Iterator[tuple[str, tuple[Point, ...]]]:
    """The moves of a path of M, L, C and Z with absolute numbers."""
    for letter, numbers in re.findall(r"([MLCZ])([^MLCZ]*)", path):
        points = _points(numbers)
        size = 3 if letter == "C" else 1
        if letter == "Z":
            yield "Z", ()
        for i in range(0, len(points), size):
            yield letter if i == 0 or letter == "C" else "L", tuple(points[i : i + size])


def _moved(transform: str, shift: Point) -> Point:
    numbers = [float(each) for each in _NUMBER.findall(transform)] if "translate" in transform else []
    return shift[0] + (numbers[0] if numbers else 0.0), shift[1] + (numbers[1] if len(numbers) > 1 else 0.0)


def _shifted(shape: Shape, shift: Point) -> Shape:
    if shift == (0.0, 0.0):
        return shape
    x, y = shift
    steps = tuple((letter, tuple((a + x, b + y) for a, b in points)) for letter, points in shape.steps)
    return Shape(
        shape.kind, shape.look, steps, shape.text, (shape.at[0] + x, shape.at[1] + y), shape.radius, shape.turned
    )
