"""``hushmeter roster first``: the roster that a street begins with."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from hushmeter.cli.values import positive_fraction
from hushmeter.cluster.keyfile import fingerprint, read_seed
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
from hushmeter.cluster.service.folders import check_topic
from hushmeter.errors import HushmeterError
from hushmeter.outputs import write_whole

YEARS = 20
"""How long a street may go on under the slots that its first roster counts."""

_YEAR_S = 365 * 86400
_PRIVATE = b"PRIVATE KEY"


def supplier_key(path: Path) -> bytes:
    """The supplier's public key from a PEM file.

    Raises
    ------
    HushmeterError
        It holds none, or the private half, which the authority must not have.
    """
    data = path.read_bytes()
    hint = f"the supplier gives it with: openssl pkey -in supplier.pem -pubout -out {path.name}"
    if _PRIVATE in data:
        raise HushmeterError(f"{path} holds the supplier's private key; keep it from here", hint)
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PublicKey):
        raise HushmeterError(f"{path} holds no X25519 public key in PEM", hint)
    return key.public_bytes_raw()


def lane(cap_wh: int, epsilon: str) -> LanePlan:
    """A register from the words of the options.

    Raises
    ------
    HushmeterError
        Epsilon is neither a positive number nor inf.
    """
    if epsilon == "inf":
        return LanePlan(cap_wh, None)
    found: Fraction | None = positive_fraction(epsilon)
    if found is None:
        raise HushmeterError(f"--epsilon is {epsilon!r}; it must be a positive number or inf")
    return LanePlan(cap_wh, found)


def sign(
    plan: StreetPlan, members: list[Member], authority: Path, supplier: Path, out: Path
) -> SignedRoster:
    """Sign the roster and keep it in a new file.

    Raises
    ------
    HushmeterError
        The file is there, a key cannot be read, or the roster breaks a rule.
    """
    if out.exists():
        raise HushmeterError(f"{out} exists already", hint="choose another --out")
    check_topic(plan.street, "--street")
    signed = Authority(read_seed(authority)).sign(plan, members, supplier_key(supplier))
    write_whole(out, signed.data)
    return signed


def plan_of_options(
    street: str, slot_s: int, start_s: int | None, rules: tuple[int, int], register: LanePlan,
    times: tuple[int, int],
) -> StreetPlan:  # fmt: skip
    """The plan of a first epoch; without a beginning it begins with the next whole slot (UTC).

    Parameters
    ----------
    rules, times:
        M and T; report window and expiry in seconds.
    """
    begins_s = start_s if start_s is not None else (int(time.time()) // slot_s + 1) * slot_s
    return StreetPlan(
        street=street,
        epoch=1,
        start_s=begins_s,
        first_slot=1,
        last_slot=YEARS * _YEAR_S // slot_s,
        slot_s=slot_s,
        missing=rules[0],
        colluders=rules[1],
        lanes=(register,),
        report_window_s=times[0],
        expiry_s=times[1],
    )


def tell(said: dict[str, object], members: list[Member], as_json: bool) -> None:
    """Print what was signed."""
    keys = [{"meter_id": m.meter_id, "fingerprint": fingerprint(m.public_key)} for m in members]
    if as_json:
        click.echo(json.dumps({**said, "members": keys}))
        return
    for key in keys:
        click.echo(f"member {key['meter_id']:>10}   {key['fingerprint']}")
    click.echo(f"compare each fingerprint with its device's; the roster is in {said['file']}")
