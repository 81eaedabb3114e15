"""``hushmeter roster``: look at a street's rosters, and sign the next one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from hushmeter.cli import roster_first
from hushmeter.cluster.keyfile import fingerprint, read_seed
from hushmeter.cluster.roster import Authority, Member, SignedRoster
from hushmeter.cluster.succession import (
    Checked,
    Renewal,
    Wanted,
    checked,
    load,
    read_config,
    successor,
)
from hushmeter.errors import HushmeterError
from hushmeter.outputs import write_whole

_ID_KEY = re.compile(r"(\d{1,10}):([0-9a-fA-F]{64})(?::([0-9a-fA-F]{32}))?", re.ASCII)
_PATH = click.Path(path_type=Path, exists=True)
_KEYS_BESIDE_ID = "next_key", "public_key"

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def roster() -> None:
    """Look at a street's rosters, check one, or sign the one that follows.

    A roster says who is in the street and under which rules, from which slot on. Each names the one
    before; a meter takes none that is older, skips one or comes from another branch.

    \b
    Example:
      hushmeter roster next --from elm-3.roster --leave 4 --join new.json \\
        --authority elm-row.pem --out elm-4.roster
    """


@roster.command()
@click.argument("path", type=_PATH)
@json_option
def show(path: Path, as_json: bool) -> None:
    """Show the newest roster in a file, a folder (a meter's storage) or an aggregator's store.

    \b
    Example:
      hushmeter roster show elm-4.roster
    """
    found = load(path)
    said = describe(found[-1])
    said["epochs"] = [one.device.epoch for one in found]
    said["members"] = [
        {
            "meter_id": member.meter_id,
            "public_key": member.public_key.hex(),
            "fingerprint": fingerprint(member.public_key),
        }
        for member in found[-1].members
    ]
    if as_json:
        click.echo(json.dumps(said))
        return
    _print(said)
    for member in said["members"]:
        click.echo(f"{member['meter_id']:>10}   {member['fingerprint']}")


def describe(signed: SignedRoster) -> dict[str, Any]:
    """A roster's rules as JSON values."""
    rules = signed.device
    return {
        "street": rules.street,
        "epoch": rules.epoch,
        "hash": signed.hash.hex(),
        "previous": rules.previous.hex(),
        "first_slot": rules.first_slot,
        "last_slot": rules.last_slot,
        "start_s": rules.start_s,
        "slot_s": rules.slot_s,
        "n": rules.members,
        "m": rules.missing,
        "t": rules.colluders,
        "noise_shape": rules.noise_shape(),
        "lanes": [
            {
                "cap_wh": lane.cap_wh,
                "epsilon": None
                if lane.noiseless()
                else f"{lane.epsilon_num}/{lane.epsilon_den}".removesuffix("/1"),
            }
            for lane in rules.lane_list
        ],
        "authority": fingerprint(rules.authority_key),
        "supplier": fingerprint(rules.supplier_key),
    }


def _print(said: dict[str, Any]) -> None:
    lanes = ", ".join(
        f"at most {lane['cap_wh']} Wh with "
        + ("no noise" if lane["epsilon"] is None else f"epsilon {lane['epsilon']}")
        for lane in said["lanes"]
    )
    for name, value in (
        ("street", said["street"]),
        ("epoch", said["epoch"]),
        ("slots", f"{said['first_slot']} to {said['last_slot']}, of {said['slot_s']} s"),
        ("meters", f"N = {said['n']}, M = {said['m']} silent, T = {said['t']} colluding"),
        ("readings", lanes),
        ("hash", said["hash"]),
        ("the one before", said["previous"]),
        ("authority", said["authority"]),
    ):
        click.echo(f"{name:<15} {value}")


@roster.command()
@click.option("--street", required=True, help="Its name, as the meters were provisioned with.")
@click.option(
    "--join", multiple=True, required=True, metavar="KEYFILE|ID:HEX",
    help="A meter: its id and public key, or a JSON file with meter_id and public_key.",
)  # fmt: skip
@click.option("--authority", type=_PATH, required=True, help="The street's private key.")
@click.option("--supplier", type=_PATH, required=True, help="The supplier's public key, in PEM.")
@click.option("--slot-s", type=click.IntRange(1), default=1800, show_default=True)
@click.option("--start-s", type=click.IntRange(1), help="Unix time. [default: the next slot, UTC]")
@click.option("--tolerate", type=click.IntRange(0), required=True, help="M that may be silent.")
@click.option("--colluders", type=click.IntRange(1), required=True, help="T that may collude.")
@click.option("--cap-wh", type=click.IntRange(1), required=True, help="The most a slot may say.")
@click.option("--epsilon", required=True, help="Per slot; inf: no noise.")
@click.option("--report-window-s", type=click.IntRange(1), default=60, show_default=True)
@click.option("--expiry-s", type=click.IntRange(1), default=86400, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new file.")
@json_option
def first(  # noqa: PLR0913
    street: str,
    join: tuple[str, ...],
    authority: Path,
    supplier: Path,
    slot_s: int,
    start_s: int | None,
    tolerate: int,
    colluders: int,
    cap_wh: int,
    epsilon: str,
    report_window_s: int,
    expiry_s: int,
    out: Path,
    as_json: bool,
) -> None:
    """Sign the roster that a street begins with.

    Compare the fingerprint of every key with the one that its device shows: what you sign is in
    the street.

    \b
    Example:
      hushmeter roster first --street "Elm Row" --join meter1.json --join meter2.json \\
        --join meter3.json --join meter4.json --tolerate 1 --colluders 1 --cap-wh 2000 \\
        --epsilon 1 --authority elm-row.pem --supplier supplier-public.pem --out elm-1.roster
    """
    members = [_member("--join", text)[0] for text in join]
    plan = roster_first.plan_of_options(
        street,
        slot_s,
        start_s,
        (tolerate, colluders),
        roster_first.lane(cap_wh, epsilon),
        (report_window_s, expiry_s),
    )
    signed = roster_first.sign(plan, members, authority, supplier, out)
    said = {"file": str(out), **describe(signed)}
    if not as_json:
        _print(said)
    roster_first.tell(said, members, as_json)


@roster.command("next")
@click.option("--from", "before", type=_PATH, required=True, help="The roster in use.")
@click.option(
    "--join", multiple=True, metavar="KEYFILE|ID:HEX",
    help="A new meter: its id and public key, or a JSON file with meter_id and public_key.",
)  # fmt: skip
@click.option("--leave", multiple=True, type=int, metavar="ID", help="A meter that goes.")
@click.option(
    "--replace", "replaced", multiple=True, metavar="KEYFILE|ID:HEX",
    help="A member's new device, which you have witnessed.",
)  # fmt: skip
@click.option(
    "--renew", multiple=True, metavar="KEYFILE|ID:HEX[:PROOF]",
    help="A member's new key, with the proof that its meter made it; without one you must have "
    "witnessed it.",
)  # fmt: skip
@click.option("--authority", type=_PATH, required=True, help="The street's private key.")
@click.option(
    "--first-slot", type=click.IntRange(1), help="Where it begins. [default: the slot after next]"
)
@click.option("--tolerate", type=click.IntRange(0), help="M, where it changes.")
@click.option("--colluders", type=click.IntRange(1), help="T, where it changes.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new file.")
@json_option
def next_(  # noqa: PLR0913
    before: Path,
    join: tuple[str, ...],
    leave: tuple[int, ...],
    replaced: tuple[str, ...],
    renew: tuple[str, ...],
    authority: Path,
    first_slot: int | None,
    tolerate: int | None,
    colluders: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Sign the roster that follows one, with what changes.

    Compare the fingerprint of every new key with the one that its device shows: what you sign is
    in the street. Never sign two different rosters of one epoch.

    \b
    Example:
      hushmeter roster next --from elm-3.roster --leave 4 --join new.json \\
        --authority elm-row.pem --out elm-4.roster
    """
    if out.exists():
        raise HushmeterError(f"{out} exists already", hint="choose another --out")
    old = load(before)[-1]
    wanted = Wanted(
        join=[_member("--join", text)[0] for text in join],
        leave=leave,
        replace=[_member("--replace", text)[0] for text in replaced],
        renew=[Renewal(*_member("--renew", text)) for text in renew],
        missing=tolerate,
        colluders=colluders,
        first_slot=first_slot,
    )
    signed = successor(old, wanted, Authority(read_seed(authority)))
    write_whole(out, signed.data)
    proved = [one.member.meter_id for one in wanted.renew if one.proof is not None]
    new = [*wanted.join, *wanted.replace, *(one.member for one in wanted.renew)]
    _tell_signed(checked(signed, old), out, new, proved, as_json)


def _tell_signed(
    found: Checked, out: Path, new: list[Member], proved: list[int], as_json: bool
) -> None:
    keys = [
        {
            "meter_id": member.meter_id,
            "fingerprint": fingerprint(member.public_key),
            "proved": member.meter_id in proved,
        }
        for member in new
    ]
    said = {"file": str(out), **describe(found.roster), **_difference(found), "new_keys": keys}
    if as_json:
        click.echo(json.dumps(said))
        return
    _print(said)
    _print_difference(found)
    for key in keys:
        how = "proved by its old key" if key["proved"] else "compare it with the device's"
        click.echo(f"new key         {key['meter_id']}: {key['fingerprint']} ({how})")


@roster.command()
@click.argument("path", type=_PATH)
@click.option("--before", type=_PATH, help="The roster before it.")
@click.option("--floors", type=_PATH, help="A meter's config.json, for its floors.")
@json_option
def check(path: Path, before: Path | None, floors: Path | None, as_json: bool) -> None:
    """Check a roster as a meter would: signature, rules, members, what came before, floors.

    \b
    Example:
      hushmeter roster check elm-4.roster --before elm-3.roster
    """
    signed = load(path)[-1]
    config = None if floors is None else read_config(floors)
    found = checked(signed, None if before is None else load(before)[-1], config)
    if as_json:
        click.echo(json.dumps({"valid": True, **describe(signed), **_difference(found)}))
        return
    _print(describe(signed))
    _print_difference(found)
    follows = "" if found.changes is None else ", follows the one before"
    held = ", holds the floors" if found.floors else ""
    click.echo(f"{'valid':<15} signed, 2M + T < N, ids and keys differ{follows}{held}")


def _difference(found: Checked) -> dict[str, Any]:
    changes = found.changes
    return {
        "follows": None if changes is None else True,
        "joined": None if changes is None else list(changes.joined),
        "left": None if changes is None else list(changes.left),
        "rekeyed": None if changes is None else list(changes.rekeyed),
        "looser": found.looser,
        "floors": "held" if found.floors else "not checked",
    }


def _print_difference(found: Checked) -> None:
    if found.changes is not None:
        for name in ("joined", "left", "rekeyed"):
            ids = getattr(found.changes, name)
            click.echo(f"{name:<15} {', '.join(map(str, ids)) or 'nobody'}")
    if found.looser:
        click.echo(f"{'weaker in':<15} {', '.join(found.looser)}")


def _member(option: str, text: str) -> tuple[Member, bytes | None]:
    """A member from ID:HEX, ID:HEX:PROOF, or a JSON file that holds them."""
    match = _ID_KEY.fullmatch(text)
    if match is not None and (option == "--renew" or match[3] is None):
        proof = None if match[3] is None else bytes.fromhex(match[3])
        return Member(int(match[1]), bytes.fromhex(match[2])), proof
    if Path(text).is_file():
        found = _from_file(Path(text), option)
        if found is not None:
            return found
    raise HushmeterError(
        f"{option} {text}: neither ID:HEX with 64 hexadecimal digits nor a JSON file of a meter's "
        "meter_id and public_key"
    )


def _from_file(path: Path, option: str) -> tuple[Member, bytes | None] | None:
    try:
        found = json.loads(path.read_bytes())
        name = next(name for name in _KEYS_BESIDE_ID if name in found)
        key, meter_id = bytes.fromhex(found[name]), found["meter_id"]
        proof = bytes.fromhex(found["proof"]) if option == "--renew" and "proof" in found else None
    except (ValueError, KeyError, TypeError, StopIteration):
        return None
    return (Member(meter_id, key), proof) if isinstance(meter_id, int) else None
