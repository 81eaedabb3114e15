"""``hushmeter authority``: the key that signs a street's rosters."""

import json
from pathlib import Path

import click

from hushmeter.cluster.keyfile import fingerprint, new_key, read_seed
from hushmeter.cluster.roster import Authority


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--new", is_flag=True, help="Make a key and keep it in this file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def authority(file: Path, new: bool, as_json: bool) -> None:
    """Make a street's authority key, or show the public half of the one in a file.

    Meters are provisioned with the public half, and take no roster that the other half has not
    signed. Keep the file from whoever collects the street's totals.

    \b
    Example:
      hushmeter authority elm-row.pem --new
    """
    public_key = new_key(file) if new else Authority(read_seed(file)).public_key
    if as_json:
        found = {"file": str(file), "public_key": public_key.hex()}
        click.echo(json.dumps({**found, "fingerprint": fingerprint(public_key)}, indent=2))
        return
    click.echo(f"public key   {public_key.hex()}\nfingerprint  {fingerprint(public_key)}")
    if new:
        click.echo(f"the private half is in {file}; keep it, and keep it to yourself")
