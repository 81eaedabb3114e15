"""``hushmeter bill certify``: the authority's word whose key signed the roots."""

from __future__ import annotations

from pathlib import Path

import click

from hushmeter.cli.bill import shared


@click.command()
@click.argument("leaves", type=shared.FILE)
@click.option(
    "--authority", type=shared.FILE, required=True, help="The authority's private key in PEM."
)
@click.option(
    "--meter-key", required=True, metavar="KEY|FILE",
    help="The meter's Ed25519 public key, as the authority saw it when it witnessed the meter.",
)  # fmt: skip
@click.option("--out", type=shared.FILE, required=True, help="The leaves with the certificate.")
@shared.as_json
def certify(leaves: Path, authority: Path, meter_key: str, out: Path, as_json: bool) -> None:
    """Put the authority's certificate of the meter's key into a file of leaves.

    \b
    Example:
      hushmeter bill certify leaves.json --authority authority.pem --meter-key 5d1f... \\
        --out certified.json
    """
    import msgspec

    from hushmeter.cluster.keyfile import read_seed
    from hushmeter.errors import HushmeterError
    from hushmeter.market.bills import commitments, files
    from hushmeter.outputs import write_whole

    found = files.read(leaves, files.LeavesFile)
    known = shared.public_ed25519(meter_key, "--meter-key")
    if known is None or known.hex() != found.signer.public_key:
        raise HushmeterError(
            f"{leaves} was signed by {found.signer.public_key}, which is not the key that was named"
        )
    word = commitments.certificate(found.home, known, read_seed(authority))
    signer = msgspec.structs.replace(found.signer, certificate=word)
    write_whole(out, files.written(msgspec.structs.replace(found, signer=signer)))
    shared.shown({"meter_key": known.hex(), "certificate": word}, as_json)
