"""A PDF written by hand: pages of text at places and sizes, figures inside, notes, metadata, files, earlier versions."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field


def string(text: str) -> str:
    return "(" + text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") + ")"


def line(text: str, *, x: float = 72, y: float = 700, size: float = 10) -> str:
    return f"BT /F1 {size} Tf 1 0 0 1 {x} {y} Tm {string(text)} Tj ET"


def paragraph(lines: Sequence[str], *, top: float = 740, size: float = 10) -> str:
    return "\n".join(line(each, y=top - 14 * i, size=size) for i, each in enumerate(lines))


@dataclass
class Pdf:
    """Objects by number; 1 is the catalogue, 2 the page tree, 3 the font."""

    objects: list[bytes] = field(default_factory=lambda: [b"", b"", b""])
    pages: list[int] = field(default_factory=list)
    info: dict[str, str] = field(default_factory=dict)
    catalogue: str = ""

    def add(self, content: str | bytes) -> int:
        self.objects.append(content.encode("latin-1") if isinstance(content, str) else content)
        return len(self.objects)

    def stream(self, content: str | bytes, extra: str = "", *, packed: bool = True) -> int:
        data = content.encode("latin-1", "replace") if isinstance(content, str) else content
        body = zlib.compress(data) if packed else data
        head = f"<< /Length {len(body)} {'/Filter /FlateDecode' if packed else ''} {extra} >>\nstream\n"
        return self.add(head.encode() + body + b"\nendstream")

    def figure(self, content: str, *, matrix: str = "[1 0 0 1 0 0]", inner: str = "") -> int:
        return self.stream(
            content,
            f"/Type /XObject /Subtype /Form /BBox [0 0 1000 1000] /Matrix {matrix} "
            f"/Resources << /Font << /F1 3 0 R >> /XObject << {inner} >> >>",
        )

    def page(self, content: str, *, annotations: Sequence[str] = (), objects: str = "", extra: str = "") -> int:
        stream = self.stream(content)
        notes = " ".join(f"{self.add(each)} 0 R" for each in annotations)
        self.pages.append(
            self.add(
                f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {stream} 0 R /Annots [{notes}] {extra} "
                f"/Resources << /Font << /F1 3 0 R >> /XObject << {objects} >> >> >>"
            )
        )
        return self.pages[-1]

    def bytes(self) -> bytes:
        self.objects[0] = f"<< /Type /Catalog /Pages 2 0 R {self.catalogue} >>".encode()
        kids = " ".join(f"{page} 0 R" for page in self.pages)
        self.objects[1] = f"<< /Type /Pages /Kids [{kids}] /Count {len(self.pages)} >>".encode()
        self.objects[2] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
        out, places = bytearray(b"%PDF-1.5\n"), []
        info = self.add("<< " + " ".join(f"/{key} {string(value)}" for key, value in self.info.items()) + " >>")
        for number, each in enumerate(self.objects, 1):
            places.append(len(out))
            out += f"{number} 0 obj\n".encode() + each + b"\nendobj\n"
        self.objects.pop()
        start = len(out)
        out += f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n".encode()
        out += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
        return (
            bytes(out)
            + (
                f"trailer << /Size {len(places) + 1} /Root 1 0 R /Info {info} 0 R >>\nstartxref\n{start}\n%%EOF\n"
            ).encode()
        )


def simple(*pages: Sequence[str], info: dict[str, str] | None = None) -> bytes:
    """A paper of plain pages."""
    pdf = Pdf(info=info or {})
    for lines in pages:
        pdf.page(paragraph(lines))
    return pdf.bytes()
