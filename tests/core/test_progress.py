"""Progress reaches the innermost listener, and nobody when nobody listens."""

from __future__ import annotations

from assay.core.progress import listening, report


def test_only_the_innermost_listener_hears() -> None:
    outer: list[tuple[int, int]] = []
    inner: list[tuple[int, int]] = []
    report(0, 1)
    with listening(lambda done, total: outer.append((done, total))):
        report(1, 4)
        with listening(lambda done, total: inner.append((done, total))):
            report(2, 4)
        with listening(None):
            report(3, 4)
        report(4, 4)
    report(5, 5)
    assert outer == [(1, 4), (4, 4)]
    assert inner == [(2, 4)]
