"""``hushmeter boards``: the boards, what they can, and what was checked of each."""

import json
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from hushmeter.devices.boards import board_names, load_board
from hushmeter.devices.facts import Board


def describe(board: Board) -> dict[str, Any]:
    """A board's file as one object fit for JSON, with its status in one line and pin by role."""
    facts: dict[str, Any] = msgspec.to_builtins(board)
    facts["capabilities"] = sorted(board.capabilities)
    return facts | {"status": board.status, "roles": board.roles()}


def _size(count: int) -> str:
    return (
        f"{count >> 20} MiB" if count >> 20 and not count % (1 << 20) else f"{count / 1024:.0f} KiB"
    )


def _flash(board: Board) -> str:
    return _size(board.flash.bytes) if board.flash is not None else ""


def _overview(boards: list[Board]) -> Table:
    table = Table("board", "chip", "flash", "can do", "checked", box=None, pad_edge=False)
    for board in boards:
        row = (board.chip, _flash(board), ", ".join(sorted(board.capabilities)), board.status)
        table.add_row(board.name, *row)
    return table


def _lines(board: Board) -> list[tuple[str, str]]:
    """One board for people: a label and a text a line."""
    heap = f"{board.heap.bytes} bytes"
    lines = [
        ("board", f"{board.name}: {board.description}"),
        ("also called", ", ".join(board.aliases)),
        ("chip", f"{board.chip}, port {board.port}"),
        ("says of itself", board.machine),
        ("heap", heap if board.heap.known == "measured" else f"at least {heap}"),
        ("flash", _flash(board)),
        ("files", _files(board)),
        ("console", " ".join((board.console.kind, *board.console.usb_ids))),
        ("image", _image(board)),
        ("put on with", ", ".join(board.loader.methods) if board.loader else ""),
        ("watchdog", _watchdog(board)),
        ("can do", ", ".join(sorted(board.capabilities))),
    ]
    lines += [("pin", f"{role}: {pin}") for role, pin in board.roles().items()]
    roles = board.roles()
    for wire in board.hil.wires:
        through = f", through {wire.through}" if wire.through else ""
        end = f"{wire.peer} of {board.hil.peer}"
        lines.append(("wire", f"{roles[wire.role]} ({wire.role}) to {end}{through}"))
    lines += [("checked", f"{check.what}: {check.how}") for check in board.checked]
    lines.append(("status", board.status))
    return [(label, text) for label, text in lines if text]


def _files(board: Board) -> str:
    place = board.filesystem
    return f"{place.kind}, {_size(place.bytes)} at {place.start:#x}" if place.bytes else place.kind


def _image(board: Board) -> str:
    if board.image is None:
        return ""
    known = "digest known" if board.image.sha256 else "digest pinned at the first download"
    return f"MicroPython {board.image.version}, {board.image.file} ({known})"


def _watchdog(board: Board) -> str:
    if board.watchdog is None:
        return ""
    longest = board.watchdog.longest_ms
    return f"at most {longest} ms" if longest else "no longest time-out"


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def boards(name: str | None, as_json: bool) -> None:
    """List the boards, with what each can do and what was checked of it; or show NAME in full.

    "emulated" means an official image on an emulated chip. No board here has run on silicon unless
    its line says so.

    \b
    Example:
      hushmeter boards unix
    """
    known = [load_board(name)] if name else [load_board(each) for each in board_names()]
    if as_json:
        click.echo(json.dumps({"boards": [describe(board) for board in known]}, indent=2))
    elif name:
        for label, text in _lines(known[0]):
            click.echo(f"{label:<16}{text}")
    else:
        Console().print(_overview(known))
