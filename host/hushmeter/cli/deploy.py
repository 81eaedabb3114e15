"""``hushmeter deploy``: puts the firmware onto a board."""

import json
from typing import Any

import click
from rich.console import Console as Screen
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from hushmeter.cli.board import board_option, patience_option, port_option, prompt_of
from hushmeter.devices import firmware
from hushmeter.devices.boards import load_board
from hushmeter.devices.deploy_board import Deployment
from hushmeter.devices.deploy_board import deploy as deploy_board


def _lines(done: Deployment) -> list[str]:
    """The report for people."""
    facts: dict[str, Any] = done.to_dict()
    if not done.changed:
        lines = ["{board} at {port} has firmware {version} already; nothing was changed."]
    else:
        lines = [
            "{board} at {port}: firmware {version} in place {place}, confirmed.",
            "  {files} files, {bytes} bytes; {sent_files} sent ({sent_bytes} bytes), "
            "{copied_files} copied on the board, {kept_files} there already, in {copy_ms} ms",
        ]
        if facts["previous"]:
            lines.append("  before it: {previous}")
    if facts["import_ms"] is not None:
        lines.append("  importing it takes the board {import_ms} ms, booting {boot_ms} ms")
    if facts["problem"]:
        lines.append("  the meter says: {problem}")
    return [line.format(**facts) for line in lines]


@click.command()
@board_option
@port_option
@click.option("--force", is_flag=True, help="Also an older version, or the same once more.")
@click.option(
    "--source",
    is_flag=True,
    help="Python sources instead of bytecode: slower to start, less heap, tracebacks with lines.",
)
@patience_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def deploy(
    board_name: str, port: str, force: bool, source: bool, patience_s: float, as_json: bool
) -> None:
    """Put the firmware onto a board, beside the one that it runs, and start it.

    A deployment that is cut leaves the old firmware or the new one; a new one that does not come up
    gives way to the old. Configuration, keys and journal stay. A version older than the board's is
    refused without --force.

    \b
    Example:
      hushmeter deploy --board pico --port auto
    """
    board = load_board(board_name)
    built = firmware.build(board, source=source)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        prompt_of(port, board, patience_s) as console,
        Progress(*columns, console=Screen(stderr=True), transient=True) as bar,
    ):
        task = bar.add_task("files", total=None)
        done = deploy_board(
            console,
            board,
            built,
            firmware.loader(),
            force=force,
            patience_s=patience_s,
            progress=lambda count, total: bar.update(task, completed=count, total=total),
        )
    click.echo(json.dumps(done.to_dict(), indent=2) if as_json else "\n".join(_lines(done)))
