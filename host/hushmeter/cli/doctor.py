"""``hushmeter doctor``: what can be emulated here, and what is missing."""

import importlib.metadata
import json
import platform
import resource
import sqlite3
import sys
from typing import Any

import click
from packaging.requirements import Requirement
from serial.tools import list_ports

from hushmeter import __version__
from hushmeter.assets import main_script
from hushmeter.cli.image import boards_with_image, describe
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.errors import HushmeterError


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


def _port(name: str) -> dict[str, Any]:
    """What the meter on a port says of itself, or why it says nothing."""
    from hushmeter.link import probe

    try:
        return {"ok": True, "name": name, "hello": probe(name)}
    except HushmeterError as error:
        present = [port.device for port in list_ports.comports()]
        hint = error.hint or f"ports on this machine: {', '.join(present) or 'none'}"
        return {"ok": False, "name": name, "error": error.message, "hint": hint}


def examine(port: str | None = None) -> dict[str, Any]:
    """Everything that doctor reports, as one object fit for JSON.

    Parameters
    ----------
    port:
        A serial port to greet, or None.
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
        report["port"] = _port(port)
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
        port = report["port"]
        answer = json.dumps(port["hello"]) if port["ok"] else _failure(port)
        lines.append(("port", f"{port['name']}: {answer}"))
    lines.append(("street", "can be emulated" if report["can_emulate"] else "cannot be emulated"))
    return lines


@click.command()
@click.option("--port", metavar="P", help="Open this serial port too and ask for its hello.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(port: str | None, as_json: bool) -> None:
    """Say what can be emulated here, and what is missing.

    Exit code 0 if a street of unix-port meters can be emulated and the port, if one was named,
    answered; 1 otherwise.

    \b
    Example:
      hushmeter doctor --json
    """
    report = examine(port)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        for label, text in _lines(report):
            click.echo(f"{label:<14}{text}")
    if not report["can_emulate"] or not report.get("port", {"ok": True})["ok"]:
        sys.exit(1)
