"""How functions over arrays are compiled, kept between runs wherever that is possible."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compiled at the first call, without the interpreter's lock.

    Kept beside the function's file, or in the user's cache folder, if one of them can be written.
    """
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # no folder can be written
        return cast(Function, numba.njit(nogil=True)(function))
