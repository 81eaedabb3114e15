"""``hushmeter hil stimulus``: a board that plays a trace into another board's sensor."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hushmeter.errors import HushmeterError

_MOST_S = 86_400.0


@click.command()
@click.option("--port", required=True, help="Of the board that gives the stimulus.")
@click.option("--generator", default="pico", show_default=True, help="Which board that is.")
@click.option("--board", default="pico", show_default=True, help="The board under test.")
@click.option(
    "--into", required=True, type=click.Choice(["level", "clamp", "pulse", "pzem", "p1"]),
    help="The sensor that it plays into.",
)  # fmt: skip
@click.option(
    "--trace", "trace_file", required=True, type=click.Path(path_type=Path),
    help="CSV: time_s,watts[,power_factor].",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(0, _MOST_S), help="[default: a second beyond the trace]"
)
@click.option("--set", "given", multiple=True, metavar="NAME=N", help="As zero=0 or per_kwh=1000.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def stimulus(  # noqa: PLR0913
    port: str,
    generator: str,
    board: str,
    into: str,
    trace_file: Path,
    seconds: float | None,
    given: tuple[str, ...],
    as_json: bool,
) -> None:
    """Play a trace of watts from a second board, along the wires of the board under test's file.

    The second board needs MicroPython (hushmeter flash); the program and the trace are put on it
    here, and nothing runs on it afterwards.

    \b
    Example:
      hushmeter hil stimulus --port /dev/ttyACM1 --into level --trace kettle.csv
    """
    from hushmeter.devices.boards import load_board
    from hushmeter.emulate.stimulus import read_trace
    from hushmeter.emulate.stimulus_board import Wired, play_on_port

    trace = read_trace(trace_file)
    facts = load_board(generator)
    wired = Wired.of(load_board(board), facts, into, dict(_setting(text) for text in given))
    length_s = trace.times_s[-1] + 1 if seconds is None else seconds
    play_on_port(port, facts, wired, trace, length_s, lambda text: click.echo(text, err=True))
    energy_wh = trace.energy_ws(0, length_s) / 3600
    if as_json:
        told = {**wired.settings, "seconds": length_s, "energy_wh": energy_wh}
        click.echo(json.dumps(told, allow_nan=False))
    else:
        click.echo(f"played {length_s:g} s, {energy_wh:.3f} Wh")


def _setting(text: str) -> tuple[str, int]:
    name, equals, value = text.partition("=")
    try:
        return name, int(value)
    except ValueError:
        wanted = "a whole number" if equals else "NAME=N"
        raise HushmeterError(f"--set {text}: wanted {wanted}") from None
