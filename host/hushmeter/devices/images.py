"""MicroPython images of boards: one folder, one variable, and never one unchecked.

The folder is ``images`` in the cache: $HUSHMETER_CACHE if that is set, else
$XDG_CACHE_HOME/hushmeter, else ~/.cache/hushmeter. An image is used only if its SHA-256 is the one
in the board's file, or the one that the user has accepted where that file names none
(:mod:`hushmeter.devices.trust`); so it does not matter how it came there.
"""

import contextlib
import datetime
import hashlib
import http.client
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from hushmeter.devices import trust
from hushmeter.devices.boards import Board, Image
from hushmeter.devices.folders import user_folder
from hushmeter.devices.formats import check_image
from hushmeter.errors import HushmeterError

VARIABLE = "HUSHMETER_CACHE"

Progress = Callable[[int, int], None]

State = Literal["at hand", "missing", "damaged", "not accepted"]

_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = 30


def cache_dir() -> Path:
    """The user's cache folder of this project; it need not exist yet."""
    return user_folder(VARIABLE, "XDG_CACHE_HOME", ".cache", "images")


def _image(board: Board) -> Image:
    if board.image is None:
        raise HushmeterError(f"board {board.name} runs no image: nothing is flashed onto it")
    return board.image


def image_path(board: Board) -> Path:
    """Where the board's image is kept; it may be absent, and what is there is not checked yet."""
    return cache_dir() / "images" / _image(board).file


def expected_digest(board: Board) -> tuple[str, Literal["known", "pinned", "unknown"]]:
    """The SHA-256 that the board's image must have, and who says so.

    ``known`` is from the board's file, ``pinned`` from the user; ``unknown`` goes with "".
    """
    image = _image(board)
    if image.sha256:
        return image.sha256, "known"
    pin = trust.pinned(image.url)
    return (pin.sha256, "pinned") if pin is not None else ("", "unknown")


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
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
        If the file is there with other content, if nobody has accepted its content yet, or if
        the board runs no image at all.
    """
    path = image_path(board)
    state = image_state(board)
    if state == "missing":
        return None
    wanted, source = expected_digest(board)
    if state == "not accepted":
        raise HushmeterError(
            f"{path}: nobody has said yet whether its SHA-256 is right",
            hint=f"look at it and accept it with: hushmeter image {board.name} --fetch",
        )
    if state == "damaged":
        who = "the board's file says" if source == "known" else "what you accepted was"
        raise HushmeterError(
            f"{path}: its SHA-256 is {digest_of(path)}, {who} {wanted}",
            hint=f"fetch it again with: hushmeter image {board.name} --fetch",
        )
    return path


def image_state(board: Board) -> State:
    """Whether the board's image could be used now."""
    path = image_path(board)
    if not path.is_file():
        return "missing"
    wanted, source = expected_digest(board)
    if source == "unknown":
        return "not accepted"
    return "at hand" if digest_of(path) == wanted else "damaged"


def _chunks(url: str) -> Iterator[bytes]:
    """What the address sends, piece by piece; what goes wrong on the way is one kind of error."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            announced = response.headers.get("Content-Length", "")
            done = 0
            while chunk := response.read(_CHUNK_BYTES):
                done += len(chunk)
                yield chunk
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise HushmeterError(f"{url}: cannot be fetched: {reason}") from error
    if announced.isdigit() and done < int(announced):
        raise HushmeterError(f"{url}: sent {done} bytes of {announced}")


def _download(board: Board, file: BinaryIO, progress: Progress | None) -> str:
    """Copies the image's address to a file and returns its SHA-256; the size must be right."""
    image = _image(board)
    digest = hashlib.sha256()
    most = image.bytes or (board.flash.bytes * 2 if board.flash is not None else 0)
    done = 0
    for chunk in _chunks(image.url):
        done += len(chunk)
        if done > most:
            raise HushmeterError(f"{image.url}: sends more than the image's {most} bytes")
        digest.update(chunk)
        file.write(chunk)
        if progress is not None:
            progress(done, image.bytes or 0)
    if image.bytes is not None and done != image.bytes:
        raise HushmeterError(f"{image.url}: sent {done} bytes; the image has {image.bytes}")
    return digest.hexdigest()


def _judge(board: Board, path: Path, digest: str, consent: trust.Consent | None) -> None:
    """Refuses a file that is not the image; asks the user where nobody knows what is right."""
    image = _image(board)
    wanted, source = expected_digest(board)
    size = path.stat().st_size
    if source != "unknown":
        if digest != wanted:
            who = "the image has" if source == "known" else "you accepted"
            raise HushmeterError(
                f"{image.url}: sent {size} bytes with SHA-256 {digest}; {who} {wanted}"
            )
        return
    check_image(path, board)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    new = trust.Pin(url=image.url, sha256=digest, bytes=size, date=today)
    if consent is None or not consent(new):
        raise HushmeterError(
            f"{image.url}: nobody here knows what its SHA-256 should be; it sent {digest}"
        )
    trust.pin(new)


def fetch_image(
    board: Board, progress: Progress | None = None, consent: trust.Consent | None = None
) -> Path:
    """Downloads the board's image, checks it, and only then puts it in its place.

    Parameters
    ----------
    board:
        A board that runs an image.
    progress:
        Called with the bytes so far and the bytes in all, or 0 where those are not known.
    consent:
        Asked once about an image whose digest nobody knows; the answer is kept. Without it such
        an image is refused.

    Returns
    -------
    Path
        Where the image is kept. A checked image that is there already is not fetched again.

    Raises
    ------
    HushmeterError
        If the address cannot be reached or sends something else, or the user does not accept it;
        what was there before stays.
    """
    image = _image(board)
    path = image_path(board)
    if image_state(board) == "at hand":
        return path
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            digest = _download(board, file, progress)
            file.flush()
            os.fsync(file.fileno())
        _judge(board, part, digest, consent)
        part.replace(path)
    except HushmeterError as error:
        hint = error.hint or (
            f"try again, get {image.file} by other means and put it at {path}, "
            "or accept a new digest with --accept-new-hash"
            if not image.sha256
            else f"try again, or get {image.file} by other means and put it at {path}"
        )
        raise HushmeterError(error.message, hint=hint) from error
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        # It may be that not even the folder could be made.
        with contextlib.suppress(OSError):
            part.unlink()
    return path


def accept_image(board: Board, consent: trust.Consent) -> Path:
    """Asks about an image that was put in its place by hand, and pins its digest.

    Raises
    ------
    HushmeterError
        If it is missing, is no image for this board, or is not accepted.
    """
    path = image_path(board)
    if not path.is_file():
        raise HushmeterError(f"{path} is missing", hint=f"hushmeter image {board.name} --fetch")
    _judge(board, path, digest_of(path), consent)
    return path
