"""``hushmeter flash``: puts MicroPython onto a board."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress

from hushmeter.cli.ask import accept_option, confirmed, image_consent
from hushmeter.cli.image import fetch
from hushmeter.devices.boards import Board, load_board
from hushmeter.devices.flash import Job, check_erase, choose_method, consequences
from hushmeter.devices.flash import flash as flash_board
from hushmeter.devices.formats import check_image
from hushmeter.devices.images import digest_of, expected_digest, find_image
from hushmeter.devices.ports import choose_port
from hushmeter.errors import HushmeterError


def _image_for(board: Board, own: Path | None, accept: bool) -> tuple[Path, str]:
    """The image to put on, checked, and who vouches for it: known, pinned, or you (``own``)."""
    if own is None:
        path = find_image(board) or fetch(board, image_consent(accept))
        return path, expected_digest(board)[1]
    check_image(own, board)
    digest = digest_of(own)
    wanted, source = expected_digest(board)
    if digest == wanted:
        return own, source
    question = f"{own} is not the image that is {source} for {board.name} (SHA-256 {digest})."
    if source == "unknown":
        question = f"Nobody knows the SHA-256 of {own} ({digest})."
    if not accept and not confirmed(f"{question} Take it?", "--accept-new-hash"):
        raise HushmeterError(f"{own} was not accepted; nothing was flashed")
    return own, "own"


def _run(job: Job) -> None:
    """Do the job with a bar, or with the program's lines, on standard error."""
    columns = ("[progress.description]{task.description}", BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(job.board.name, total=None, visible=job.method == "uf2")
        flash_board(
            job,
            lambda done, total: bar.update(task, completed=done, total=total),
            lambda line: click.echo(f"{job.method}: {line}", err=True),
        )


def _report(job: Job, source: str) -> dict[str, Any]:
    return {
        "board": job.board.name,
        "method": job.method,
        "image": str(job.image),
        "sha256": digest_of(job.image),
        "digest": source,
        "port": job.port,
        "erased": job.erase,
    }


@click.command()
@click.option("--board", "board_name", required=True, metavar="NAME", help="Which board it is.")
@click.option("--port", metavar="P", help="Its serial port, or auto.")
@click.option(
    "--image",
    "own",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="This file instead of the board's image.",
)
@click.option(
    "--method", metavar="WAY", help="uf2, picotool or esptool; the board's first if left out."
)
@click.option(
    "--drive",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the board's drive is mounted, for uf2.",
)
@click.option(
    "--erase", is_flag=True, help="Erase the whole flash first (esptool): files are lost."
)
@click.option("--yes", is_flag=True, help="Do not ask before the board is written.")
@accept_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def flash(
    board_name: str,
    port: str | None,
    own: Path | None,
    method: str | None,
    drive: Path | None,
    erase: bool,
    yes: bool,
    accept: bool,
    as_json: bool,
) -> None:
    """Put the board's MicroPython image onto it.

    The image is fetched if it is not at hand, and refused if its digest or its chip is not the
    board's. A board with a drive (uf2) is put into its loader through --port, or by holding BOOTSEL
    while plugging it in; esptool always needs a --port. A meter's files stay, unless --erase is
    given.

    \b
    Example:
      hushmeter flash --board pico --port auto
    """
    board = load_board(board_name)
    way = choose_method(board, method)
    device = choose_port(port, board) if port else ""
    path, source = _image_for(board, own, accept)
    check_image(path, board)
    job = Job(board, path, way, device, drive, erase)
    check_erase(job)
    for sentence in consequences(job):
        click.echo(sentence, err=True)
    if not yes and not confirmed(f"Write {path.name} to board {board.name}?", "--yes"):
        raise HushmeterError("nothing was flashed")
    _run(job)
    report = _report(job, source)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        click.echo(f"{board.name} has {path.name}, put on with {way}. Next: hushmeter deploy")
