"""``hushmeter bill total`` and ``bill dispute``: what the home opens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hushmeter.cli.bill import shared
from hushmeter.printable import printable

if TYPE_CHECKING:
    from hushmeter.market.bills.failures import Failure
    from hushmeter.market.bills.home import Household

_HOME = click.option(
    "--home", "folder", required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The home's own folder, which remembers what was opened: make it once, and keep it. It is "
    "not made here, since a new one would let the same slots be opened again.",
)  # fmt: skip
_KEY = click.option("--key", type=shared.FILE, required=True, help="The household's private key.")


def _household(key: Path, authority: str, folder: Path, meter_key: str | None) -> Household:
    from hushmeter.cluster.keyfile import read_authority
    from hushmeter.crypto.keyfiles import read_private
    from hushmeter.market.bills.home import Household

    known = shared.public_ed25519(meter_key, "--meter-key")
    return Household(read_private(key), read_authority(authority), folder, known)


def _refused(failure: Failure) -> None:
    click.echo(f"refused: {printable(failure.message)}", err=True)
    sys.exit(shared.FAILED)


@click.command()
@click.argument("leaves", type=shared.FILE)
@_KEY
@click.option("--tariff", type=shared.FILE, required=True, help="The published tariff.")
@shared.authority
@_HOME
@click.option("--first-slot", type=click.IntRange(0), required=True, help="Of the period.")
@click.option("--last-slot", type=click.IntRange(0), required=True, help="Of the period.")
@shared.transcripts
@shared.meter_key
@click.option(
    "--reissue", is_flag=True,
    help="Agree to open the period a second time, under corrected prices: tells more of it.",
)  # fmt: skip
@click.option("--out", type=shared.FILE, required=True, help="The total, for the utility.")
@shared.as_json
def total(
    leaves: Path,
    key: Path,
    tariff: Path,
    authority: str,
    folder: Path,
    first_slot: int,
    last_slot: int,
    transcripts: tuple[Path, ...],
    meter_key: str | None,
    reissue: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Open what a period costs; everything is checked before. A refusal exits with 1.

    LEAVES are the home's own: what its meter committed to and signed.

    \b
    Example:
      hushmeter bill total leaves.json --key home.key --tariff tariff.json \\
        --authority authority.pem --home home/ --first-slot 0 --last-slot 1007 --out total.json
    """
    from hushmeter.market.bills import files, home
    from hushmeter.market.bills.failures import Failure
    from hushmeter.market.bills.tariffs import TariffFile
    from hushmeter.outputs import Outputs

    household = _household(key, authority, folder, meter_key)
    found = files.read(leaves, files.LeavesFile)
    said = files.read(tariff, TariffFile)
    with Outputs() as outputs:
        # What cannot be written is found out before anything is opened.
        outputs.open(out)
        try:
            made = home.open_total(
                household, found, said, first_slot, last_slot, transcripts, reissue
            )
        except Failure as failure:
            _refused(failure)
        outputs.put(out, files.written(made))
    facts: dict[str, Any] = {
        "amount_micro": int(made.amount_micro),
        "registers": {register: int(one.total) for register, one in made.registers.items()},
        "first_slot": first_slot,
        "last_slot": last_slot,
        "reissue": made.reissue,
        "tariff_sha256": made.tariff_sha256,
    }
    shared.shown(facts, as_json)


@click.command()
@click.argument("leaves", type=shared.FILE)
@_KEY
@shared.authority
@_HOME
@click.option("--slot", type=click.IntRange(0), required=True, help="The slot in dispute.")
@click.option(
    "--register", type=click.Choice(["import", "export"]), default="import", show_default=True
)
@click.option("--consent", is_flag=True, help="Agree that the utility learns this slot.")
@shared.meter_key
@click.option("--out", type=shared.FILE, required=True, help="The opened slot, for the utility.")
@shared.as_json
def dispute(
    leaves: Path,
    key: Path,
    authority: str,
    folder: Path,
    slot: int,
    register: Any,
    consent: bool,
    meter_key: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Open one slot, to settle a dispute: counted among the home's disclosures.

    \b
    Example:
      hushmeter bill dispute leaves.json --key home.key --authority authority.pem --home home/ \\
        --slot 17 --consent --out slot.json
    """
    from hushmeter.market.bills import files, home
    from hushmeter.market.bills.failures import Failure
    from hushmeter.outputs import Outputs

    household = _household(key, authority, folder, meter_key)
    found = files.read(leaves, files.LeavesFile)
    with Outputs() as outputs:
        outputs.open(out)
        try:
            made = home.open_slot(household, found, slot, register, consent)
        except Failure as failure:
            _refused(failure)
        outputs.put(out, files.written(made))
    shared.shown({"slot": slot, "register": register, "energy_wh": int(made.opened.total)}, as_json)
