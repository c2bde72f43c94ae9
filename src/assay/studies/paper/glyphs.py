"""Every run of letters that a page draws, with the size that it ends up with on the paper.

A figure that is scaled to fit keeps its own font sizes inside, so only the product of all matrices tells: text matrix,
transformations of the page, and the matrix of each figure that is drawn inside another.

Cost: linear in the drawing instructions, at most `MOST` for a page. Letters that were turned into outlines or pixels are not
seen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

Matrix = tuple[float, float, float, float, float, float]
UNIT: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
MOST = 2_000_000
_DEEP = 8


@dataclass(frozen=True)
class Run:
    """Letters drawn at once."""

    text: str
    size: float
    """In points on the page."""
    x: float
    y: float
    figure: int
    """0 on the page itself; each figure that is drawn on it has a number."""


@dataclass(frozen=True)
class Picture:
    """A picture of pixels."""

    per_inch: float
    inches: float
    """Its longer side on the page."""


@dataclass
class _State:
    ctm: Matrix
    font: Any = None
    size: float = 0.0
    leading: float = 0.0
    hidden: bool = False


@dataclass
class _Drawing:
    """What is drawn so far on a page."""

    reader: Any
    left: int = MOST
    figures: int = 0
    items: list[Run | Picture] = field(default_factory=list)
    fonts: dict[int, tuple[float, dict[int, str], int]] = field(default_factory=dict)


def drawn(page: Any, reader: Any) -> list[Run | Picture]:
    """Runs of letters and pictures of a page."""
    unit = float(page.get("/UserUnit", 1) or 1)
    drawing = _Drawing(reader)
    contents = page.get_contents()
    if contents is not None:
        _draw(contents, page.get("/Resources"), _State((unit, 0.0, 0.0, unit, 0.0, 0.0)), drawing, 0, 0)
    return drawing.items


def _draw(contents: Any, resources: Any, state: _State, drawing: _Drawing, figure: int, depth: int) -> None:
    from pypdf.generic import ContentStream

    resources = {} if resources is None else resources.get_object()
    stack: list[_State] = []
    text = line = UNIT
    for operands, operator in ContentStream(contents, drawing.reader).operations:
        drawing.left -= 1
        if drawing.left < 0:
            return
        if operator == b"q":
            stack.append(replace(state))
        elif operator == b"Q":
            state = stack.pop() if stack else state
        elif operator == b"cm":
            state.ctm = times(_matrix(operands), state.ctm)
        elif operator == b"Do":
            _inside(operands[0], resources, state, drawing, (figure, depth))
        elif operator == b"BT":
            text = line = UNIT
        elif operator in _SHOWING:
            if operator in (b"'", b'"'):
                text = line = times((1.0, 0.0, 0.0, 1.0, 0.0, -state.leading), line)
            text = _show(operands[-1], text, state, drawing, figure)
        elif operator in (b"Td", b"TD", b"T*", b"Tm"):
            text = line = _moved(operator, operands, line, state)
        else:
            _set(operator, operands, resources, state)


_SHOWING = (b"Tj", b"TJ", b"'", b'"')


def _moved(operator: bytes, operands: Any, line: Matrix, state: _State) -> Matrix:
    if operator == b"Tm":
        return _matrix(operands)
    if operator == b"T*":
        return times((1.0, 0.0, 0.0, 1.0, 0.0, -state.leading), line)
    if operator == b"TD":
        state.leading = -float(operands[1])
    return times((1.0, 0.0, 0.0, 1.0, float(operands[0]), float(operands[1])), line)


def _set(operator: bytes, operands: Any, resources: Any, state: _State) -> None:
    if operator == b"Tf":
        state.font, state.size = _resource(resources, "/Font", operands[0]), float(operands[1])
    elif operator == b"TL":
        state.leading = float(operands[0])
    elif operator == b"Tr":
        state.hidden = int(operands[0]) in (3, 7)
    elif operator == b"gs":
        setting = _resource(resources, "/ExtGState", operands[0])
        if setting is not None and "/Font" in setting:
            state.font, state.size = setting["/Font"][0].get_object(), float(setting["/Font"][1])


def _inside(name: Any, resources: Any, state: _State, drawing: _Drawing, at: tuple[int, int]) -> None:
    """Draw a figure or a picture that has a name."""
    figure, depth = at
    thing = _resource(resources, "/XObject", name)
    if thing is None or depth >= _DEEP:
        return
    if thing.get("/Subtype") == "/Image":
        wide, high = math.hypot(*state.ctm[:2]) / 72, math.hypot(*state.ctm[2:4]) / 72
        if wide > 0 and high > 0 and not thing.get("/ImageMask"):
            pixels = min(float(thing.get("/Width", 0)) / wide, float(thing.get("/Height", 0)) / high)
            drawing.items.append(Picture(pixels, max(wide, high)))
    elif thing.get("/Subtype") == "/Form":
        if figure == 0:
            drawing.figures += 1
        own = _matrix(thing["/Matrix"]) if "/Matrix" in thing else UNIT
        inner = replace(state, ctm=times(own, state.ctm))
        _draw(thing, thing.get("/Resources", resources), inner, drawing, figure or drawing.figures, depth + 1)


def _resource(resources: Any, kind: str, name: Any) -> Any:
    found = resources.get(kind)
    found = None if found is None else found.get_object().get(name)
    return None if found is None else found.get_object()


def _show(operand: Any, text: Matrix, state: _State, drawing: _Drawing, figure: int) -> Matrix:
    if state.font is None:
        return text
    em, letters, width = _font(state.font, drawing)
    words = "".join(_decoded(piece, letters, width) for piece in (operand if isinstance(operand, list) else [operand]))
    whole = times(text, state.ctm)
    size = abs(state.size) * em * math.hypot(whole[2], whole[3])
    if words.strip() and not state.hidden:
        drawing.items.append(Run(words, size, whole[4], whole[5], figure))
    # half an em a letter is near enough to tell neighbours
    return times((1.0, 0.0, 0.0, 1.0, 0.5 * state.size * len(words), 0.0), text)


def _decoded(piece: Any, letters: dict[int, str], width: int) -> str:
    if isinstance(piece, str):
        raw = getattr(piece, "original_bytes", None) or piece.encode("latin-1", "replace")
    elif isinstance(piece, bytes):
        raw = piece
    else:
        return " " if float(piece) < -200 else ""  # a shift that is as wide as a space
    codes = (int.from_bytes(raw[i : i + width], "big") for i in range(0, len(raw), width))
    return "".join(letters.get(code) or (chr(code) if 32 <= code < 127 else "·") for code in codes)


def _font(font: Any, drawing: _Drawing) -> tuple[float, dict[int, str], int]:
    """What a font's em is in units of its size, its letters, and how many bytes a letter's code has."""
    key = id(font)
    if key not in drawing.fonts:
        width = 2 if font.get("/Subtype") == "/Type0" else 1
        letters = _letters(font["/ToUnicode"].get_object().get_data()) if "/ToUnicode" in font else {}
        drawing.fonts[key] = (_em(font), letters, width)
    return drawing.fonts[key]


def _em(font: Any) -> float:
    if font.get("/Subtype") != "/Type3" or "/FontMatrix" not in font:
        return 1.0
    scale = abs(float(font["/FontMatrix"][3]))
    box = [float(each) for each in font.get("/FontBBox", [0, 0, 0, 0])]
    high = abs(box[3] - box[1]) * scale
    return 1.0 if abs(scale - 0.001) < 1e-6 else high or scale * 1000


def _letters(data: bytes) -> dict[int, str]:
    """The table from codes to letters that a font brings along."""
    found: dict[int, str] = {}
    for block in re.findall(rb"beginbfchar(.*?)endbfchar", data, re.S):
        for code, to in re.findall(rb"<([0-9a-fA-F]+)>\s*<([0-9a-fA-F]+)>", block):
            found[int(code, 16)] = _utf16(to)
    for block in re.findall(rb"beginbfrange(.*?)endbfrange", data, re.S):
        for first, last, to in re.findall(rb"<([0-9a-fA-F]+)>\s*<([0-9a-fA-F]+)>\s*<([0-9a-fA-F]+)>", block):
            start, end, base = int(first, 16), int(last, 16), int(to, 16)
            found |= {
                code: chr(base + code - start)
                for code in range(start, min(end, start + 255) + 1)
                if base + code - start < 0x110000
            }
    return found


def _utf16(digits: bytes) -> str:
    return bytes.fromhex(digits.decode() + "0" * (-len(digits) % 4)).decode("utf-16-be", "replace")


def _matrix(numbers: Any) -> Matrix:
    a, b, c, d, e, f = (float(each) for each in list(numbers)[:6])
    return a, b, c, d, e, f


def times(a: Matrix, b: Matrix) -> Matrix:
    """The matrix that does a first, then b."""
    return (
        a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3],
        a[2] * b[0] + a[3] * b[2], a[2] * b[1] + a[3] * b[3],
        a[4] * b[0] + a[5] * b[2] + b[4], a[4] * b[1] + a[5] * b[3] + b[5],
    )  # fmt: skip


def runs(items: list[Run | Picture]) -> Iterator[Run]:
    """Only the letters."""
    return (each for each in items if isinstance(each, Run))
