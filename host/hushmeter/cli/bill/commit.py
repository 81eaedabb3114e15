"""``hushmeter bill commit``: what a meter commits to, from a CSV of readings."""

from __future__ import annotations

from pathlib import Path

import click

from hushmeter.cli.bill import shared


@click.command()
@click.argument("readings", type=shared.FILE)
@click.option("--public", type=shared.FILE, required=True, help="The household's public JSON file.")
@click.option(
    "--street", metavar="NAME", help="The meter's street. [default: the public key's owner]"
)
@click.option(
    "--meter-id", type=int, metavar="N", help="The meter's own number. [default: as above]"
)
@click.option(
    "--meter", type=shared.FILE, required=True,
    help="The software meter's Ed25519 private key in PEM; made by hushmeter authority FILE --new.",
)  # fmt: skip
@click.option(
    "--certify", type=shared.FILE,
    help="The authority's private key: put its certificate of the meter's key into the leaves.",
)  # fmt: skip
@click.option("--epoch", type=click.IntRange(0, (1 << 32) - 1), default=1, show_default=True)
@click.option(
    "--batch-slots", type=click.IntRange(1), default=144, show_default=True,
    help="Slots under one signed root; a day's.",
)  # fmt: skip
@click.option("--insecure", is_flag=True, help="Take a key of 1024 bits.")
@click.option("--out", type=shared.FILE, required=True, help="The leaves and their signed roots.")
@shared.as_json
def commit(
    readings: Path,
    public: Path,
    street: str | None,
    meter_id: int | None,
    meter: Path,
    certify: Path | None,
    epoch: int,
    batch_slots: int,
    insecure: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Commit to readings of a CSV file, as a meter does; for emulated homes and trials.

    READINGS has a line `slot,import_wh` or `slot,import_wh,export_wh` and then one line a slot, in
    order.

    \b
    Example:
      hushmeter bill commit readings.csv --public home.json --meter meter.pem \\
        --certify authority.pem --out leaves.json
    """
    from hushmeter.cluster.keyfile import read_seed
    from hushmeter.crypto import paillier
    from hushmeter.market.bills import commitments, files
    from hushmeter.outputs import write_whole

    rows = commitments.read_readings(readings)
    key = files.public_key(files.read(public, files.PublicKeyFile))
    key = paillier.check(key.to_bytes(), key.owner, key.roster, insecure)
    made = commitments.commit(
        rows,
        key,
        files.home_of(key, street, meter_id),
        read_seed(meter),
        None if certify is None else read_seed(certify),
        epoch,
        batch_slots,
    )
    write_whole(out, files.written(made))
    facts = {
        "leaves": len(made.leaves),
        "roots": len(made.batches),
        "first_slot": made.leaves[0].slot,
        "last_slot": made.leaves[-1].slot,
        "meter_key": made.signer.public_key,
        "key_sha256": made.key_sha256,
    }
    shared.shown(facts, as_json)
