"""``hushmeter bill fetch``: a meter's commitments and signed roots, into the file of leaves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hushmeter.cli.bill import shared
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.link import Transport
    from hushmeter.market.bills.fetch import Fetched
    from hushmeter.market.bills.files import Home, LeavesFile


@click.command()
@click.option("--port", metavar="P", help="The meter's serial port, or auto if only one fits.")
@click.option(
    "--street", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
    help="The folder of an emulated street, as emulate --out made it: its meter is switched on.",
)  # fmt: skip
@click.option(
    "--meter", "meter_id", type=click.IntRange(1), metavar="ID",
    help="Which meter. [default with --port: whichever answers]",
)  # fmt: skip
@click.option("--street-name", metavar="NAME", help="The name of its street; with --port.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True,
    help="Folder for leaves-ID.json; what an earlier fetch left there is continued.",
)  # fmt: skip
@click.option(
    "--certify", type=shared.FILE,
    help="The authority's private key: put its certificate of the meter's key into the file.",
)  # fmt: skip
@click.option(
    "--keep/--no-keep", default=True, show_default=True,
    help="Tell the meter that the home has them: once the utility has too, it drops them.",
)  # fmt: skip
@shared.as_json
def fetch(
    port: str | None,
    street: Path | None,
    meter_id: int | None,
    street_name: str | None,
    out: Path,
    certify: Path | None,
    keep: bool,
    as_json: bool,
) -> None:
    """Fetch what a meter has committed to, and have it sign what it has not signed yet.

    Each root is made again from its leaves and each signature checked. The key that signed is
    printed: compare it with what the meter's provisioning said, or let --certify vouch for it.

    \b
    Example:
      hushmeter bill fetch --port auto --street-name "Elm Row" --out bills
      hushmeter bill fetch --street out/street --meter 1 --out bills
    """
    from hushmeter.link import Link
    from hushmeter.market.bills import fetch as fetching
    from hushmeter.market.bills import files
    from hushmeter.outputs import make_folder, write_whole

    if (port is None) == (street is None):
        raise HushmeterError("either --port or --street must be given")
    if street is not None and meter_id is None:
        raise HushmeterError("--street needs --meter: which of its meters")
    make_folder(out)
    transport, home = _emulated(street, meter_id or 0) if street else _on_port(port, street_name)
    link = Link(transport, timeout_s=20.0)
    try:
        hello = link.request("hello_request").fields
        if meter_id not in (None, hello["meter_id"]):
            raise HushmeterError(f"it answers as meter {hello['meter_id']}, not as {meter_id}")
        if hello["problem"]:
            raise HushmeterError(f"the meter does not work: {hello['problem']}")
        home = home or files.Home(street_name or "", hello["meter_id"])
        path = out / f"leaves-{home.meter_id}.json"
        old = files.read(path, files.LeavesFile) if path.exists() else None
        since = old.batches[-1].last_slot + 1 if old is not None and old.batches else 0
        found = fetching.fetch(link, home, since)
        whole = found.file if old is None else fetching.merged(old, found.file)
        write_whole(path, files.written(_certified(whole, certify)))
        if keep:
            fetching.tell_kept(link, found.first_slots)
    finally:
        link.close()
    shared.shown(_facts(path, whole, found), as_json)


def _facts(path: Path, whole: LeavesFile, found: Fetched) -> dict[str, object]:
    from hushmeter.cluster.keyfile import fingerprint

    key = bytes.fromhex(whole.signer.public_key)
    return {
        "file": str(path),
        "first_slot": whole.batches[0].first_slot if whole.batches else None,
        "last_slot": whole.batches[-1].last_slot if whole.batches else None,
        "roots": len(whole.batches),
        "leaves": len(whole.leaves),
        "not_measured": sum(int(leaf.c, 16) == 1 for leaf in whole.leaves),
        "new_roots": len(found.first_slots),
        "lost_slots": found.lost_slots,
        "meter_key": whole.signer.public_key,
        "fingerprint": fingerprint(key),
    }


def _certified(file: LeavesFile, certify: Path | None) -> LeavesFile:
    """The file with the authority's certificate of its meter's key, where it is at hand."""
    import msgspec

    from hushmeter.cluster.keyfile import read_seed
    from hushmeter.market.bills.commitments import certificate
    from hushmeter.market.bills.files import Signer

    if certify is None:
        return file
    key = file.signer.public_key
    word = certificate(file.home, bytes.fromhex(key), read_seed(certify))
    return msgspec.structs.replace(file, signer=Signer(key, word))


def _on_port(port: str | None, street_name: str | None) -> tuple[Transport, Home | None]:
    from hushmeter.devices.ports import open_port

    if not street_name:
        raise HushmeterError(
            "--port needs --street-name: a commitment is bound to the street's name",
            hint="it is the name that the meter was provisioned with",
        )
    return open_port(port or ""), None


def _emulated(folder: Path, meter_id: int) -> tuple[Transport, Home]:
    """A meter of an emulated street, switched on again."""
    from hushmeter.devices.meter_plan import CONFIG_FILE, Whose
    from hushmeter.emulate.unix import UnixMeter
    from hushmeter.market.bills.files import Home

    name = f"meter-{meter_id:04d}"
    for place in (folder / "street" / name, folder / name):
        if (place / CONFIG_FILE).is_file():
            whose = Whose.said_by((place / CONFIG_FILE).read_bytes())
            if whose is None:
                raise HushmeterError(f"{place / CONFIG_FILE} is no meter's configuration")
            meter = UnixMeter(place)
            meter.start()
            return meter, Home(whose.street, whose.meter_id)
    raise HushmeterError(
        f"{folder} has no meter {meter_id} that runs as a process",
        hint="name the folder that hushmeter emulate --out was given",
    )
