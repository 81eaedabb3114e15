"""``hushmeter market keygen``: the utility's Paillier key, under which the ring adds."""

from __future__ import annotations

from pathlib import Path

import click

from hushmeter.cli.bill import shared


@click.command()
@click.argument("file", type=shared.FILE)
@click.option(
    "--public", type=shared.FILE, help="Write the public JSON file here. [default: FILE.json]"
)
@click.option(
    "--authority", metavar="KEY|FILE",
    help="The street's authority, for whom the public file shows that the key is well formed.",
)  # fmt: skip
@click.option(
    "--meter-file", type=shared.FILE,
    help="Write the file that meters are given here; it needs --authority.",
)  # fmt: skip
@click.option("--bits", type=int, default=2048, show_default=True, help="2048 or 3072.")
@click.option("--insecure", is_flag=True, help="Allow 1024 bits: for trials only.")
@shared.as_json
def keygen(
    file: Path,
    public: Path | None,
    authority: str | None,
    meter_file: Path | None,
    bits: int,
    insecure: bool,
    as_json: bool,
) -> None:
    """Make the utility's key for `--backend paillier-ring`: the private half into FILE.

    Homes check the proof in the public file before they encrypt under it. Without --authority it is
    for no street in particular; a market's members ask for one of their own terms. Meters ask for
    one of the authority that signs their rosters.

    \b
    Example:
      hushmeter market keygen utility.key --authority authority.pem --meter-file ring.pub
      hushmeter paillier table ring.pub --out ring.comb
      hushmeter provision --market-home home.toml --ring-key ring.pub --ring-table ring.comb ...
    """
    from hushmeter.cluster.keyfile import read_authority
    from hushmeter.crypto import keyfiles, paillier
    from hushmeter.errors import HushmeterError
    from hushmeter.market.bills import files
    from hushmeter.market.ring import OWNER
    from hushmeter.outputs import Outputs

    if meter_file is not None and authority is None:
        raise HushmeterError(
            "--meter-file needs --authority: a meter asks for a key made for its own street",
            hint="give the authority's public key, or its file",
        )
    roster = bytes(32) if authority is None else read_authority(authority)
    private = paillier.generate(bits, insecure)
    key = private.public(OWNER, roster)
    told = files.public_file(key)
    with Outputs() as outputs:
        outputs.put(public or file.with_name(f"{file.name}.json"), files.written(told))
        if meter_file is not None:
            outputs.put(meter_file, key.to_bytes())
        # Last, for it alone cannot be taken back.
        keyfiles.write_private(file, private)
    facts = {"bits": key.bits, "owner": told.owner, "key_sha256": told.key_sha256}
    shared.shown({**facts, "insecure": bits not in paillier.SIZES_BITS}, as_json)
