"""Digests of images that the user has accepted, for boards whose file names none.

A board file names a digest only where somebody has checked the image. Of any other image nobody
here knows what is right, so the first one that is downloaded is shown, with its digest, and the
user says whether to take it. From then on it is pinned: another file from the same address is
refused. This notices a later exchange; it cannot notice that the first file was wrong already.

The pins are in ``images.json`` in the configuration folder: $HUSHMETER_CONFIG if that is set, else
$XDG_CONFIG_HOME/hushmeter, else ~/.config/hushmeter.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from hushmeter.devices.folders import user_folder
from hushmeter.errors import HushmeterError

VARIABLE = "HUSHMETER_CONFIG"
FILE = "images.json"


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image that the user has accepted, or is asked to accept.

    ``date`` is the day of the download, in UTC, as ``2025-01-31``.
    """

    url: str
    sha256: str
    bytes: int
    date: str


Consent = Callable[[Pin], bool]
"""Asks the user whether this image is to be taken."""


def config_dir() -> Path:
    """The user's configuration folder of this project; it need not exist yet."""
    return user_folder(VARIABLE, "XDG_CONFIG_HOME", ".config", "accepted digests")


def pinned(url: str) -> Pin | None:
    """What the user accepted from this address, or None."""
    return _pins().get(url)


def pin(new: Pin) -> None:
    """Keep what the user has accepted.

    Raises
    ------
    HushmeterError
        Another file was accepted from that address before: the hint says how to forget it.
    """
    pins = _pins()
    old = pins.get(new.url)
    if old is not None and old.sha256 != new.sha256:
        raise HushmeterError(
            f"{new.url} sent SHA-256 {new.sha256}; on {old.date} it was {old.sha256}",
            hint=f"if the new one is right, take the old one out of {_file()}",
        )
    pins[new.url] = new
    path = _file()
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps([msgspec.to_builtins(each) for each in pins.values()], indent=2)
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be written: {error.strerror}") from error


def _file() -> Path:
    return config_dir() / FILE


def _pins() -> dict[str, Pin]:
    path = _file()
    try:
        pins = msgspec.json.decode(path.read_bytes(), type=list[Pin])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise HushmeterError(
            f"{path}: {error}", hint="mend the file, or remove it and accept the images anew"
        ) from error
    return {each.url: each for each in pins}
