"""``hushmeter bridge``: meters on serial ports, or emulated ones, behind an MQTT broker."""

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path

import click

from hushfw.core.mqtt import OVER_NETWORK
from hushmeter.cli.broker import broker_from, broker_options
from hushmeter.devices.meter_plan import CONFIG_FILE, Whose
from hushmeter.devices.ports import choose_port
from hushmeter.emulate.unix import UnixMeter, allow_meters
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, SerialTransport, Transport
from hushmeter.link.bridge import FEEDING, Served, serve
from hushmeter.link.broker import trust


@click.command()
@click.option("--port", "ports", metavar="P[,P..]", help="Serial ports, or auto.")
@click.option(
    "--street-name", metavar="NAME", help="The street of the meters on ports: it is in the topics."
)
@click.option(
    "--street", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Start the emulated meters whose storage lies in this folder, and bridge them.",
)  # fmt: skip
@broker_options
@click.option("--seconds", type=click.FloatRange(0.1), help="End by itself after so long.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def bridge(
    ports: str | None,
    street_name: str | None,
    folder: Path | None,
    seconds: float | None,
    as_json: bool,
    **options: object,
) -> None:
    """Carry the frames of meters without Wi-Fi to a broker and back. Ctrl-C ends.

    A meter that goes away is announced as such and waited for, and so is the broker. What waits for
    the broker is bounded; what it had no room for is counted. Requests for the console only (such
    as maintenance) are refused here. An emulated meter may be fed through the broker.

    \b
    Example:
      hushmeter bridge --port auto --street-name "Elm Row" --broker mqtt://127.0.0.1
      hushmeter bridge --street out/street/street --broker mqtts://broker.lan --ca authority.pem
    """
    if (ports is None) == (folder is None):
        raise HushmeterError("give either --port or --street")
    if ports is not None and street_name is None:
        raise HushmeterError("--port needs --street-name: a meter does not say its street's name")
    broker, authority = broker_from(options)
    context = trust(broker, authority)

    def say(text: str) -> None:
        click.echo(text, err=True)

    with ExitStack() as stack:
        if ports is not None:
            meters = [_on_port(port, str(street_name), stack) for port in ports.split(",")]
        else:
            meters = _emulated(folder or Path(), stack)
        _check_apart(meters)
        found = asyncio.run(serve(meters, broker, context, say, seconds))
    if as_json:
        click.echo(json.dumps({"broker": str(broker), "meters": found}))


def _on_port(name: str, street: str, stack: ExitStack) -> Served:
    """A meter on a port, which says who it is."""
    port = choose_port(name)

    def open_port() -> Transport:
        return SerialTransport(port)

    transport = open_port()
    stack.callback(transport.close)
    hello = Link(transport, timeout_s=4.0).request("hello_request").fields
    if not hello["meter_id"]:
        raise HushmeterError(
            f"the meter at {port} does not work: {hello['problem']}",
            hint=f"hushmeter doctor --port {port}",
        )
    return Served(street, hello["meter_id"], open_port, transport)


def _emulated(folder: Path, stack: ExitStack) -> list[Served]:
    """All meters of a folder, started."""
    storages = sorted(path.parent for path in folder.glob(f"*/{CONFIG_FILE}"))
    if not storages:
        raise HushmeterError(
            f"{folder} has no folder of a meter in it",
            hint="hushmeter emulate --out out/x makes some, in out/x/street",
        )
    allow_meters(len(storages))
    return [_process(storage, stack) for storage in storages]


def _process(storage: Path, stack: ExitStack) -> Served:
    whose = Whose.said_by((storage / CONFIG_FILE).read_bytes())
    if whose is None:
        raise HushmeterError(f"{storage / CONFIG_FILE} does not say whose meter it is")
    meter = UnixMeter(storage)

    def start() -> Transport:
        meter.start()
        return meter

    stack.callback(meter.kill)
    return Served(whose.street, whose.meter_id, start, start(), (*OVER_NETWORK, *FEEDING))


def _check_apart(meters: list[Served]) -> None:
    seen: set[tuple[str, int]] = set()
    for meter in meters:
        whose = (meter.street, meter.meter_id)
        if whose in seen:
            raise HushmeterError(f"two of them are meter {meter.meter_id} of {meter.street!r}")
        seen.add(whose)
