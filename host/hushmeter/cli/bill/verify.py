"""``hushmeter bill verify``: a total or an opened slot, from files alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hushmeter.cli.bill import shared
from hushmeter.errors import HushmeterError
from hushmeter.printable import printable

if TYPE_CHECKING:
    from hushmeter.market.bills.failures import Failure
    from hushmeter.market.bills.files import TotalFile
    from hushmeter.market.bills.verifying import Evidence


@click.command()
@click.argument("opened", type=shared.FILE)
@click.option("--leaves", type=shared.FILE, required=True, help="One's own copy of the leaves.")
@click.option("--public", type=shared.FILE, required=True, help="The household's public JSON file.")
@click.option("--tariff", type=shared.FILE, help="The tariff; not for a single slot.")
@shared.authority
@shared.transcripts
@shared.meter_key
@click.option("--bill", "bill_path", type=shared.FILE, help="A bill that must ask for this amount.")
@click.option("--issue", type=shared.FILE, help="Write the bill that follows, if all holds.")
@click.option("--insecure", is_flag=True, help="Take a key of 1024 bits: for trials only.")
@shared.as_json
def verify(
    opened: Path,
    leaves: Path,
    public: Path,
    tariff: Path | None,
    authority: str,
    transcripts: tuple[Path, ...],
    meter_key: str | None,
    bill_path: Path | None,
    issue: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Check what a home OPENED: print `verified`, or the slot and step that fail and exit with 1.

    Nothing secret is needed, and no network. Files that are none exit with 2.

    \b
    Example:
      hushmeter bill verify total.json --leaves leaves.json --public home.json \\
        --tariff tariff.json --authority authority.pem
    """
    from hushmeter.cluster.keyfile import read_authority
    from hushmeter.market.bills import files
    from hushmeter.market.bills.failures import Failure
    from hushmeter.market.bills.verifying import Evidence

    evidence = Evidence(
        files.read(leaves, files.LeavesFile),
        files.read(public, files.PublicKeyFile),
        read_authority(authority),
        shared.public_ed25519(meter_key, "--meter-key"),
        insecure,
    )
    try:
        if files.kind_of(opened) == files.KINDS[files.SlotFile]:
            facts = _slot(opened, evidence)
        else:
            facts = _total(opened, evidence, tariff, transcripts, bill_path, issue)
    except Failure as failure:
        _told(failure, as_json)
        sys.exit(shared.FAILED)
    if as_json:
        click.echo(json.dumps({"verified": True, **facts}))
        return
    click.echo("verified")
    shared.shown(facts, as_json=False)


def _total(
    path: Path,
    evidence: Evidence,
    tariff: Path | None,
    transcripts: tuple[Path, ...],
    bill_path: Path | None,
    issue: Path | None,
) -> dict[str, Any]:
    from hushmeter.market.bills import files, verifying
    from hushmeter.market.bills.tariffs import TariffFile
    from hushmeter.outputs import write_whole

    total = files.read(path, files.TotalFile)
    if tariff is None:
        raise HushmeterError("--tariff is missing: the prices of the total")
    bill = None if bill_path is None else files.read(bill_path, files.BillFile)
    said = files.read(tariff, TariffFile)
    amount = verifying.verify_total(total, evidence, said, transcripts, bill)
    if issue is not None:
        write_whole(issue, files.written(verifying.bill_of(total, amount)))
    return {
        "home": f"{total.home.street}/{total.home.meter_id}",
        "first_slot": total.first_slot,
        "last_slot": total.last_slot,
        "amount_micro": amount,
        "reissue": total.reissue,
        "slots_not_measured": _not_measured(total, evidence),
    }


def _not_measured(total: TotalFile, evidence: Evidence) -> int:
    """Slots of the period that are billed as 0 since the meter was not there."""
    from hushmeter.market.bills.commitments import NOT_MEASURED

    slots = {
        leaf.slot
        for leaf in evidence.leaves.leaves
        if total.first_slot <= leaf.slot <= total.last_slot and int(leaf.c, 16) == NOT_MEASURED
    }
    return len(slots)


def _slot(path: Path, evidence: Evidence) -> dict[str, Any]:
    from hushmeter.market.bills import files, verifying

    said = files.read(path, files.SlotFile)
    energy_wh = verifying.verify_slot(said, evidence)
    return {
        "home": f"{said.home.street}/{said.home.meter_id}",
        "slot": said.slot,
        "register": said.register,
        "energy_wh": energy_wh,
    }


def _told(failure: Failure, as_json: bool) -> None:
    if as_json:
        facts = {
            "verified": False,
            "step": failure.step,
            "slot": failure.first_slot,
            "last_slot": failure.last_slot,
            "reason": failure.reason,
        }
        click.echo(json.dumps(facts))
        return
    click.echo(f"failed: {printable(failure.message)}")
