"""``hushmeter image``: where a board's MicroPython image is, and fetching it."""

import json
import sys

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress

from hushmeter.devices.boards import Board, board_names, load_board
from hushmeter.emulate.images import fetch_image, image_path, image_state


def _fetch(board: Board) -> None:
    columns = ("[progress.description]{task.description}", BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"image of {board.name}")
        fetch_image(board, lambda done, total: bar.update(task, completed=done, total=total))


def describe(board: Board) -> dict[str, str]:
    """Board, version, path and state of the image that a board runs."""
    version = board.image.version if board.image is not None else ""
    path = str(image_path(board))
    return {"board": board.name, "version": version, "path": path, "state": image_state(board)}


def boards_with_image() -> list[Board]:
    """All boards that run an image, in alphabetical order."""
    return [board for board in map(load_board, board_names()) if board.image is not None]


@click.command()
@click.argument("board_name", metavar="[BOARD]", required=False)
@click.option("--fetch", is_flag=True, help="Download what is missing or damaged, and check it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def image(board_name: str | None, fetch: bool, as_json: bool) -> None:
    """Say where the MicroPython image of BOARD is looked for, and whether it is there.

    Without BOARD, do so for every board that runs an image. An image is "at hand" if its SHA-256
    is the one in the board's file. Exit code 1 if one is missing or damaged.

    \b
    Example:
      hushmeter image --fetch
    """
    boards = boards_with_image() if board_name is None else [load_board(board_name)]
    if fetch:
        for board in boards:
            _fetch(board)
    found = [describe(board) for board in boards]
    if as_json:
        click.echo(json.dumps({"images": found}, indent=2))
    else:
        for row in found:
            click.echo("{board}  MicroPython {version}  {state}  {path}".format(**row))
    if any(row["state"] != "at hand" for row in found):
        sys.exit(1)
