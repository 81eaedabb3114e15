"""What the first call of a command has to wait for, said; and what it would have wrongly timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar

import click

from hushmeter.compile_notice import told

_LINE = "compiling, once on this machine ..."
_CHEAP_S = 0.05


class _Timed(Protocol):
    @property
    def seconds(self) -> float: ...


Found = TypeVar("Found", bound=_Timed)


def says_compiling(command: Callable[..., None]) -> Callable[..., None]:
    """A line on standard error while functions are compiled, of a command with `as_json`.

    At once on a terminal, else when it has taken a second; with --json on a terminal only.
    """

    @wraps(command)
    def saying(**given: Any) -> None:
        is_terminal = sys.stderr.isatty()
        if given["as_json"] and not is_terminal:
            command(**given)
            return
        with told(lambda: click.echo(_LINE, err=True), at_once=is_terminal):
            command(**given)

    return saying


def warm(solve: Callable[[], Found]) -> Found:
    """What `solve` finds; what it finds the second time if the first took under 50 ms.

    A first run meets cold caches and memory that was never touched, tens of times what a cheap
    solver takes. So `seconds` of a cheap one is that of a second run.
    """
    found = solve()
    return solve() if found.seconds < _CHEAP_S else found
