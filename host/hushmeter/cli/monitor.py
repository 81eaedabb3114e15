"""``hushmeter monitor``: what a meter says, live."""

import json
from collections.abc import Iterator
from contextlib import closing

import click
from rich.console import Console
from rich.live import Live

from hushmeter.cli.board import port_option
from hushmeter.cli.monitor_view import View
from hushmeter.devices.address import Address
from hushmeter.devices.monitor import Event, watch
from hushmeter.devices.ports import choose_port


@click.command()
@port_option
@click.option(
    "--every-s",
    type=click.FloatRange(0.2),
    default=5.0,
    show_default=True,
    help="Time between two looks.",
)
@click.option("--count", type=click.IntRange(1), help="End after so many events.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def monitor(port: str, every_s: float, count: int | None, as_json: bool) -> None:
    """Show what a meter says: hello, status, the board's life, and reports as they pass by.

    Nothing on the meter changes. A meter that goes away is waited for. Ctrl-C ends.

    \b
    Example:
      hushmeter monitor --port auto
    """
    device = choose_port(port)
    with closing(watch(Address(device), every_s)) as events:
        try:
            _show(_first(events, count), device, as_json)
        except KeyboardInterrupt:
            return


def _first(events: Iterator[Event], count: int | None) -> Iterator[Event]:
    for number, event in enumerate(events, 1):
        yield event
        if number == count:
            return


def _show(events: Iterator[Event], device: str, as_json: bool) -> None:
    if as_json:
        for event in events:
            click.echo(json.dumps(event.to_dict()))
        return
    view = View(device)
    with Live(console=Console(), auto_refresh=False) as screen:
        for event in events:
            screen.update(view.take(event), refresh=True)
