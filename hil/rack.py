"""Which board a run is of, from ``--board`` and ``--bench``; a bench of several is a run each.

The runs of a rack are processes beside each other, since no board waits for another, and each
one's output is shown when it is done.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from hil.backends import is_port
from hushmeter.devices import bench
from hushmeter.devices.bench import Place
from hushmeter.errors import HushmeterError

DEFAULT_BOARD = "unix"


def places(config: pytest.Config) -> dict[str, Place]:
    """The boards of the bench file by label; none without one."""
    path = config.option.bench
    return bench.load(Path(config.invocation_params.dir, path)) if path else {}


def chosen(config: pytest.Config) -> tuple[str, Place | None]:
    """The board of this run, as ``--board`` names it, and its place on the bench.

    Raises
    ------
    HushmeterError
        The bench has no such board.
    """
    on_bench = places(config)
    name = config.option.board
    if not on_bench:
        return name or DEFAULT_BOARD, None
    name = name or next(iter(on_bench))
    if name not in on_bench:
        known = ", ".join(on_bench)
        raise HushmeterError(
            f"there is no board {name!r} in {config.option.bench}; boards: {known}"
        )
    return name, on_bench[name]


def is_whole_rack(config: pytest.Config) -> bool:
    """Whether this run is of several boards."""
    return not config.option.board and len(places(config)) > 1


def check_workers(name: str, place: Place | None, config: pytest.Config) -> None:
    """One port cannot be shared by workers."""
    workers = getattr(config.option, "numprocesses", None)
    if workers and (is_port(name) or (place is not None and place.port)):
        raise HushmeterError(f"a board on a port takes one process; leave out -n {workers}")


def run_each(config: pytest.Config) -> int:
    """Run the suite on every board of the bench; the worst of the exit codes."""
    on_bench = places(config)
    running = {label: _start(label, place, config) for label, place in on_bench.items()}
    codes: Mapping[str, int] = {label: _finish(label, run) for label, run in running.items()}
    for label, code in codes.items():
        print(f"{label}: {'passed' if code == 0 else f'exit code {code}'}")
    return max(codes.values())


def _start(label: str, place: Place, config: pytest.Config) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pytest", *config.invocation_params.args, "--board", label]
    if place.port and getattr(config.option, "numprocesses", None):
        command += ["-n", "0"]
    return subprocess.Popen(
        command,
        cwd=config.invocation_params.dir,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(label: str, run: subprocess.Popen[str]) -> int:
    output, _ = run.communicate()
    print(f"{f' {label} ':=^78}\n{output}", flush=True)
    return run.returncode
