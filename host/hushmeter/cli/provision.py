"""``hushmeter provision``: makes a board a meter of a street."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from hushfw.core import config, peripherals
from hushfw.core.battery import CONTROLLERS
from hushmeter.battery.setups import SHORT
from hushmeter.cli.battery import battery_options, controller_on_a_board
from hushmeter.cli.board import board_option, patience_option, port_option, prompt_of
from hushmeter.cli.broker import network_of, network_options
from hushmeter.cli.market.home import trading_of, trading_options
from hushmeter.cli.values import (
    noise_sampler_option,
    positive_fraction,
    privacy_cap_option,
    settings,
)
from hushmeter.cluster.keyfile import fingerprint, read_authority
from hushmeter.crypto.on_meter import NO_ENCRYPTION, Encryption, encryption_on_a_meter
from hushmeter.crypto.paillier import owner_of
from hushmeter.devices.boards import Board, load_board
from hushmeter.devices.meter_plan import Floors, MeterPlan, configuration
from hushmeter.devices.provision_board import (
    Provisioned,
    default_watchdog_ms,
    driver_settings,
)
from hushmeter.devices.provision_board import provision as provision_board
from hushmeter.devices.wiring import actuator_settings, check_apart
from hushmeter.errors import HushmeterError
from hushmeter.outputs import Outputs

_SIMPLE = "none"


def _epsilon(text: str) -> Fraction:
    epsilon = positive_fraction(text)
    if epsilon is None:
        raise HushmeterError(f"--greatest-epsilon {text}: must be above 0, such as 1 or 1/2")
    return epsilon


def _plan(board: Board, options: dict[str, Any]) -> MeterPlan:
    watchdog_ms = options["watchdog_ms"]
    driver, actuator = _wired(board, options)
    controller = controller_on_a_board(options)
    authority = read_authority(options["authority"])
    encryption = _encryption(options, authority)
    network = network_of(board, options)
    trading = trading_of(options)
    return MeterPlan(
        meter_id=options["meter_id"],
        street=options["street"],
        board=board.name,
        authority_key=authority,
        floors=Floors(
            options["least_members"],
            options["least_honest"],
            _epsilon(options["greatest_epsilon"]),
            options["shortest_slot_s"],
        ),
        controller=controller.to_config(),
        tables={**controller.files(), **encryption.files, **network.files, **trading.files},
        market=trading.terms,
        network=network.settings,
        paillier=encryption.settings,
        driver=driver,
        export=options["export"],
        actuator=actuator,
        permitted_modes=options["permit"],
        home_log_kib=options["home_log_kib"],
        watchdog_ms=default_watchdog_ms(board) if watchdog_ms is None else watchdog_ms,
        noise_sampler=options["noise_sampler"],
        report_after_ms=options["report_after_ms"],
        answer_after_ms=options["answer_after_ms"],
        privacy_cap=options["privacy_cap"],
    )


def _wired(board: Board, options: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The sensor and the actuator; takes driver.NAME and actuator.NAME out of --set."""
    given = {"driver": dict(options["driver_set"]), "actuator": {}}
    own = options["own"]
    for name in [name for name in own if name.partition(".")[0] in given]:
        part, _, setting = name.partition(".")
        if setting in given[part]:
            raise HushmeterError(f"--set {name} is given twice, also with --driver-set")
        given[part][setting] = own.pop(name)
    driver = driver_settings(board, options["driver"], given["driver"])
    actuator: Any = options["actuator"]
    if actuator not in config.ACTUATORS:
        actuator = actuator_settings(board, actuator, given["actuator"])
        check_apart(driver, actuator)
    elif given["actuator"]:
        raise HushmeterError(f"the actuator {actuator} takes no settings")
    return driver, actuator


def _encryption(options: dict[str, Any], authority: bytes) -> Encryption:
    """What the meter needs to encrypt under the home's key, if it shall."""
    key, table = options["paillier_key"], options["comb_table"]
    if key is None:
        if table is not None:
            raise HushmeterError("--comb-table needs the --paillier-key that it was made for")
        if options["bills"]:
            raise HushmeterError("--bills needs the home's --paillier-key")
        return NO_ENCRYPTION
    return encryption_on_a_meter(
        key.read_bytes(),
        None if table is None else table.read_bytes(),
        owner_of(options["street"], options["meter_id"]),
        authority,
        options["pool"],
        options["when_empty"],
        bills=options["bills"],
        leaves_kib=options["leaves_kib"],
    )


def _lines(done: Provisioned) -> list[str]:
    """The report for people."""
    lines = [
        f"meter {done.meter_id} of street {done.street} on {done.board}, firmware {done.firmware}",
        f"public key   {done.public_key.hex()}",
        f"fingerprint  {done.fingerprint}",
    ]
    if done.signing_key is not None:
        lines.append(f"signing key  {done.signing_key.hex()}")
        lines.append(f"fingerprint  {fingerprint(done.signing_key)}")
    if done.kept_identity:
        lines.append("its key is the one it had; only its configuration was written")
    if done.modes:
        lines.append(f"INSECURE modes in force: {', '.join(done.modes)}")
    return lines


@click.command()
@board_option
@port_option
@click.option("--street", required=True, metavar="NAME", help="1 to 32 bytes.")
@click.option("--meter-id", type=int, required=True, metavar="N", help="Its own in the street.")
@click.option(
    "--authority",
    required=True,
    metavar="KEY|FILE",
    help="The Ed25519 public key that signs the street's rosters: 64 hex digits, or a file.",
)
@click.option(
    "--driver",
    default="replay",
    show_default=True,
    help=f"Load driver: {', '.join(config.DRIVERS)}.",
)
@click.option(
    "--driver-set",
    multiple=True,
    callback=settings,
    metavar="NAME=N",
    help="The same as --set driver.NAME=N; pins come from the board's file.",
)
@click.option(
    "--export/--no-export", default=False, show_default=True, help="Whether the home may feed in."
)
@click.option(
    "--controller", type=click.Choice((*CONTROLLERS, *SHORT)), default=_SIMPLE, show_default=True
)
@battery_options
@click.option(
    "--controller-set",
    multiple=True,
    callback=settings,
    metavar="NAME=N",
    help="The same as --set.",
)
@click.option(
    "--actuator",
    default=_SIMPLE,
    show_default=True,
    help="What drives the battery: "
    f"{', '.join((*config.ACTUATORS, *sorted(peripherals.ACTUATORS)))}.",
)
@click.option(
    "--least-members",
    type=int,
    default=10,
    show_default=True,
    help="Floor: no roster of fewer meters is taken.",
)
@click.option(
    "--least-honest",
    type=int,
    default=5,
    show_default=True,
    help="Floor: no roster that counts on fewer honest meters.",
)
@click.option(
    "--greatest-epsilon",
    default="1",
    show_default=True,
    help="Floor: no roster with less noise, per slot.",
)
@click.option(
    "--shortest-slot-s",
    type=int,
    default=600,
    show_default=True,
    help="Floor: no roster with shorter slots.",
)
@click.option("--permit", multiple=True, metavar="MODE", help="A weakening mode; insecure.")
@click.option(
    "--watchdog-ms", type=int, metavar="N", help="0 for none. [default: the board's longest]"
)
@noise_sampler_option
@privacy_cap_option
@click.option(
    "--report-after-ms", type=int, metavar="N",
    help="A report leaves so long after its slot's end; for a driver that measures. "
    "[default: the firmware's, 5000]",
)  # fmt: skip
@click.option(
    "--answer-after-ms", type=int, metavar="N",
    help="An answer leaves so long after its announcement; likewise. [default: 2000]",
)  # fmt: skip
@click.option(
    "--home-log-kib",
    type=int,
    default=64,
    show_default=True,
    help="Room for the home's own record.",
)
@click.option(
    "--paillier-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The home's public file: encrypt readings under it.",
)
@click.option(
    "--comb-table",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its table; without one each encryption takes a board many seconds.",
)
@click.option(
    "--pool", type=int, default=8, show_default=True, help="Encryptions made ready in idle time."
)
@click.option(
    "--when-empty", type=click.Choice(config.WHEN_EMPTY), default="wait", show_default=True
)
@network_options
@trading_options
@click.option(
    "--bills", is_flag=True, help="Commit to every slot's reading under the home's key, and sign."
)
@click.option(
    "--leaves-kib",
    type=click.IntRange(*config.LEAVES_KIB),
    metavar="N",
    help="Flash for commitments that are not fetched yet; 160 is two days of 10-minute slots. "
    "[default: the firmware's, 160]",
)
@click.option(
    "--replace-identity", is_flag=True, help="Give up the board's key, journal and rosters."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the meter's line for the roster here, as JSON.",
)
@patience_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def provision(
    board_name: str,
    port: str,
    replace_identity: bool,
    out: Path | None,
    patience_s: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Write a meter's configuration and a seed, start it, and show its public key.

    The meter makes its long-term key itself; nobody else ever has the private half. Compare the
    fingerprint with the one that the street's authority sees. Floors can later be tightened, never
    loosened. Run it again to change the configuration: the key stays.

    \b
    Example:
      hushmeter provision --board pico --port auto --street "Elm Row" --meter-id 7 \\
        --authority authority.pem --controller ls2 --capacity-wh 500 --rate-w 500 --out meter7.json
      hushmeter provision --board pico --port auto --street "Elm Row" --meter-id 8 \\
        --authority authority.pem --driver pulse --set driver.imp_per_kwh=1000 \\
        --set driver.most_w=9000 --set driver.debounce_ms=20 --set driver.silent_s=120
    """
    board = load_board(board_name)
    plan = _plan(board, options)
    configuration(plan)
    with Outputs() as outputs:
        # Before the board is changed: a line that cannot be written must not cost a visit to it.
        line = outputs.open(out) if out is not None else None
        with prompt_of(port, board, patience_s) as console:
            done = provision_board(
                console, board, plan, replace_identity=replace_identity, patience_s=patience_s
            )
        text = json.dumps(done.to_dict(), indent=2)
        # The board is a meter now, whatever becomes of the file.
        click.echo(text if as_json else "\n".join(_lines(done)))
        if line is not None:
            line.write(f"{text}\n".encode())
