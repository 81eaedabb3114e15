"""Who is told that the compiler is at work; apart from :mod:`hushmeter.compiler`, which is heavy.

with told(say, at_once=False):
    work()                      # say() once, where compiling has taken a second in all
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PATIENCE_S = 1.0


class Watch:
    """Adds up the time of the compiler's nested calls, and tells of it once."""

    def __init__(self, say: Callable[[], None], patience_s: float) -> None:
        self._say: Callable[[], None] | None = say
        self._patience_s = patience_s
        self._depth, self._began_s, self._spent_s = 0, 0.0, 0.0

    def start(self) -> None:
        if self._depth == 0:
            self._began_s = time.perf_counter()
        self._depth += 1
        self._tell()

    def end(self) -> None:
        self._tell()
        self._depth -= 1
        if self._depth == 0:
            self._spent_s += time.perf_counter() - self._began_s

    def _tell(self) -> None:
        spent_s = self._spent_s + time.perf_counter() - self._began_s
        if self._say is not None and spent_s >= self._patience_s:
            self._say()
            self._say = None


watches: list[Watch] = []
"""Those that the compiler calls."""


@contextmanager
def told(say: Callable[[], None], at_once: bool) -> Iterator[None]:
    """`say` is called once: at the first compilation, or when they have taken a second."""
    watch = Watch(say, 0.0 if at_once else _PATIENCE_S)
    watches.append(watch)
    try:
        yield
    finally:
        watches.remove(watch)
