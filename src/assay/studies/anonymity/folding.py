"""Text in one plain form, with the way back: accents, ligatures, line breaks and hyphens don't hide a name.

`José Nuñez`, `Jos\\'{e} Nu\\~nez`, `Jos&eacute;`, `Jos\\u00e9` and a name broken as `Nu-` / `nez` over two lines all fold to
`Jose Nunez`. Case is kept, as it tells "Will Long" from "will long". Every place of the folded text leads back to the
place in the original, for line numbers and for replacing.

Cost: linear in the length; only what is not plain ASCII is looked at letter by letter.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache

_SPECIAL = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair of JSON escapes
    r"|\\u[0-9a-fA-F]{4}|\\x[c-fC-F][0-9a-fA-F]"
    r"|&(?:#\d{2,6}|#x[0-9a-fA-F]{2,5}|[a-zA-Z]{2,8});"
    r"|\{?\\(?:[\"'`^~=.]\s?|[vHcukrbdt](?:\s+|(?=\{)))(?:\{\\?[A-Za-z]\}|\\?[A-Za-z](?![A-Za-z]*\{))\}?"
    r"|\{?\\(?:oe|OE|ae|AE|aa|AA|o|O|l|L|ss|i|j)(?:\{\}|\s+(?=[a-z])|\}|(?![A-Za-z]))"
    r"|%2[fF]|%40|(?:%C[2-9a-fA-F]%[89abAB][0-9a-fA-F])+"
    r"|(?<=[^\W\d_])[-\u2010\u00ad]\s*\n[ \t]*(?:[%#*>]+[ \t]*|//+[ \t]*)?(?=[a-z])"
    r"|[^\x00-\x7f]+"
)
_LETTERS = {
    "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE",
    "ı": "i", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ŋ": "n", "’": "'", "‘": "'", "‐": "-", "‑": "-",
    "–": "-", "—": "-", "\u00ad": "", "\u200b": "", "\u200c": "", "\u200d": "", "\u2060": "", "\ufeff": "", "\u00a0": " ",
}  # fmt: skip
_MACROS = {"oe": "oe", "OE": "OE", "ae": "ae", "AE": "AE", "aa": "a", "AA": "A", "o": "o", "O": "O", "l": "l", "L": "L"} | {
    "ss": "ss", "i": "i", "j": "j",
}  # fmt: skip


@dataclass(frozen=True)
class Folded:
    """Plain text, and where each part of it came from."""

    text: str
    original: str
    ends: tuple[int, ...]
    """Places in `text` where a replaced piece ends, in order."""
    shifts: tuple[int, ...]
    """How far the original is ahead from each of these places on."""

    def back(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original that the span of the folded text came from."""
        return self._place(start), max(self._place(end), self._place(start))

    def _place(self, at: int) -> int:
        i = bisect_right(self.ends, at)
        place = at + (self.shifts[i - 1] if i else 0)
        # inside a piece that became longer, as ¼ became 1/4: no farther than that piece
        return min(place, self.ends[i] + self.shifts[i]) if i < len(self.ends) else place


def fold(text: str, *, accents: bool = True) -> Folded:
    """Fold a text; with `accents=False`, LaTeX's accents that look like quotes are left alone."""
    pieces: list[str] = []
    ends: list[int] = []
    shifts: list[int] = []
    done, length = 0, 0
    for match in _SPECIAL.finditer(text):
        if not accents and match[0].lstrip("{")[:2] in ('\\"', "\\'"):
            continue
        plain = match[0] if match[0].isascii() and match[0][0] not in "\\{&%-" else ""
        plain = plain or _plain(match[0])
        if plain == match[0]:
            continue
        pieces += [text[done : match.start()], plain]
        length += match.start() - done + len(plain)
        done = match.end()
        ends.append(length)
        shifts.append(done - length)
    return Folded("".join([*pieces, text[done:]]), text, tuple(ends), tuple(shifts))


def plain(text: str) -> str:
    """Only the folded text."""
    return fold(text).text


@cache
def _letter(letter: str) -> str:
    if letter in _LETTERS:
        return _LETTERS[letter]
    parts = unicodedata.normalize("NFKD", letter)
    return "".join(_LETTERS.get(each, each) for each in parts if not unicodedata.combining(each))


def _plain(piece: str) -> str:
    if not piece.isascii():
        if "\n" in piece and piece[0] in "\u2010\u00ad":
            return ""
        return "".join(map(_letter, piece))
    if piece.startswith(("\\u", "\\x")):
        return _escaped(piece)
    if piece.startswith("&"):
        return plain(found) if (found := html.unescape(piece)) != piece else piece
    if piece.startswith(("%2", "%4")):
        return "@" if piece == "%40" else "/"
    if piece.startswith("%"):
        return plain(bytes.fromhex(piece.replace("%", "")).decode("utf-8", "replace"))
    if piece.startswith("-"):
        return ""
    name = piece.strip("{}\\ \t\n")
    if name in _MACROS:
        return _MACROS[name]
    bare = re.sub(r"[^A-Za-z]", "", piece)
    return bare[-1:]


def _escaped(piece: str) -> str:
    codes = [int(code, 16) for code in re.findall(r"\\[ux]([0-9a-fA-F]+)", piece)]
    if len(codes) == 2:
        return plain(chr(0x10000 + ((codes[0] - 0xD800) << 10) + codes[1] - 0xDC00))
    return piece if 0xD800 <= codes[0] < 0xE000 else "".join(map(_letter, chr(codes[0])))
