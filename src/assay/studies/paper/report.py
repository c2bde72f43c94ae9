"""What a check of a paper gives: its pages of main text, and each problem with its page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """Something that a venue or a reader would object to."""

    kind: str
    page: int | None
    text: str
    advice: str


@dataclass(frozen=True)
class PaperReport:
    """Counts and problems of one paper."""

    pages: int
    main_pages: int
    """Pages that hold main text, the last one even if only partly."""
    references: int | None
    """The page where the references begin."""
    appendix: int | None
    allowed: int | None
    """Pages of main text that are allowed, with the one more of a camera-ready version."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)
