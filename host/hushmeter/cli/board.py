"""Options that every command for a board has, and the way to its prompt."""

import click

from hushmeter.devices.boards import Board
from hushmeter.devices.console import Console
from hushmeter.devices.meterlink import PATIENCE_S
from hushmeter.devices.ports import choose_port

board_option = click.option(
    "--board", "board_name", required=True, metavar="NAME", help="Which board it is."
)
port_option = click.option(
    "--port", required=True, metavar="P", help="Its serial port, or auto if only one fits."
)
patience_option = click.option(
    "--patience-s",
    type=click.FloatRange(1),
    default=PATIENCE_S,
    show_default=True,
    help="How long a restarted board may be silent, or answer without coming on; in its own "
    "seconds, which are longer here where it is emulated or this machine is busy.",
)


def prompt_of(port: str, board: Board | None, patience_s: float = PATIENCE_S) -> Console:
    """The console of a board; entering it opens the prompt."""
    fresh = board is None or not board.is_process
    return Console(choose_port(port, board), patience_s=patience_s, fresh=fresh)
