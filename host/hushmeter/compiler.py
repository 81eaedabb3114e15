"""How functions over arrays are compiled, kept between runs wherever that is possible."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba
from numba.core import event

from hushmeter import compile_notice

Function = TypeVar("Function", bound=Callable[..., object])


class _Listener(event.Listener):
    """Passes on when a function is compiled; one that is read from the cache is none."""

    def on_start(self, event: object) -> None:
        for watch in compile_notice.watches:
            watch.start()

    def on_end(self, event: object) -> None:
        for watch in compile_notice.watches:
            watch.end()


event.register("numba:compile", _Listener())  # type: ignore[no-untyped-call]


def compiled(function: Function) -> Function:
    """Compiled at the first call, without the interpreter's lock.

    An array assigned to a part of another takes a second to compile, a loop next to nothing.
    Kept beside the function's file, or in the user's cache folder, if one of them can be written.
    """
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # no folder can be written
        return cast(Function, numba.njit(nogil=True)(function))
