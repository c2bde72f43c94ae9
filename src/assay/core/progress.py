"""How far a long computation has come, told to whoever listens.

A method or the engine says `report(done, total)`; nothing happens unless somebody listens. The listener is bound to the
context (thread or task) that set it, so that two computations side by side don't hear each other. It must return fast.

>>> with listening(lambda done, total: print(f"{done} of {total}")):
...     report(3, 10)
3 of 10
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[int, int], None]
_LISTENER: ContextVar[Listener | None] = ContextVar("assay_progress", default=None)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Hear what is reported in this block, instead of whoever listened before. None: nobody hears it."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report(done: int, total: int) -> None:
    """Tell the listener, if there is one, that `done` of `total` parts are done."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(done, total)
