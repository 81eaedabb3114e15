"""MicroPython images of boards: one folder, one variable, and never one unchecked.

The folder is ``images`` in the cache: $HUSHMETER_CACHE if that is set, else
$XDG_CACHE_HOME/hushmeter, else ~/.cache/hushmeter. An image is used only if its SHA-256 is the one
in the board's file, so it does not matter how it came there.
"""

import contextlib
import hashlib
import http.client
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from hushmeter.devices.boards import Board, Image
from hushmeter.errors import HushmeterError

VARIABLE = "HUSHMETER_CACHE"

Progress = Callable[[int, int], None]

_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = 30


def cache_dir() -> Path:
    """The user's cache folder of this project; it need not exist yet."""
    own = os.environ.get(VARIABLE)
    if own:
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    # The rule for that variable: a relative path is invalid and ignored.
    if shared and Path(shared).is_absolute():
        return Path(shared) / "hushmeter"
    try:
        return Path.home() / ".cache" / "hushmeter"
    except RuntimeError as error:
        message = "there is no home folder to keep images in"
        raise HushmeterError(message, hint=f"name a folder with {VARIABLE}") from error


def _image(board: Board) -> Image:
    if board.image is None:
        raise HushmeterError(f"board {board.name} runs no image: nothing is flashed onto it")
    return board.image


def image_path(board: Board) -> Path:
    """Where the board's image is kept; it may be absent, and what is there is not checked yet."""
    return cache_dir() / "images" / _image(board).file


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error


def find_image(board: Board) -> Path | None:
    """The board's image if it is at hand, checked; None if it is not.

    Raises
    ------
    HushmeterError
        If the file is there with other content, or the board runs no image at all.
    """
    path = image_path(board)
    if not path.is_file():
        return None
    digest = _digest(path)
    if digest != _image(board).sha256:
        raise HushmeterError(
            f"{path}: its SHA-256 is {digest}, the board's file says {_image(board).sha256}",
            hint=f"fetch it again with: hushmeter image {board.name} --fetch",
        )
    return path


def image_state(board: Board) -> Literal["at hand", "missing", "damaged"]:
    """Whether the board's image could be used now."""
    path = image_path(board)
    if not path.is_file():
        return "missing"
    return "at hand" if _digest(path) == _image(board).sha256 else "damaged"


def _chunks(url: str) -> Iterator[bytes]:
    """What the address sends, piece by piece; what goes wrong on the way is one kind of error."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            while chunk := response.read(_CHUNK_BYTES):
                yield chunk
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise HushmeterError(f"{url}: cannot be fetched: {reason}") from error


def _download(image: Image, file: BinaryIO, progress: Progress | None) -> None:
    """Copies the image's address to a file; size and digest must be the image's."""
    digest = hashlib.sha256()
    done = 0
    for chunk in _chunks(image.url):
        done += len(chunk)
        if done > image.bytes:
            raise HushmeterError(f"{image.url}: sends more than the image's {image.bytes} bytes")
        digest.update(chunk)
        file.write(chunk)
        if progress is not None:
            progress(done, image.bytes)
    if digest.hexdigest() != image.sha256:
        raise HushmeterError(
            f"{image.url}: sent {done} bytes with SHA-256 {digest.hexdigest()}; "
            f"the image has {image.bytes} bytes with {image.sha256}"
        )


def fetch_image(board: Board, progress: Progress | None = None) -> Path:
    """Downloads the board's image, checks it, and only then puts it in its place.

    Parameters
    ----------
    board:
        A board that runs an image.
    progress:
        Called with the bytes so far and the bytes in all.

    Returns
    -------
    Path
        Where the image is kept. A checked image that is there already is not fetched again.

    Raises
    ------
    HushmeterError
        If the address cannot be reached or sends something else; what was there before stays.
    """
    image = _image(board)
    path = image_path(board)
    if image_state(board) == "at hand":
        return path
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            _download(image, file, progress)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except HushmeterError as error:
        hint = f"try again, or get {image.file} by other means and put it at {path}"
        raise HushmeterError(error.message, hint=hint) from error
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        # It may be that not even the folder could be made.
        with contextlib.suppress(OSError):
            part.unlink()
    return path
