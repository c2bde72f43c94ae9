"""Sizes and times as people write them: `10GiB`, `500MB`, `30d`, `12h`."""

from __future__ import annotations

import re

from assay.core.errors import SettingsError

_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def byte_count(text: str) -> int:
    """Bytes.

    >>> byte_count("1.5GiB"), byte_count("20 MB"), byte_count("512")
    (1610612736, 20000000, 512)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", text.strip(), re.IGNORECASE)
    if match is None:
        raise SettingsError(
            f"{text!r} is not a size: expected a number with B, kB, MB, GB, KiB, MiB or GiB, like 10GiB."
        )
    return int(float(match[1]) * _BYTES[(match[2] or "").lower()])


def duration(text: str) -> float:
    """Seconds.

    >>> duration("30d"), duration("1.5h")
    (2592000.0, 5400.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip(), re.IGNORECASE)
    if match is None:
        raise SettingsError(f"{text!r} is not a time: expected a number with s, m, h, d or w, like 30d.")
    return float(match[1]) * _SECONDS[match[2].lower()]


def shown(count: float) -> str:
    """Bytes for people.

    >>> shown(999), shown(12_300_000)
    ('999 B', '12.3 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
