"""``hushmeter ledger``: what a meter has spent, and what its home has told exactly."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hushmeter.cli.compiling import says_compiling
from hushmeter.devices.address import Address
from hushmeter.devices.meterlink import open_link
from hushmeter.devices.ports import AUTO, choose_port
from hushmeter.errors import HushmeterError
from hushmeter.outputs import write_whole
from hushmeter.privacy.disclosures import Disclosure, Disclosures
from hushmeter.privacy.ledger import Account, asked, home_folder, stored

if TYPE_CHECKING:
    from hushmeter.privacy.exposure import HomeExposure


@click.command()
@click.option("--meter", "meter_id", type=click.IntRange(1), metavar="ID", help="Which meter.")
@click.option(
    "--from", "source", required=True, metavar="DIR|PORT",
    help="What emulate --out was given, one home's folder, or the port of a live meter.",
)  # fmt: skip
@click.option(
    "--home", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
    help="The home's folder with its list of disclosures. [default: that of --from]",
)  # fmt: skip
@click.option(
    "--truth", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What homes --truth wrote with the load: the page then shows each appliance.",
)  # fmt: skip
@click.option("--page", type=click.Path(path_type=Path), help="Write one self-contained page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@says_compiling
def ledger(  # noqa: PLR0913
    meter_id: int | None,
    source: str,
    home: Path | None,
    truth: Path | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Show what a meter's reports have spent, its home's cap, and what was told exactly.

    A storage folder is only read; nothing on a meter changes. The page holds the home's readings.

    \b
    Example:
      hushmeter ledger --meter 3 --from out/street --page out/ledger.html
      hushmeter ledger --from /dev/ttyACM0 --home home7 --json
    """
    if truth is not None and page is None:
        raise HushmeterError("--truth without --page: appliances are shown on the page alone")
    folder = _folder(source, meter_id)
    if truth is not None and folder is None:
        raise HushmeterError("--truth needs a home's folder: a port does not give its readings")
    account = _live(source, meter_id) if folder is None else stored(folder)
    told = home or folder
    disclosures = [] if told is None else Disclosures(told).all()
    if page is not None:
        exposure = None if folder is None else _exposure(folder, account, truth)
        _write(page, account, disclosures, exposure, source)
    if as_json:
        click.echo(json.dumps(account.to_dict(disclosures)))
        return
    _show(account, disclosures)
    if page is not None:
        click.echo(f"Page: {page}")


def _folder(source: str, meter_id: int | None) -> Path | None:
    """The home's storage; None where the source is a port."""
    path = Path(source)
    if path.is_dir():
        return home_folder(path, meter_id)
    if source == AUTO or "://" in source or path.is_char_device():
        return None
    kind = "is a file" if path.exists() else "is not there"
    raise HushmeterError(f"--from {source} {kind}; it must be a folder, or a meter's port")


def _live(source: str, meter_id: int | None) -> Account:
    with closing(open_link(Address(choose_port(source)))) as link:
        account = asked(link)
    if meter_id not in (None, account.meter_id):
        raise HushmeterError(f"the meter at {source} is {account.meter_id}, not {meter_id}")
    return account


def _exposure(folder: Path, account: Account, truth: Path | None) -> HomeExposure | None:
    """None where nothing was reported yet, or there is no noise, so nothing is bounded."""
    from hushmeter.privacy.exposure import exposure, home_slots

    slots = home_slots(folder, account.epoch) if account.epoch else None
    if slots is None or slots.epsilon is None:
        return None
    return exposure(slots, account.meter_id, truth)


def _write(
    path: Path,
    account: Account,
    disclosures: Sequence[Disclosure],
    exposure: HomeExposure | None,
    source: str,
) -> None:
    from hushmeter.report.ledger import LedgerPage
    from hushmeter.report.ledger import page as text_of

    command = shlex.join(["hushmeter", *sys.argv[1:]])
    shown = LedgerPage(account, disclosures, exposure, source, command)
    write_whole(path, text_of(shown).encode())


def _show(account: Account, disclosures: Sequence[Disclosure]) -> None:
    from hushmeter.report.ledger import summary

    table = Table(show_header=False, box=None, pad_edge=False, title_justify="left")
    table.title = Text(f"Privacy ledger of meter {account.meter_id}", style="bold")
    table.add_column("what", style="dim", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("note", style="dim", overflow="fold")
    for row in summary(account, disclosures):
        table.add_row(
            Text(row.label), Text(row.value, style="bold red" if row.bad else ""), Text(row.note)
        )
    Console().print(table)
    for entry in disclosures:
        slots = f"{entry.first_slot} to {entry.last_slot}"
        click.echo(f"{entry.kind}, slots {slots}: {entry.what}")
