"""That the compiler is at work is said once, to whom it may be said; cheap runs are timed warm."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click
import numba
import pytest
from click.testing import CliRunner

import hushmeter.compiler
from hushmeter import compile_notice
from hushmeter.cli import main
from hushmeter.cli.compiling import says_compiling, warm

LINE = "compiling, once on this machine ...\n"


def fresh() -> Callable[[int], int]:
    """A function that calls another and was never compiled."""

    @numba.njit
    def inner(value: int) -> int:
        return value + 1

    @numba.njit
    def outer(value: int) -> int:
        return int(inner(value)) + 1

    return outer  # type: ignore[no-any-return]


@says_compiling
def command(as_json: bool) -> None:
    function = fresh()
    click.echo(function(1) + function(2))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def compiler() -> Iterator[Any]:
    """It listens from when it is first imported."""
    yield hushmeter.compiler
    assert compile_notice.watches == []


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("as_json", [False, True])
def test_a_terminal_is_told_once_and_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    command(as_json=as_json)
    assert terminal.getvalue() == LINE
    assert capsys.readouterr().out == "7\n"


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("as_json", "patience_s", "said"), [(False, 0.001, LINE), (False, 600, ""), (True, 0.001, "")]
)
def test_a_file_is_told_of_long_ones_and_nothing_with_json(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    as_json: bool,
    patience_s: float,
    said: str,
) -> None:
    monkeypatch.setattr(compile_notice, "_PATIENCE_S", patience_s)
    command(as_json=as_json)
    told = capsys.readouterr()
    assert (told.out, told.err) == ("7\n", said)


@pytest.mark.usefixtures("compiler")
def test_nothing_is_said_where_nothing_is_compiled() -> None:
    function, said = fresh(), []
    function(1)
    with compile_notice.told(lambda: said.append(1), at_once=True):
        function(2)
    assert said == []


@dataclass(frozen=True)
class Run:
    seconds: float
    turn: int


@pytest.mark.parametrize(("seconds", "turn"), [(0.001, 2), (0.2, 1)])
def test_only_a_cheap_solver_is_run_again_and_timed_warm(seconds: float, turn: int) -> None:
    runs: list[Run] = []

    def solve() -> Run:
        runs.append(Run(seconds, len(runs) + 1))
        return runs[-1]

    assert warm(solve).turn == turn == len(runs)


@pytest.mark.parametrize(
    "name", ["leakage single", "leakage power", "leakage rate", "leakage cascade", "design"]
)
def test_help_names_the_file_of_a_fitted_law(name: str) -> None:
    shown = CliRunner().invoke(main, [*name.split(), "--help"])
    words = " ".join(shown.output.split())
    assert shown.exit_code == 0 and "file:FILE" in words
