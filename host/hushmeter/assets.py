"""Where the files lie that go onto a board: in a checkout, and in an installed wheel.

A checkout has ``firmware/`` and ``boards/`` at its root. A wheel carries ``boot.py``, ``main.py``
and the boards inside this package, under ``_assets``, while ``hushfw`` is an ordinary package
beside it; hence a search path of two folders there, and of one in a checkout.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import hushfw
from hushmeter.errors import HushmeterError

_PACKAGE = Path(__file__).resolve().parent


def _root() -> Path:
    """The folder that holds ``firmware`` and ``boards``."""
    packaged = _PACKAGE / "_assets"
    root = packaged if packaged.is_dir() else _PACKAGE.parents[1]
    if not (root / "boards").is_dir():
        raise HushmeterError(
            f"firmware and boards are neither in {packaged} nor in {_PACKAGE.parents[1]}",
            hint="install hushmeter from its wheel, or from a checkout with pip install -e",
        )
    return root


def firmware_dir() -> Path:
    """The folder with ``main.py`` and ``boot.py``."""
    return _root() / "firmware"


def boards_dir() -> Path:
    """The folder with one sub-folder a board."""
    return _root() / "boards"


def hushfw_dir() -> Path:
    """The folder of the device package itself."""
    return Path(hushfw.__file__).resolve().parent


def main_script() -> Path:
    """The program that every meter runs, emulated or not."""
    return firmware_dir() / "main.py"


def micropython_path() -> list[Path]:
    """The folders from which MicroPython imports ``hushfw``, best first."""
    return list(dict.fromkeys([firmware_dir(), hushfw_dir().parent]))


def micropython_environment(extra: Iterable[Path] = ()) -> dict[str, str]:
    """This process's environment with MICROPYPATH set for a meter's process.

    ``.frozen`` stays first: the variable replaces the interpreter's whole default path, and with
    it the modules that are frozen into the interpreter (asyncio is one of them).

    Parameters
    ----------
    extra:
        Folders searched before the firmware's, for example one with device checks.
    """
    folders = [".frozen", *map(str, extra), *map(str, micropython_path())]
    return {**os.environ, "MICROPYPATH": os.pathsep.join(folders)}


def firmware_files() -> dict[str, Path]:
    """Every file that goes onto a board: its path there, and where it lies here."""
    files = {name: firmware_dir() / name for name in ("boot.py", "main.py")}
    package = hushfw_dir()
    for path in sorted(package.rglob("*.py")):
        files[f"hushfw/{path.relative_to(package).as_posix()}"] = path
    return files
