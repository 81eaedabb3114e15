"""``hushmeter doctor``: what can be emulated here and what is missing, or what ails a board."""

import importlib.metadata
import json
import platform
import resource
import sqlite3
import sys
from typing import Any

import click
from packaging.requirements import Requirement

from hushmeter import __version__
from hushmeter.assets import main_script
from hushmeter.cli.image import describe
from hushmeter.devices.boards import Board, boards_with_image, load_board
from hushmeter.devices.ports import PortError, check_free
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.errors import HushmeterError
from hushmeter.printable import printable

_PATIENCE_S = 20.0


def missing_packages() -> dict[str, list[str]]:
    """For each extra, the packages that this Python lacks; empty where the extra is complete.

    Nothing is returned where hushmeter itself runs from its sources without being installed.
    """
    try:
        metadata = importlib.metadata.metadata("hushmeter")
    except importlib.metadata.PackageNotFoundError:
        return {}
    extras: list[str] = metadata.get_all("Provides-Extra") or []
    wanted = [Requirement(line) for line in metadata.get_all("Requires-Dist") or []]
    missing: dict[str, list[str]] = {extra: [] for extra in extras}
    for extra in extras:
        for requirement in wanted:
            marker = requirement.marker
            if marker is None or marker.evaluate({"extra": ""}):
                continue
            if marker.evaluate({"extra": extra}) and not _installed(requirement.name):
                missing[extra].append(requirement.name)
    return missing


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _interpreter() -> dict[str, Any]:
    try:
        found = find_micropython()
    except HushmeterError as error:
        return {"ok": False, "error": error.message, "hint": error.hint}
    return {
        "ok": True,
        "path": str(found.path),
        "origin": found.origin,
        "version": found.version,
        "passed_over": list(found.passed_over),
    }


def _port(name: str, board: Board | None, stop: bool) -> dict[str, Any]:
    """What was found out about the board on a port, or why the port cannot be used."""
    from hushmeter.cli.board import prompt_of
    from hushmeter.devices import doctor as boards

    try:
        console = prompt_of(name, board, _PATIENCE_S)
        check_free(console.address.now())
    except PortError as error:
        return {"ok": False, "name": name, "error": error.message, "hint": error.hint}
    return boards.examine(console, board, stop=stop).to_dict()


def examine(
    port: str | None = None, board: Board | None = None, stop: bool = False
) -> dict[str, Any]:
    """Everything that doctor reports, as one object fit for JSON.

    Parameters
    ----------
    port:
        A serial port with a board behind it, or None.
    board:
        The board that it should be, if that is known.
    stop:
        Look at its files too, for which its meter is stopped and restarted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    script = main_script()
    report: dict[str, Any] = {
        "hushmeter": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "firmware": {"ok": script.is_file(), "path": str(script)},
        "interpreter": _interpreter(),
        "images": [describe(board) for board in boards_with_image()],
        "missing_packages": missing_packages(),
        "open_files": {"soft": _limit(soft), "hard": _limit(hard)},
    }
    report["can_emulate"] = report["firmware"]["ok"] and report["interpreter"]["ok"]
    if port is not None:
        report["port"] = _port(port, board, stop)
    return report


def _limit(value: int) -> int | None:
    """A limit of the system; None if there is none."""
    return None if value == resource.RLIM_INFINITY else value


def _failure(part: dict[str, Any]) -> str:
    lines = [part["error"], part["hint"]]
    return f"\n{'':14}".join(line for line in lines if line)


def _lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The report for people: a label and a text a line."""
    found = report["interpreter"]
    script = report["firmware"]
    limit = report["open_files"]["soft"]
    lines = [
        ("hushmeter", f"{report['hushmeter']}, Python {report['python']}"),
        ("sqlite", report["sqlite"]),
        ("open files", "no limit" if limit is None else f"at most {limit}"),
        ("firmware", script["path"] if script["ok"] else f"{script['path']} is missing"),
    ]
    if found["ok"]:
        text = f"MicroPython {found['version']} from {found['origin']}: {found['path']}"
        lines.append(("interpreter", text))
        lines += [("passed over", reason) for reason in found["passed_over"]]
    else:
        lines.append(("interpreter", _failure(found)))
    for image in report["images"]:
        lines.append(("image", "{board} {version}: {state}, {path}".format(**image)))
    for extra, packages in report["missing_packages"].items():
        if packages:
            lines.append(("extra", f"{extra} lacks {', '.join(packages)}"))
    if "port" in report:
        lines += _port_lines(report["port"])
    lines.append(("street", "can be emulated" if report["can_emulate"] else "cannot be emulated"))
    return lines


def _port_lines(port: dict[str, Any]) -> list[tuple[str, str]]:
    if "error" in port:
        return [("port", f"{port['name']}: {_failure(port)}")]
    lines = [("port", f"{port['name']}: reached its {port['reached']}")]
    if port["reached"] == "nothing":
        lines = [("port", f"{port['name']}: nothing answers")]
    hello = port["hello"]
    if hello:
        who = "{meter_id} on {board}".format(**hello) if hello["meter_id"] else "of no street"
        lines.append(("meter", f"{who}, firmware {hello['firmware']}"))
    for finding in port["findings"]:
        label = "problem" if finding["problem"] else "note"
        lines.append((label, f"\n{'':14}".join(filter(None, (finding["text"], finding["advice"])))))
    if port["ok"]:
        lines.append(("board", "nothing is wrong with it"))
    return lines


@click.command()
@click.option("--port", metavar="P", help="Look at the board on this serial port (or auto) too.")
@click.option("--board", "board_name", metavar="NAME", help="Which board that should be.")
@click.option(
    "--stop",
    is_flag=True,
    help="Look at its files as well: a meter that runs is stopped and restarted.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(port: str | None, board_name: str | None, stop: bool, as_json: bool) -> None:
    """Say what can be emulated here and what is missing; or what is wrong with a board.

    A meter that answers on the port is asked how it is and not disturbed, except with --stop. A
    board where no meter answers is taken to its prompt, looked at and restarted. Exit code 0 if a
    street of unix-port meters can be emulated and nothing is wrong with the board, if one was
    named; 1 otherwise.

    \b
    Example:
      hushmeter doctor --port auto
    """
    if port is None and (board_name or stop):
        raise HushmeterError("--board and --stop need a --port")
    report = examine(port, load_board(board_name) if board_name else None, stop)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        for label, text in _lines(report):
            click.echo(printable(f"{label:<14}{text}", keep="\n"))
    if not report["can_emulate"] or not report.get("port", {"ok": True})["ok"]:
        sys.exit(1)
