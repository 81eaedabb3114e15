"""The next roster of a street, from the one before and what is to change; and what differs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hushfw.core import rules
from hushfw.core.errors import HushError
from hushmeter.cluster.roster import (
    Authority,
    Difference,
    Member,
    SignedRoster,
    check_follows,
    difference,
    parse,
    plan_after,
)
from hushmeter.cluster.store import Store
from hushmeter.errors import HushmeterError

_SQLITE = b"SQLite format 3\0"
_AHEAD_SLOTS = 2


@dataclass(frozen=True)
class Renewal:
    """A member's new key; ``proof`` is what its meter sent with it, None where it was witnessed."""

    member: Member
    proof: bytes | None


@dataclass(frozen=True)
class Wanted:
    """What is to change in the street."""

    join: Sequence[Member] = ()
    leave: Sequence[int] = ()
    replace: Sequence[Member] = ()
    renew: Sequence[Renewal] = ()
    missing: int | None = None
    colluders: int | None = None
    first_slot: int | None = None


def successor(
    before: SignedRoster, wanted: Wanted, authority: Authority, now_s: float | None = None
) -> SignedRoster:
    """The signed roster that follows.

    Without a first slot it begins with the second slot after now: so there is a whole slot to send
    it ahead.

    Raises
    ------
    HushmeterError
        The authority is not the street's, a change does not fit the members, a renewal is not
        proved, or the roster breaks a rule.
    """
    if authority.public_key != before.device.authority_key:
        raise HushmeterError(
            "the key is not that of the authority which signed the roster before",
            hint="use the file that hushmeter authority made for this street",
        )
    members = _changed(before, wanted, authority)
    plan = plan_after(before, _first_slot(before, wanted.first_slot, now_s))
    plan = replace(
        plan,
        missing=plan.missing if wanted.missing is None else wanted.missing,
        colluders=plan.colluders if wanted.colluders is None else wanted.colluders,
    )
    return authority.sign(plan, members, before.device.supplier_key)


def _first_slot(before: SignedRoster, asked: int | None, now_s: float | None) -> int:
    if asked is not None:
        return asked
    now = before.device.slot_at(int(time.time() if now_s is None else now_s))
    return max(now or 0, int(before.device.first_slot) - 1) + _AHEAD_SLOTS


def _changed(before: SignedRoster, wanted: Wanted, authority: Authority) -> list[Member]:
    members = {member.meter_id: member for member in before.members}
    touched: set[int] = set()

    def take(meter_id: int, is_member: bool) -> Member | None:
        if meter_id in touched:
            raise HushmeterError(f"meter {meter_id} is to change twice; give one change a meter")
        touched.add(meter_id)
        if (meter_id in members) != is_member:
            raise HushmeterError(
                f"meter {meter_id} is {'not' if is_member else 'already'} in the roster before",
                hint="use --join for who is new, and --leave, --replace or --renew for members",
            )
        return members.pop(meter_id, None)

    for meter_id in wanted.leave:
        take(meter_id, True)
    new = [*wanted.join]
    for member in wanted.join:
        take(member.meter_id, False)
    for renewal in wanted.renew:
        old = take(renewal.member.meter_id, True)
        _check_proof(authority, before.device.street, old, renewal)
        new.append(renewal.member)
    for member in wanted.replace:
        take(member.meter_id, True)
        new.append(member)
    return [*members.values(), *new]


def _check_proof(authority: Authority, street: str, old: Member | None, renewal: Renewal) -> None:
    if renewal.proof is None or old is None:
        return
    if not authority.proves_renewal(street, old, renewal.member.public_key, renewal.proof):
        raise HushmeterError(
            f"meter {old.meter_id} has not proved that the new key is its own",
            hint="ask it again, or witness the device and use --replace",
        )


def load(path: Path) -> list[SignedRoster]:
    """The rosters in a file or folder, ascending by epoch.

    A file is a roster's bytes or an aggregator's store, whose newest it is; a folder holds
    ``roster-EPOCH.bin`` as on a meter, or files ``*.roster``.

    Raises
    ------
    HushmeterError
        There is none, or one is damaged.
    """
    if path.is_dir():
        files = sorted({*path.glob("roster-*.bin"), *path.glob("*.roster")})
        found = [parse(file.read_bytes()) for file in files]
        if not found:
            raise HushmeterError(f"{path} holds no roster-EPOCH.bin and no *.roster")
        return sorted(found, key=lambda roster: int(roster.device.epoch))
    data = path.read_bytes()
    if not data.startswith(_SQLITE):
        return [parse(data)]
    store = Store(path)
    try:
        last = store.last_epoch()
    finally:
        store.close()
    if last is None:
        raise HushmeterError(f"the store {path} holds no roster yet")
    return [parse(last[1])]


@dataclass(frozen=True)
class Checked:
    """What was found of a roster that holds every rule.

    Attributes
    ----------
    changes:
        Against the roster before; None without one.
    looser:
        In what it protects less than the roster before.
    floors:
        Whether a meter's own floors were held against it.
    """

    roster: SignedRoster
    changes: Difference | None = None
    looser: list[str] = field(default_factory=list)
    floors: bool = False


def checked(
    roster: SignedRoster,
    before: SignedRoster | None = None,
    config: Mapping[str, Any] | None = None,
) -> Checked:
    """Hold a roster against the one before it and a meter's configuration.

    Raises
    ------
    HushmeterError
        It does not follow, or the meter would refuse it.
    """
    if before is not None:
        check_follows(before, roster)
    if config is not None:
        try:
            rules.check_rules(config, roster.device)
        except HushError as error:
            raise HushmeterError(
                f"a meter with this configuration refuses the roster: {error.message}"
            ) from error
    if before is None:
        return Checked(roster, floors=config is not None)
    return Checked(
        roster,
        difference(before, roster),
        _looser(before.device, roster.device),
        config is not None,
    )


def _looser(old: Any, new: Any) -> list[str]:
    weaker = {
        "members": new.members < old.members,
        "honest": new.noise_shape() < old.noise_shape(),
        "epsilon": _epsilon(new) > _epsilon(old),
        "slot_s": new.slot_s < old.slot_s,
        "modes": bool(new.allowed_modes & ~old.allowed_modes),
    }
    return [name for name, is_weaker in weaker.items() if is_weaker]


def _epsilon(rules_: Any) -> float:
    """Of a slot, over its lanes; infinite where a lane has no noise."""
    lanes = rules_.lane_list
    if any(lane.noiseless() for lane in lanes):
        return float("inf")
    return float(sum(lane.epsilon_num / lane.epsilon_den for lane in lanes))


def read_config(path: Path) -> dict[str, Any]:
    """A meter's ``config.json``, for its floors.

    Raises
    ------
    HushmeterError
        It is no such file.
    """
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    wanted = {"floors", "authority_key", "street", "permitted_modes", "driver"}
    if not isinstance(found, dict) or not wanted <= found.keys():
        raise HushmeterError(
            f"{path} is no meter's config.json", hint="hushmeter provision makes one"
        )
    found.setdefault("fixed_seed", False)
    found.setdefault("provisioned_pairs", False)
    return found
