"""The order in which runs must be made, when some take values from others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from assay.core.errors import ExperimentError


def topological(roots: Iterable[str], needs: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    """Every root and all that it needs, each after what it needs; the same whatever order the roots come in.

    Raises:
        ExperimentError: a cycle, shown as a -> b -> a.
    """
    done: dict[str, None] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in done:
            return
        if name in path:
            cycle = " -> ".join((*path[path.index(name) :], name))
            raise ExperimentError(
                f"runs take values from each other in a circle: {cycle}. Let one of them take its value from an input."
            )
        for needed in needs(name):
            visit(needed, (*path, name))
        done[name] = None

    for root in sorted(set(roots)):
        visit(root, ())
    return tuple(done)


def reaching(targets: Iterable[str], order: Sequence[str], needs: Callable[[str], Sequence[str]]) -> frozenset[str]:
    """Those of `order` that are targets or need one, directly or through others. `order` must be topological."""
    found = set(targets)
    for name in order:
        if found.intersection(needs(name)):
            found.add(name)
    return frozenset(found)
