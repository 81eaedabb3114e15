"""``hushmeter image``: where a board's MicroPython image is, and fetching it."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress

from hushmeter.cli.ask import accept_option, image_consent
from hushmeter.devices.boards import Board, boards_with_image, load_board
from hushmeter.devices.images import (
    accept_image,
    expected_digest,
    fetch_image,
    image_path,
    image_state,
)
from hushmeter.devices.trust import Consent, Pin


def fetch(board: Board, consent: Consent) -> Path:
    """Download a board's image with a bar on standard error; return where it is."""
    columns = ("[progress.description]{task.description}", BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"image of {board.name}", total=None)

        def ask(pin: Pin) -> bool:
            bar.stop()
            return consent(pin)

        return fetch_image(
            board,
            lambda done, total: bar.update(task, completed=done, total=total or None),
            ask,
        )


def describe(board: Board) -> dict[str, str]:
    """Board, version, path and state of the image that a board runs, and its digest.

    ``digest`` says where the digest comes from: ``known`` from the board's file, ``pinned`` by the
    user, ``unknown``.
    """
    version = board.image.version if board.image is not None else ""
    path = str(image_path(board))
    sha256, digest = expected_digest(board)
    return {
        "board": board.name,
        "version": version,
        "path": path,
        "state": image_state(board),
        "digest": digest,
        "sha256": sha256,
    }


@click.command()
@click.argument("board_name", metavar="[BOARD]", required=False)
@click.option("--fetch", "download", is_flag=True, help="Download what is missing or damaged.")
@accept_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def image(board_name: str | None, download: bool, accept: bool, as_json: bool) -> None:
    """Say where the MicroPython image of BOARD is looked for, and whether it is there.

    Without BOARD, do so for every board that runs an image. An image is "at hand" if its SHA-256
    is the one in the board's file. Where that file names none, the first download is shown and, if
    you accept it, pinned: from then on only that file is taken. --accept-new-hash without --fetch
    pins a file that was put in its place by hand. Exit code 1 if one is not at hand.

    \b
    Example:
      hushmeter image --fetch
    """
    boards = boards_with_image() if board_name is None else [load_board(board_name)]
    for board in boards:
        if download:
            fetch(board, image_consent(accept))
        elif accept and image_state(board) == "not accepted":
            accept_image(board, image_consent(accept))
    found = [describe(board) for board in boards]
    if as_json:
        click.echo(json.dumps({"images": found}, indent=2))
    else:
        for row in found:
            click.echo(
                "{board}  MicroPython {version}  {state}, digest {digest}  {path}".format(**row)
            )
    if any(row["state"] != "at hand" for row in found):
        sys.exit(1)
