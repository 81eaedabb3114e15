"""``hushmeter bill keygen``: a household's Paillier key, in files."""

from __future__ import annotations

from pathlib import Path

import click

from hushmeter.cli.bill import shared


@click.command()
@click.argument("file", type=shared.FILE)
@click.option("--public", type=shared.FILE, required=True, help="Write the public JSON file here.")
@click.option("--street", required=True, metavar="NAME", help="The meter's street.")
@click.option("--meter-id", type=int, required=True, metavar="N", help="The meter's own number.")
@shared.authority
@click.option("--bits", type=int, default=2048, show_default=True, help="2048 or 3072.")
@click.option("--meter-file", type=shared.FILE, help="Write the file that the meter is given here.")
@click.option("--insecure", is_flag=True, help="Allow 1024 bits: for trials only.")
@shared.as_json
def keygen(
    file: Path,
    public: Path,
    street: str,
    meter_id: int,
    authority: str,
    bits: int,
    meter_file: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Make a household's key, on its own computer: the private half into FILE, readable by you.

    The utility never makes it: who has it can read every slot. The public half shows that the key
    is well formed, for this home and street.

    \b
    Example:
      hushmeter bill keygen home.key --public home.json --street "Elm Row" --meter-id 7 \\
        --authority authority.pem
    """
    from hushmeter.cluster.keyfile import read_authority
    from hushmeter.crypto import keyfiles, paillier
    from hushmeter.errors import HushmeterError
    from hushmeter.market.bills import files
    from hushmeter.outputs import Outputs

    if not 0 < len(street.encode()) <= files.MOST_STREET or not 1 <= meter_id < 1 << 32:
        raise HushmeterError("a street's name has 1 to 32 bytes of UTF-8, a meter id is 1 or more")
    roster = read_authority(authority)
    private = paillier.generate(bits, insecure)
    key = private.public(paillier.owner_of(street, meter_id), roster)
    told = files.public_file(key)
    with Outputs() as outputs:
        outputs.put(public, files.written(told))
        if meter_file is not None:
            outputs.put(meter_file, key.to_bytes())
        # Last, for it alone cannot be taken back.
        keyfiles.write_private(file, private)
    facts = {"bits": key.bits, "owner": told.owner, "key_sha256": told.key_sha256}
    shared.shown({**facts, "insecure": bits not in paillier.SIZES_BITS}, as_json)
