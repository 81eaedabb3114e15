"""``hushmeter paillier``: keys for encrypted readings, and the tables that make them cheap."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click

from hushmeter.cluster.keyfile import fingerprint, read_authority
from hushmeter.crypto import comb_table, keyfiles
from hushmeter.crypto.paillier import (
    SHORT_BITS,
    SIZES_BITS,
    PublicKey,
    check,
    generate,
    owner_of,
    read_public,
)
from hushmeter.errors import HushmeterError
from hushmeter.outputs import write_whole

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def paillier() -> None:
    """Make a home's Paillier key, and what its meter needs to encrypt under it.

    The home makes the key on its own computer and keeps the private half. The meter is given the
    public file, and a table if it shall be quick.

    \b
    Example:
      hushmeter paillier key home.key --new --street "Elm Row" --meter-id 7 \\
        --authority authority.pem --public home.pub
      hushmeter paillier table home.pub --out home.comb
    """


def _facts(key: PublicKey) -> dict[str, Any]:
    data = key.to_bytes()
    return {
        "bits": key.bits,
        "owner": key.owner.decode("utf-8", "replace"),
        "insecure": key.bits not in SIZES_BITS,
        "key_sha256": hashlib.sha256(data).hexdigest(),
        "fingerprint": fingerprint(data),
    }


def _table_facts(table: comb_table.TableFacts) -> dict[str, Any]:
    return {
        "teeth": table.teeth,
        "exponent_bits": table.exponent_bits,
        "squarings": table.squarings,
        "bytes": table.bytes,
        "table_sha256": table.sha256,
        "assumption": table.assumption,
    }


def _show(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        click.echo(f"{name.replace('_', ' '):14} {value}")


@paillier.command()
@click.argument("file", type=_FILE)
@click.option("--new", is_flag=True, help="Make a key and keep its private half in FILE.")
@click.option("--bits", type=int, default=SIZES_BITS[0], show_default=True, help="2048 or 3072.")
@click.option("--street", required=True, metavar="NAME", help="The meter's street.")
@click.option("--meter-id", type=int, required=True, metavar="N", help="The meter's own number.")
@click.option("--authority", required=True, metavar="KEY|FILE", help="As for provision.")
@click.option("--public", type=_FILE, help="Write the public file, with its proof, here.")
@click.option("--insecure", is_flag=True, help=f"Allow {SHORT_BITS} bits: for trials only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def key(
    file: Path,
    new: bool,
    bits: int,
    street: str,
    meter_id: int,
    authority: str,
    public: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Make a key for a meter, or write the public half of the one in FILE.

    The public half is bound to the meter and to the authority of its street, and shows that the
    key is well formed.

    \b
    Example:
      hushmeter paillier key home.key --new --street "Elm Row" --meter-id 7 \\
        --authority authority.pem --public home.pub
    """
    owner, roster = owner_of(street, meter_id), read_authority(authority)
    private = generate(bits, insecure) if new else keyfiles.read_private(file)
    found = private.public(owner, roster)
    data = found.to_bytes()
    read_public(data, insecure)
    if new:
        keyfiles.write_private(file, private)
    if public is not None:
        write_whole(public, data)
    _show(_facts(found), as_json)


@paillier.command()
@click.argument("public", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="The table.")
@click.option(
    "--exponent-bits",
    type=int,
    metavar="N",
    help="Half the bits of the key, or less: quicker, under a stronger assumption. [default: half]",
)
@click.option(
    "--teeth",
    type=int,
    default=comb_table.DEFAULT_TEETH,
    show_default=True,
    help="2^teeth entries.",
)
@click.option("--insecure", is_flag=True, help=f"Take a key of {SHORT_BITS} bits.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def table(
    public: Path, out: Path, exponent_bits: int | None, teeth: int, insecure: bool, as_json: bool
) -> None:
    """Write the table by which a meter encrypts quickly under a public key.

    \b
    Example:
      hushmeter paillier table home.pub --out home.comb --exponent-bits 256
    """
    found = _checked(public, insecure)
    bits = found.bits // 2 if exponent_bits is None else exponent_bits
    data = comb_table.write_table(found, bits, teeth)
    facts = comb_table.check_table(found, data)
    write_whole(out, data)
    _show(_table_facts(facts), as_json)


@paillier.command("check")
@click.argument("public", type=_FILE)
@click.option("--table", "table_path", type=_FILE, help="A table that must be of this key.")
@click.option("--insecure", is_flag=True, help=f"Take a key of {SHORT_BITS} bits.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check_command(public: Path, table_path: Path | None, insecure: bool, as_json: bool) -> None:
    """Check a public key and a table as a meter does.

    Whose key it is, is printed: compare it yourself, as the meter compares it with its own name.

    \b
    Example:
      hushmeter paillier check home.pub --table home.comb
    """
    found = _checked(public, insecure)
    facts = _facts(found)
    if table_path is not None:
        facts |= _table_facts(comb_table.check_table(found, _read(table_path)))
    _show(facts, as_json)


def _checked(path: Path, insecure: bool) -> PublicKey:
    data = _read(path)
    said = read_public(data, insecure)
    return check(data, said.owner, said.roster, insecure)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HushmeterError(f"{path} cannot be read: {error.strerror}") from error
